"""A controller that ends itself with SIGKILL at a chosen call; run as ``python -m`` with DOOM set.

DOOM is ``commit``, ``publish`` or ``plane``, the number of the call, and ``before`` or ``after``:
``commit:3:after`` dies once the third commit is durable and nobody has been told.
"""

import os
import signal
import sys
from asyncio import Future
from collections.abc import Callable
from itertools import count
from typing import Any, NoReturn

import pytest

from sfu_wrapper.adapters.queue_file.broker import QueueFile
from sfu_wrapper.adapters.simulated.plane import SimulatedPlane
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.cli.main import main
from sfu_wrapper.core.media_plane import PlaneRequest
from sfu_wrapper.ports.broker import Message
from sfu_wrapper.ports.store import Commit


def die() -> NoReturn:
    """As a crash does it: nothing is closed, nobody is told."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def doom(point: str, number: int, when: str) -> None:
    """Arrange for the death."""
    calls = count(1)
    current = 0

    def at(moment: str) -> bool:
        """Whether this is the call; counted once a call, at its beginning."""
        nonlocal current
        if moment == "before":
            current = next(calls)
        return current == number and moment == when

    {"commit": _commit, "publish": _publish, "plane": _plane}[point](at)


def _commit(at: Callable[[str], bool]) -> None:
    real = SqliteStore.commit

    def dying(store: SqliteStore, commit: Commit, epoch: int) -> "Future[Any]":
        if at("before"):
            die()
        future = real(store, commit, epoch)
        if at("after"):
            future.add_done_callback(lambda _: die())
        return future

    pytest.MonkeyPatch().setattr(SqliteStore, "commit", dying)


def _publish(at: Callable[[str], bool]) -> None:
    real = QueueFile.publish

    async def dying(broker: QueueFile, message: Message) -> None:
        if at("before"):
            die()
        last = at("after")
        await real(broker, message)
        if last:
            die()

    pytest.MonkeyPatch().setattr(QueueFile, "publish", dying)


def _plane(at: Callable[[str], bool]) -> None:
    real = SimulatedPlane.send

    def dying(plane: SimulatedPlane, request: PlaneRequest) -> None:
        if at("before"):
            die()
        real(plane, request)
        if at("after"):
            die()

    pytest.MonkeyPatch().setattr(SimulatedPlane, "send", dying)


if __name__ == "__main__":
    if "DOOM" in os.environ:
        chosen, which, moment_ = os.environ["DOOM"].split(":")
        doom(chosen, int(which), moment_)
    sys.exit(main())
