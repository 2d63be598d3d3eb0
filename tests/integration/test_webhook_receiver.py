"""The example receiver of the documentation, as a process of its own."""

import asyncio
import os
import sys
from pathlib import Path

from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.webhook_sender import HttpSender
from sfu_wrapper.core.webhooks import signed_headers
from sfu_wrapper.ports.store import Commit
from sfu_wrapper.ports.webhooks import SendAgain
from tests.helpers.dispatching import dispatching, emit, endpoint, event, put
from tests.helpers.receivers import SECRET
from tests.helpers.wait import until

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "webhook_receiver.py"


async def test_the_example_verifies_and_drops_repeats() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLE),
        "0",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | {"WEBHOOK_SECRET": SECRET},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            port = int((await process.stdout.readline()).split()[-1])
        url = f"http://127.0.0.1:{port}/"
        store = MemoryStore()
        await put(store, endpoint("wh", url))
        await emit(store, event("r/1"))
        async with dispatching(store, SystemClock()) as running:
            await running.delivered("wh", 1)
            (done,) = running.listed("wh")
            await store.commit(Commit(webhooks=(SendAgain("wh", done.id, 0),)), 1)
            await until(lambda: running.counted["delivered"] == 2)  # accepted, and not printed
            await emit(store, event("r/1", "recording.deleted"))
            await running.delivered("wh", 2)
        sender = HttpSender(allow_private=True)
        forged = signed_headers((SECRET,), "msg_1", 1, b"{}")
        assert await sender.post(url, forged, b"{}") == 401
        sender.close()
        async with asyncio.timeout(20):
            printed = [(await process.stdout.readline()).split()[0] for _ in range(2)]
    finally:
        process.kill()
        await process.wait()

    assert printed == [b"recording.ready", b"recording.deleted"]
