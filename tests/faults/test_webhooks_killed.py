"""A process killed between commit and delivery, and between delivery and its record."""

import asyncio
import signal
import sys
from pathlib import Path

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from tests.helpers.dispatching import dispatching
from tests.helpers.receivers import OK, hang, receiver
from tests.helpers.wait import until

TOP = Path(__file__).parents[2]
CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from tests.helpers.dispatching import dispatching, emit, endpoint, event, put

async def main(path, url, dispatches):
    store = SqliteStore(Path(path))
    await put(store, endpoint("wh", url))
    await emit(store, event("r/1"), event("r/1", "recording.deleted"), event("r/2"))
    if dispatches == "no":
        os.kill(os.getpid(), signal.SIGKILL)
    async with dispatching(store, SystemClock()):
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


async def child(path: Path, url: str, dispatches: str) -> asyncio.subprocess.Process:
    """Start a process that commits events, and sends them or dies at once."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(path), url, dispatches, cwd=TOP
    )


async def delivered_after(path: Path) -> None:
    """Let the next process deliver all."""
    store = SqliteStore(path)
    try:
        async with dispatching(store, SystemClock()) as running:
            await running.delivered("wh", 3)
    finally:
        store.close()


async def test_what_was_committed_is_delivered_by_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with receiver() as there:
        killed = await child(path, there.url, "no")
        assert await killed.wait() == -signal.SIGKILL
        assert there.requests == []
        await delivered_after(path)

    assert there.types("r/1") == ["recording.ready", "recording.deleted"]
    assert there.types("r/2") == ["recording.ready"]


async def test_what_was_under_way_is_sent_again_under_its_id(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with receiver(hang) as there:
        killed = await child(path, there.url, "yes")
        try:
            await until(lambda: len(there.requests) == 2)  # the heads of both recordings
        finally:
            killed.kill()
        await killed.wait()
        there.answer = OK
        await delivered_after(path)

    assert there.types("r/1") == ["recording.ready", "recording.ready", "recording.deleted"]
    assert len({each.id for each in there.requests}) == 3
    assert {each.id for each in there.requests[:2]} <= {each.id for each in there.requests[2:]}
