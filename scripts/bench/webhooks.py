"""Webhook events to five endpoints, of which one closes connections and one never answers.

Run as ``.venv/bin/python scripts/bench/webhooks.py [EVENTS]`` (100,000). Store, dispatcher and
receivers share one process on loopback. Prints the time to store the events, the rate of each good
endpoint, what was lost or out of order, and the growth of memory while they were sent.
"""

import asyncio
import resource
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from tests.helpers.dispatching import dispatching, emit, endpoint, event, put
from tests.helpers.receivers import Receiver, hang, receiver, slam

TYPES = ("recording.started", "recording.stopped", "recording.ready", "recording.deleted")
BATCH = 50  # recordings in one commit
LIMIT_S = 3600.0


def memory_mb() -> float:
    """Return the largest size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def store_events(store: SqliteStore, count: int) -> float:
    """Store events of recordings, four each; return the seconds."""
    began_s = time.monotonic()
    recordings = count // len(TYPES)
    for first in range(0, recordings, BATCH):
        batch = range(first, min(first + BATCH, recordings))
        await emit(store, *(event(f"r/{n}", type_) for type_ in TYPES for n in batch))
    return time.monotonic() - began_s


def faults(there: Receiver, count: int) -> tuple[int, int]:
    """Return the number of lost events, and of recordings whose events are out of order."""
    arrived: dict[str, list[str]] = {}
    for request in there.requests:
        got = request.event
        arrived.setdefault(got["data"]["subject"], []).append(got["type"])
    disordered = sum(types != list(TYPES)[: len(types)] for types in arrived.values())
    return count - sum(map(len, arrived.values())), disordered


async def main(count: int) -> None:
    """Run the benchmark."""
    count -= count % len(TYPES)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        store = SqliteStore(Path(folder) / "store.db")
        stack.callback(store.close)
        good = [await stack.enter_async_context(receiver()) for _ in range(3)]
        bad = [await stack.enter_async_context(receiver(each)) for each in (slam, hang)]
        names = [f"good-{n}" for n in range(3)] + ["closes", "hangs"]
        await put(store, *map(endpoint, names, [*good, *bad]))
        stored_s = await store_events(store, count)
        before_mb, began_s = memory_mb(), time.monotonic()
        async with dispatching(store, SystemClock(), deadline_s=15.0):
            while any(len(each.requests) < count for each in good):
                await asyncio.sleep(0.2)
                if time.monotonic() - began_s > LIMIT_S:
                    break
        took_s = time.monotonic() - began_s
        print(f"{count} events for 5 endpoints stored in {stored_s:.1f} s")
        for name, there in zip(names, good, strict=False):
            lost, disordered = faults(there, count)
            rate = len(there.requests) / took_s
            print(f"{name}: {rate:.0f} a second, {lost} lost, {disordered} out of order")
        pending = [len(store.webhooks.deliveries(name, limit=10 * count)) for name in names[3:]]
        print(
            f"listed for the bad ones: {pending}, largest growth {memory_mb() - before_mb:.0f} MB"
        )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
