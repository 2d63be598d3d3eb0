"""Cost of a request, counted instead of timed: which reads and writes of the store it causes."""

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from sfu_wrapper.adapters.memory.audit import MemoryAudit
from sfu_wrapper.adapters.memory.recordings import MemoryRecordings
from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.adapters.memory.webhooks import MemoryWebhooks
from sfu_wrapper.ports.store import Commit
from sfu_wrapper.service.rooms import registry
from sfu_wrapper.wire.room_state import decode_room

STORES: Final = (MemoryStore, MemoryRecordings, MemoryWebhooks, MemoryAudit)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count the calls of the store, by method, and of decoded rooms, within the block."""
    cost: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        for kind in STORES:
            for name, method in vars(kind).items():
                if callable(method) and not name.startswith("_"):
                    patch.setattr(kind, name, _counting(name, method, cost))
        patch.setattr(registry, "decode_room", _counting("decode_room", decode_room, cost))
        yield cost


def _counting(name: str, called: Callable[..., Any], cost: Counter[str]) -> Callable[..., Any]:
    """Return the same function, each call of which counts; commits of rooms also by themselves."""

    @functools.wraps(called)
    def inner(*args: Any, **more: Any) -> Any:  # noqa: ANN401  # those of any method
        cost[name] += 1
        cost["commit of a room"] += any(
            isinstance(each, Commit) and each.room is not None for each in args
        )
        return called(*args, **more)

    return inner
