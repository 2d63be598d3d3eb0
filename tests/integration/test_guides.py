"""Commands of pages that need a running controller, as a reader pastes them."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from sfu_wrapper.model.identity import RecordingPermissions, RecordingProfile, RecordingType
from tests.helpers.live import SECRET, Live, live, token
from tests.helpers.pages import block, blocks

BIN = Path(sys.executable).parent
ALWAYS = RecordingPermissions(RecordingType.ALL, RecordingProfile.ALWAYS)


@pytest_asyncio.fixture
async def here() -> AsyncIterator[Live]:
    """A controller with a meeting of alice's that was recorded."""
    async with live() as here:
        await here.permit("alice", ALWAYS)
        alice = await here.client("alice")
        await alice.ok("createRoom", {"id": "standup", "kind": "meeting", "record": True})
        await alice.ok("joinRoom", {"room": "standup"})
        await alice.event("roomRecordingStarted")
        yield here


async def run(script: str, here: Live, folder: Path, **variables: str) -> str:
    """Run a block against the controller in an empty folder; return what it printed."""
    ours = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "SFU_WRAPPER__AUTH__SECRET": SECRET,
        "SFU_WRAPPER__LOG__LEVEL": "error",
    }
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euo", "pipefail", "-c", script.replace("http://127.0.0.1:8080", here.http_url)],
        cwd=folder,
        env=os.environ | ours | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


async def test_a_domain_admin_sets_a_permission(here: Live, tmp_path: Path) -> None:
    script = block("reference/http.md", "Permissions", "sh").replace("user/alice", "user/carol")

    assert '"recordingProfile":"always"' in await run(script, here, tmp_path)


async def test_the_search_for_a_recording_finds_why_and_what(here: Live, tmp_path: Path) -> None:
    page, alice = "how-to/missing-recording.md", token("alice")
    explain, decision = blocks(page, "Was it to be recorded?", "sh")
    (room,) = blocks(page, "Did a segment run?", "sh")
    (event,) = blocks(page, "Was its event published?", "sh")
    queues, _ = block(page, "Is it being processed?", "sh").splitlines()

    assert "NO_PERMISSION" in await run(explain, here, tmp_path)
    assert '"established":' in await run(decision, here, tmp_path, TOKEN=alice)
    assert '"state":"recording"' in await run(room, here, tmp_path, TOKEN=alice)
    assert "sfu_wrapper_outbox_pending 0.0" in await run(event, here, tmp_path)
    assert "processing_queue 0" in await run(queues, here, tmp_path)
