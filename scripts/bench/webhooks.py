"""Webhook events to five endpoints, of which one closes connections and one never answers.

Run as ``.venv/bin/python scripts/bench/webhooks.py [EVENTS]`` (100,000). Store, dispatcher and
receivers share one process on loopback. Prints the time to store the events, the rate of each good
endpoint, what was lost or out of order, and the growth of memory while they were sent; as a floor,
the rate of the HTTP client alone.
"""

import asyncio
import json
import resource
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.adapters.webhook_sender import HttpSender
from sfu_wrapper.service.recordings.dispatch import WINDOW
from tests.helpers.dispatching import dispatching, emit, endpoint, event, put
from tests.helpers.receivers import OK, Request, hang, receiver, slam

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


class Tally:
    """What one good endpoint got: counted, not kept, so that memory is the dispatcher's own.

    Attributes:
        count: number of requests.
        disordered: number of events that came before an earlier one of their recording.
    """

    def __init__(self) -> None:
        self.count = 0
        self.disordered = 0
        self._next: dict[str, int] = {}

    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """Count a request, and accept it."""
        got = request.event
        subject = got["data"]["subject"]
        wanted = self._next.get(subject, 0)
        self.disordered += got["type"] != TYPES[wanted]
        if wanted + 1 == len(TYPES):
            self._next.pop(subject, None)
        else:
            self._next[subject] = wanted + 1
        self.count += 1
        await OK(request, writer)


async def floor(seconds: float) -> float:
    """Return the requests a second of the same client to one endpoint, without store and order."""
    tally, sender = Tally(), HttpSender(allow_private=True)
    body = json.dumps({"type": TYPES[0], "data": {"subject": "r"}}).encode()
    async with receiver(tally.answer) as there:
        until_s = time.monotonic() + seconds

        async def send() -> None:
            while time.monotonic() < until_s:
                await sender.post(there.url, {"content-type": "application/json"}, body)
                there.requests.clear()

        await asyncio.gather(*(send() for _ in range(WINDOW)))
    sender.close()
    return tally.count / seconds


async def main(count: int) -> None:
    """Run the benchmark."""
    count -= count % len(TYPES)
    alone = await floor(5)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        store = SqliteStore(Path(folder) / "store.db")
        stack.callback(store.close)
        tallies = [Tally() for _ in range(3)]
        good = [await stack.enter_async_context(receiver(each.answer)) for each in tallies]
        bad = [await stack.enter_async_context(receiver(each)) for each in (slam, hang)]
        names = [f"good-{n}" for n in range(3)] + ["closes", "hangs"]
        await put(store, *map(endpoint, names, [*good, *bad]))
        stored_s = await store_events(store, count)
        before_mb, began_s = memory_mb(), time.monotonic()
        async with dispatching(store, SystemClock(), deadline_s=15.0):
            while any(each.count < count for each in tallies):
                await asyncio.sleep(0.2)
                for there in (*good, *bad):
                    there.requests.clear()
                if time.monotonic() - began_s > LIMIT_S:
                    break
        took_s, grown_mb = time.monotonic() - began_s, memory_mb() - before_mb
        print(f"{count} events for 5 endpoints stored in {stored_s:.1f} s")
        for name, tally in zip(names, tallies, strict=False):
            lost = max(0, count - tally.count)
            rate = tally.count / took_s
            print(f"{name}: {rate:.0f} a second, {lost} lost, {tally.disordered} out of order")
        together = sum(tally.count for tally in tallies) / took_s
        print(f"together {together:.0f} a second; the client alone {alone:.0f} to one endpoint")
        pending = [len(store.webhooks.deliveries(name, limit=10 * count)) for name in names[3:]]
        print(f"listed for the bad ones: {pending}, largest growth {grown_mb:.0f} MB")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
