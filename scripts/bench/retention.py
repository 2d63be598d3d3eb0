"""Retention over a million recordings, and what it costs starts and stops meanwhile.

Run as ``.venv/bin/python scripts/bench/retention.py [--most N]``. One store of N finished
recordings is evaluated with nothing due, with one in a hundred due, and for ``SECONDS`` with all
due. Beside each round toggles are written as a controller does, one every 20 ms; the median and the
99th percentile of their time are printed, and those of as many toggles without retention.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from statistics import median, quantiles
from types import ModuleType
from typing import Final

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.core.retention import DAY_MS, RetentionRules
from sfu_wrapper.ports.recordings import Due, SegmentFacts
from sfu_wrapper.ports.store import Commit, PartRow
from sfu_wrapper.service.recordings.deletion_commits import Committer
from sfu_wrapper.service.recordings.retention import Retention
from tests.helpers.clocks import StandingClock
from tests.helpers.indexed import facts

SECONDS: Final = 20.0  # of the round in which all are due
EVERY_S: Final = 0.02
BASE_MS: Final = 1_700_000_000_000


def recordings_bench() -> ModuleType:
    """Return the benchmark that fills stores; it has no suffix, so it is loaded by its path."""
    path = str(Path(__file__).with_name("recordings"))
    loader = SourceFileLoader("recordings_bench", path)
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


async def toggling(store: SqliteStore, name: str, took: list[float]) -> None:
    """Write a start or a stop every 20 ms until cancelled, and note the ms of each."""
    n = 0
    while True:
        known = facts(1, f"{name}-{n // 2}", at_ms=BASE_MS + n, runs=n % 2 == 0)
        part = PartRow(known.key.uuid, "segment/1", b"{}" * 200)
        began_s = time.perf_counter()
        await store.commit(Commit(parts=(part,), recordings=(SegmentFacts(known),)), 1)
        took.append((time.perf_counter() - began_s) * 1_000)
        n += 1
        await asyncio.sleep(EVERY_S)


async def measured(
    store: SqliteStore, name: str, rules: RetentionRules | None, now_ms: int, most_s: float
) -> None:
    """Print one round, or so many seconds of it; without rules, of toggles alone."""
    took: list[float] = []
    toggles = asyncio.create_task(toggling(store, name.replace(" ", "-"), took))
    began_s, count = time.perf_counter(), 0
    done = f"{most_s:.0f} s of toggles alone"
    if rules is None:
        await asyncio.sleep(most_s)
    else:
        clock = StandingClock(now_ms / 1000)
        committer = Committer(store, lambda _: None)
        retention = Retention(store.index, committer, None, clock, rules, 300)
        ended = "not ended"
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                count = await retention.evaluate()
                ended = "ended"
        spent_s = time.perf_counter() - began_s
        done = f"{spent_s:.1f} s, {ended}, {count} requested"
    toggles.cancel()
    await asyncio.gather(toggles, return_exceptions=True)
    times = "too short | | "
    if len(took) > 1:
        times = f"{median(took):.1f} | {quantiles(took, n=100)[98]:.1f} | {max(took):.1f}"
    print(f"| {name} | {done} | {len(took)} | {times} |", flush=True)


async def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--most", type=int, default=1_000_000, help="recordings of the store")
    most = parser.parse_args().most
    filled = recordings_bench().filled
    with tempfile.TemporaryDirectory() as folder:
        store: SqliteStore = await filled(Path(folder), most)
        last_ms = BASE_MS + most * 1_000
        days = RetentionRules(days=1)
        print("| round | retention | toggles | median, ms | p99, ms | slowest, ms |")
        print("|---|---|---:|---:|---:|---:|")
        await measured(store, "none", None, last_ms, SECONDS)
        await measured(store, "nothing due", days, BASE_MS, 60)
        hundredth_ms = BASE_MS + most * 10 + DAY_MS + 9_000
        await measured(store, "one in 100 due", days, hundredth_ms, 60)
        before = _requested(store)
        await measured(store, "all due", days, last_ms + 2 * DAY_MS, SECONDS)
        print(f"\nof all due, {(_requested(store) - before) / SECONDS:.0f} a second were requested")
        store.close()


def _requested(store: SqliteStore) -> int:
    """Return the number of recordings whose deletion is requested."""
    count, after = 0, None
    while page := store.index.deletions(10_000, after):
        count += len(page)
        last = page[-1].deletion
        assert last is not None

        after = Due(last.requested_ms, page[-1].key)
    return count


if __name__ == "__main__":
    asyncio.run(main())
