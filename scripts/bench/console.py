"""The console with 500 rooms and 5,000 recordings: first view, frames under changes, memory.

Run as ``.venv/bin/python scripts/bench/console.py [--minutes N]``. A controller on loopback with an
SQLite store, a headless Chromium beside it, signed in as an administrator. Prints when the first
rows and all rows of the rooms are shown, in ms since the navigation began, and beside it the same
for a page without any (the floor: the sign-in); the times between the frames of the page while
recordings start and stop in random rooms, beside those of the page at rest; and the heap of
the page after a collection, for each minute of changes.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

sys.path.insert(0, str(Path(__file__).parents[2]))

from sfu_wrapper.adapters.memory.plane import MemoryPlane
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.model.identity import RoomId
from sfu_wrapper.ports.recordings import PutRecording
from sfu_wrapper.ports.store import Commit
from tests.helpers.browserlink import Tab
from tests.helpers.calls import ALWAYS
from tests.helpers.chromium import browser
from tests.helpers.consolepage import console
from tests.helpers.indexed import ready
from tests.helpers.live import Live, Peer, live

ROOMS, RECORDINGS, OWNERS = 500, 5_000, 10
CHANGES_PER_S = 50
FRAMES_S = 20
BATCH = 500
BASE_MS = int(time.time() * 1_000) - RECORDINGS * 10_000

_SHOWN = """
globalThis.shown = {};
new MutationObserver(() => {
  const rows = document.querySelectorAll('tbody tr').length;
  if (rows > 0) shown.first ??= performance.now();
  if (rows >= %d) shown.all ??= performance.now();
  if (document.querySelector('h1')) shown.frame ??= performance.now();
}).observe(document, { childList: true, subtree: true });
"""
_FRAMES = """new Promise((done) => {
  const times = [];
  const next = (at) => {
    times.push(at);
    if (at - times[0] < %d) requestAnimationFrame(next);
    else done(times.slice(1).map((each, index) => each - times[index]));
  };
  requestAnimationFrame(next);
})"""


async def seed(here: Live, store: SqliteStore) -> list[Peer]:
    """Make the rooms, with three participants each, and the recordings; return their owners."""
    service = await here.service()
    owners = []
    for number in range(OWNERS):
        await here.permit(f"owner-{number}", ALWAYS)
        owners.append(await here.client(f"owner-{number}"))
    for number in range(ROOMS):
        owner = owners[number % OWNERS]
        room = f"room-{number}"
        new = {"id": room, "kind": "meeting", "owner": owner.user, "domain": "example"}
        await service.ok("createRoom", new)
        await owner.ok("joinRoom", {"room": room})
        for guest in ("bob", "carol"):
            join = {"room": room, "domain": "example", "user": f"{guest}-{number}"}
            await service.ok("joinRoom", join)
    for first in range(0, RECORDINGS, BATCH):
        numbers = range(first, first + BATCH)
        puts = (
            PutRecording(ready(1, f"old-{n}", at_ms=BASE_MS + n * 1_000, room=RoomId(f"old-{n}")))
            for n in numbers
        )
        await store.commit(Commit(recordings=tuple(puts)), 1)
    return owners


async def change(owners: list[Peer], seconds: float) -> int:
    """Start and stop recordings in random rooms; return how often."""
    chosen = random.Random(1)  # noqa: S311  # the same rooms in each run
    count, end_s = 0, time.monotonic() + seconds
    while time.monotonic() < end_s:
        number = chosen.randrange(ROOMS)
        owner = owners[number % OWNERS]
        for endpoint in ("startRoomRecording", "stopRoomRecording"):
            answer = await owner.ask(endpoint, {"room": f"room-{number}"})
            count += answer["status"] == "ok"
        owner.received.clear()  # a client that keeps everything would be measured too
        await asyncio.sleep(2 / CHANGES_PER_S)
    return count


async def frames(tab: Tab, seconds: float) -> str:
    """Return the times between the frames of a page, in words."""
    gaps = await tab.run(_FRAMES % (seconds * 1_000), seconds + 30)
    cuts = quantiles(gaps, n=100)
    late = sum(gap > 50 for gap in gaps) / len(gaps)
    return (
        f"median {median(gaps):.1f} ms, p95 {cuts[94]:.1f}, p99 {cuts[98]:.1f}, "
        f"longest {max(gaps):.0f}, over 50 ms {late:.1%} of {len(gaps)}"
    )


async def heap_mb(tab: Tab) -> float:
    """Return the heap of the page after a collection, in MB."""
    await tab.ask("HeapProfiler.collectGarbage")
    used = await tab.ask("Runtime.getHeapUsage")
    return float(used["usedSize"]) / 1e6


async def measure(here: Live, owners: list[Peer], minutes: int) -> None:
    """Print all figures."""
    async with browser() as chromium:
        empty = await chromium.open(f"{here.http_url}/health/live")
        await empty.before(_SHOWN % ROOMS)
        await empty.go(here.http_url)
        floor_ms = await empty.until("globalThis.shown?.frame")

        page = await console(chromium, here.http_url, "admin", "domain-admin")
        await page.page.before(_SHOWN % ROOMS)
        for _ in range(5):
            await page.page.ask("Page.reload")
            await page.page.until("globalThis.shown?.all", 60)
            shown = await page.page.run("shown")
            print(
                f"rooms: first rows {shown['first']:.0f} ms, all {ROOMS} {shown['all']:.0f} ms"
                f" (sign-in: {floor_ms:.0f} ms)"
            )
        print("frames at rest:", await frames(page.page, 5))
        working = asyncio.create_task(change(owners, FRAMES_S + 2))
        print(f"frames with {CHANGES_PER_S} changes a second:", await frames(page.page, FRAMES_S))
        print(f"{await working} changes")

        await page.go("recordings")
        await page.page.until("document.querySelectorAll('tbody tr').length >= 50", 60)
        began_s = time.monotonic()
        await page.page.ask("Page.reload")
        await page.page.until("document.querySelectorAll('tbody tr').length >= 50", 60)
        print(f"recordings: first page {(time.monotonic() - began_s) * 1_000:.0f} ms")

        await page.go("rooms")
        await page.page.until(f"document.querySelectorAll('tbody tr').length >= {ROOMS}", 60)
        for minute in range(minutes + 1):
            print(f"heap after {minute} min of changes: {await heap_mb(page.page):.1f} MB")
            if minute < minutes:
                await change(owners, 60)


async def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=10, help="how long memory is looked at")
    chosen = parser.parse_args()
    quotas = ("quotas.roomsPerMinute=100000", "quotas.segmentsPerMinute=100000")
    rates = ("websocket.requestsPerSecond=100000", "websocket.requestsBurst=100000")
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder, "bench.db"))
        async with live(
            "recordRecordingAtStart=false", *quotas, *rates, store=store, plane=MemoryPlane()
        ) as here:
            owners = await seed(here, store)
            await measure(here, owners, chosen.minutes)


asyncio.run(main())
