"""Commands of ours as processes of their own, as an operator runs them, ended by their pid."""

import asyncio
import json
import os
import random
import signal
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Iterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sfu_wrapper.adapters.queue_file.broker import QueueFile
from sfu_wrapper.ports.broker import QueueSpec
from tests.helpers.live import SECRET

READY_S = 30.0  # a deadline, not a measurement: machines are shared
END_S = 30.0


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of the loopback interface that nobody uses, and that is given to nobody meanwhile.

    It is none of those that the system gives on request, nor one of another process
    of the same run, and comes once.
    """
    for port in _ports:
        with suppress(OSError), socket.socket(type=kind) as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is left")


def _own_ports() -> Iterator[int]:
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    mine = range(12_000 + number % 8 * 2_000, 14_000 + number % 8 * 2_000)
    begin = random.randrange(len(mine))  # noqa: S311  # so that two runs do not meet
    return iter((*mine[begin:], *mine[:begin]))


_ports = _own_ports()


def freeze(group: int) -> None:
    """Make all processes of that group hang; their threads do not stop in the same moment."""
    os.killpg(group, signal.SIGSTOP)
    give_up_s = time.monotonic() + END_S
    while not all(state in "TtZX" for state in _states(group)):
        assert time.monotonic() < give_up_s, "it does not stop"
        time.sleep(0.001)


def _states(group: int) -> Iterator[str]:
    for file in Path("/proc").glob("[0-9]*/task/[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            state, _, pgid = file.read_text().rpartition(")")[2].split()[:3]
            if int(pgid) == group:
                yield state


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """Variables that keep an installation in ``folder``; ``settings`` are ``SECTION__KEY``."""
    paths = {
        "STORE__URL": f"sqlite:{folder / 'state' / 'store.db'}",
        "RECORDINGS_PATH": str(folder / "raw"),
        "AUDIO_PATH": str(folder / "raw-audio"),
        "DESTINATION_PATH": str(folder / "out"),
        "LOGS_PATH": str(folder / "logs"),
        "AUTH__SECRET": SECRET,
        "LOG__FORMAT": "json",
    }
    ours = {f"SFU_WRAPPER__{key}": value for key, value in (paths | settings).items()}
    return os.environ | ours


def is_running(pid: int) -> bool:
    """Whether it runs, or stands still; a process that is only waited for has no command."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    return False


@dataclass(slots=True)
class Command:
    """One running command; ``lines`` is what it has logged so far."""

    process: Process
    lines: list[dict[str, Any]] = field(default_factory=list)
    _reader: asyncio.Task[None] | None = None
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def logged(self, message: str) -> dict[str, Any]:
        """The first line with that message, waited for."""
        async with asyncio.timeout(READY_S), self._news:
            while True:
                for line in self.lines:
                    if line["message"] == message:
                        return line
                if self.process.returncode is not None:
                    raise AssertionError(f"it has ended: {self.lines[-3:]}")
                await self._news.wait()

    async def ended(self, within_s: float = END_S) -> int:
        """The exit code, once it has ended by itself."""
        async with asyncio.timeout(within_s):
            code = await self.process.wait()
        if self._reader is not None:
            await self._reader
        return code

    async def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        await self._end(signal.SIGKILL)

    async def terminate(self) -> int:
        """SIGTERM; the exit code."""
        await self._end(signal.SIGTERM)
        return self.process.returncode or 0

    async def _end(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        async with asyncio.timeout(END_S):
            await self.process.wait()
        if self._reader is not None:
            await self._reader

    async def read(self) -> None:
        """Collect what it logs."""
        assert self.process.stderr is not None
        async for raw in self.process.stderr:
            async with self._news:
                with suppress(ValueError):
                    self.lines.append(json.loads(raw))
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()


async def start(
    env: Mapping[str, str],
    *arguments: str,
    module: str = "sfu_wrapper.cli",
    python: str = sys.executable,
    folder: Path | None = None,
) -> Command:
    """Start ``sfu-wrapper ARGUMENTS``; in ``folder``, of another checkout, by ``python``."""
    process = await asyncio.create_subprocess_exec(
        python,
        "-m",
        module,
        *arguments,
        env=dict(env),
        cwd=folder,
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        limit=2**24,
    )
    command = Command(process)
    command._reader = asyncio.create_task(command.read())
    return command


async def serve(env: Mapping[str, str]) -> Command:
    """A controller that accepts connections."""
    command = await start(env, "serve")
    await command.logged("ready")
    return command


async def queued(folder: Path) -> list[dict[str, Any]]:
    """What waits in the processing_queue of an installation, repeats dropped, in order."""
    broker = QueueFile(folder / "state" / "queue.db")
    await broker.open((QueueSpec("processing_queue", ("recordingInfo",)),))
    found: dict[str | None, dict[str, Any]] = {}
    left = await broker.depth("processing_queue")
    async with aclosing(broker.consume("processing_queue", 1)) as deliveries:
        while left:
            delivery = await anext(deliveries)
            left -= 1
            found.setdefault(delivery.message_id, json.loads(delivery.body))
            await delivery.ack()
    await broker.close()
    return list(found.values())
