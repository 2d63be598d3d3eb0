"""Workers that die at the disk, or meet a dead store, on the way into object storage.

Deaths at each piece of the network: ``tests/soak/test_uploads_killed_anywhere.py``.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.helpers.processes import free_port, start
from tests.helpers.s3 import S3Server, s3_server
from tests.helpers.tcp_proxy import tcp_proxy
from tests.helpers.uploadpoints import UploadingInstallation
from tests.helpers.wait import until

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


async def test_wherever_it_dies_at_the_disk_the_same_objects_are_there_and_reported_once(
    server: S3Server, tmp_path: Path
) -> None:
    there = UploadingInstallation(tmp_path / "disk", server, server.endpoint)
    await there.reset()
    points = there.points()
    whole = there.delivered()
    assert {Path(name).suffix for name in whole} == {".webm", ".jpg"}

    # From the unfinished manifest on: before it, everything is as without a bucket.
    begins = next(n for n, point in enumerate(points) if "/uploading/" in point.path)
    chosen = [point for point in points[begins:] if point.kind in ("rename", "unlink", "publish")]
    struck = [point for point in chosen if await there.strike(point, whole)]

    assert {point.kind for point in struck} >= {"rename", "unlink"}


async def test_a_dead_store_is_on_the_health_page_and_others_are_processed_meanwhile(
    server: S3Server, tmp_path: Path
) -> None:
    async with tcp_proxy(int(server.endpoint.rpartition(":")[2])) as proxy:
        there = UploadingInstallation(tmp_path / "outage", server, proxy.address)
        await there.reset()
        port = free_port()
        proxy.refuses = True
        worker = await start(
            there.env | {"SFU_WRAPPER__WORKER__HTTP_PORT": str(port)},
            "worker",
            module="tests.helpers.steady",
        )
        try:
            await worker.logged("worker.storageAway")
            await there.publish_again()
            await until(lambda: len(there.waiting()) == 2)
            health = await asyncio.to_thread(ready, port)
            assert health["status"] == "degraded"
            assert health["parts"]["storage"]["state"] == "away"
            assert "s3://outage" in health["parts"]["storage"]["detail"]
            assert there.bucket.names() == []

            proxy.heal()
            await worker.logged("worker.storageRecovered")
            await until(lambda: not there.waiting() and not there.left_over())
            assert (await asyncio.to_thread(ready, port))["status"] == "ok"
        finally:
            await worker.terminate()
        assert len(there.bucket.names()) == 4
        assert len((await there.told())["processed_queue"]) == 2


def ready(port: int) -> dict[str, Any]:
    """The health page of the worker."""
    with urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found
