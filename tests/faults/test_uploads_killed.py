"""SIGKILL on the way into object storage: at the disk, and at each piece of a request or answer."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL

import pytest

from tests.helpers.processes import start
from tests.helpers.s3 import S3Server, s3_server
from tests.helpers.tcp_proxy import TcpProxy, tcp_proxy
from tests.helpers.uploadpoints import UploadingInstallation

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


async def test_wherever_it_dies_at_the_disk_the_same_objects_are_there_and_told_once(
    server: S3Server, tmp_path: Path
) -> None:
    there = UploadingInstallation(tmp_path / "disk", server)
    await there.reset()
    points = there.points()
    whole = there.delivered()
    assert {Path(name).suffix for name in whole} == {".webm", ".jpg"}

    # From the unfinished manifest on: before it, everything is as without a bucket.
    begins = next(n for n, point in enumerate(points) if "/uploading/" in point.path)
    chosen = [point for point in points[begins:] if point.kind in ("rename", "unlink", "publish")]
    struck = [point for point in chosen if await there.strike(point, whole)]

    assert {point.kind for point in struck} >= {"rename", "unlink"}


async def test_wherever_it_dies_at_the_network_the_same_objects_are_there_and_told_once(
    server: S3Server, tmp_path: Path
) -> None:
    async with tcp_proxy(int(server.endpoint.rpartition(":")[2])) as proxy:
        there = UploadingInstallation(tmp_path / "network", server, proxy.address)
        pieces = await pieces_until(0, there, proxy)
        whole = there.delivered()
        assert len(whole) == 2

        for number in range(1, pieces + 1):
            await pieces_until(number, there, proxy)
            left = there.delivered().items()
            assert left <= whole.items(), f"piece {number} left half of an object"
            await asyncio.to_thread(there.resume)
            assert there.delivered() == whole
            told = await there.told()
            assert len(told["processed_queue"]) == 1, f"after piece {number}"
            assert told["failure_queue"] == []
            assert there.left_over() == []

    assert pieces >= 8


async def pieces_until(number: int, there: UploadingInstallation, proxy: TcpProxy) -> int:
    """Run a worker from the beginning, and kill it at that piece, counted from 1; 0: never.

    Returns:
        The number of pieces that came.
    """
    await there.reset()
    worker = await start(there.env, "worker", "--once", module="tests.helpers.steady")
    seen = 0

    def on_piece() -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            with suppress(ProcessLookupError):
                worker.process.kill()

    proxy.on_piece = on_piece
    assert await worker.ended() == (0 if number == 0 else -SIGKILL)
    proxy.on_piece = None
    return seen
