"""``sfu-wrapper`` that counts its durable calls, and ends itself with SIGKILL at a chosen one.

Run as ``python -m`` with CALLS, a file to which each call is appended as it begins, and perhaps
DEATH: ``7:before`` or ``7:after`` the seventh call, ``SqliteStore.commit:1:before`` for the first
of that name. A publish has its routing key in its name: ``QueueFile.publish/processed``.
"""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from itertools import chain
from typing import Any

from sfu_wrapper.adapters.queue_file.broker import QueueDelivery, QueueFile
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.adapters.sqlite.webhooks import SqliteWebhooks
from sfu_wrapper.adapters.storage.local import LocalStorage
from sfu_wrapper.adapters.storage.objects import ObstoreObjects
from sfu_wrapper.adapters.storage.removal import LocalRemoval
from sfu_wrapper.adapters.webhook_sender import HttpSender
from sfu_wrapper.cli.main import main
from sfu_wrapper.ports.broker import Message
from tests.helpers.doomed import die

CALLS: tuple[tuple[type, tuple[str, ...]], ...] = (
    (SqliteStore, ("commit", "mark_published")),
    (SqliteWebhooks, ("record",)),
    (QueueFile, ("publish",)),
    (QueueDelivery, ("ack",)),
    (HttpSender, ("post",)),
    (LocalStorage, ("deliver", "finish", "remove", "remove_copies", "clear")),
    (
        LocalRemoval,
        ("put_order", "remove_raw", "remove_log", "remove_results", "put_mark", "close_order"),
    ),
    (ObstoreObjects, ("upload", "remove")),
)


class Counted:
    """Calls so far, and the one to die at."""

    def __init__(self, file: str, death: str | None) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._which, self._when = (death or "0:").rsplit(":", maxsplit=1)
        self._of_name: Counter[str] = Counter()

    def begin(self, name: str) -> bool:
        """Note a call; die, if it is the one to die before. Returns True to die after it."""
        self._of_name[name] += 1
        os.write(self._file, f"{name}\n".encode())
        is_it = self._which in (
            str(self._of_name.total()),
            f"{name}:{self._of_name[name]}",
        )
        if is_it and self._when == "before":
            die()
        return is_it


def count(counted: Counted, owner: type, method: str) -> None:
    """Count the calls of a method, which returns a future or is a coroutine."""
    real: Callable[..., Any] = getattr(owner, method)
    name = f"{owner.__name__}.{method}"

    async def awaited(call: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401  # of any method
        await call
        die()

    def counting(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # of any method
        keys = (arg.routing_key for arg in args if isinstance(arg, Message))
        ends = counted.begin("/".join((name, *keys)))
        result = real(*args, **kwargs)
        if not ends:
            return result
        if isinstance(result, asyncio.Future):
            result.add_done_callback(lambda _: die())
            return result
        return awaited(result)

    setattr(owner, method, counting)


if __name__ == "__main__":
    calls = Counted(os.environ["CALLS"], os.environ.get("DEATH"))
    for owner_, method_ in chain.from_iterable(
        ((owner, method) for method in methods) for owner, methods in CALLS
    ):
        count(calls, owner_, method_)
    sys.exit(main())
