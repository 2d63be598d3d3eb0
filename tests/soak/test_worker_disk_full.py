"""A real worker whose disk is full: one segment fails, the next waits, and goes on by itself."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from sfu_wrapper.adapters.queue_file.broker import QueueFile
from tests.helpers.deathpoints import QUEUES, publish, record
from tests.helpers.processes import environment

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]

DEADLINE_S = 200.0
# A disk of 40 MiB, of which but 12 KiB are taken until somebody says so; and a worker.
SCRIPT = """
mount -t tmpfs -o size=40m tmpfs "$1/out"
dd if=/dev/zero of="$1/out/ballast" bs=1024 count=40948 status=none
(while [ ! -e "$1/go" ]; do sleep 0.1; done; rm "$1/out/ballast") &
exec "$2" -m sfu_wrapper.cli worker
"""


async def test_a_worker_waits_for_space_and_goes_on_by_itself(tmp_path: Path) -> None:
    event = record(tmp_path / "raw", tmp_path / "raw-audio")
    for name in ("out", "state"):
        (tmp_path / name).mkdir()
    for segment in (1, 2):
        event["recordingInfo"]["segment"] = segment
        await publish(tmp_path, event)
    env = environment(tmp_path, WORKER__CONCURRENCY="1", CLEAN_TEMPORARY_FILES="false")
    worker = await asyncio.create_subprocess_exec(
        "unshare", "--mount", "--map-root-user", "bash", "-c", SCRIPT, "worker",
        str(tmp_path), sys.executable, env=env, stderr=PIPE,
    )  # fmt: skip
    broker = QueueFile(tmp_path / "state" / "queue.db")
    await broker.open(QUEUES)
    async with asyncio.timeout(DEADLINE_S):
        while await broker.depth("failure_queue") == 0:  # noqa: ASYNC110 another process
            await asyncio.sleep(0.2)
        await asyncio.sleep(8)  # longer than between two looks for space
        assert await broker.depth("processed_queue") == 0
        (tmp_path / "go").touch()
        while await broker.depth("processed_queue") == 0:  # noqa: ASYNC110 another process
            await asyncio.sleep(0.2)
        worker.terminate()
        _, said = await worker.communicate()
    await broker.close()

    lines = [json.loads(line) for line in said.splitlines()]
    messages = [line["message"] for line in lines]
    assert [line["code"] for line in lines if line["message"] == "job.attemptFailed"] == [
        "NO_SPACE"
    ] * 3
    assert messages.count("worker.noSpace") == messages.count("worker.diskSpaceRecovered") == 1
    assert worker.returncode == 0
