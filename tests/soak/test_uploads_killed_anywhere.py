"""Workers that die at each piece that goes to or from the object store, uploading and deleting."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.s3 import S3Server, s3_server
from tests.helpers.tcp_proxy import tcp_proxy
from tests.helpers.uploadpoints import ObjectDeletion, UploadingInstallation, pieces_until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


async def test_wherever_it_dies_at_the_network_the_same_objects_are_there_and_reported_once(
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


async def test_wherever_it_dies_at_the_network_the_objects_are_deleted_and_reported_once(
    server: S3Server, tmp_path: Path
) -> None:
    async with tcp_proxy(int(server.endpoint.rpartition(":")[2])) as proxy:
        there = ObjectDeletion(tmp_path / "deletion", server, proxy.address)
        await there.prepare()
        await there.reset()
        whole = there.files()
        pieces = await pieces_until(0, there, proxy)
        kept = there.files()
        assert len(there.bucket.names()) == 2
        assert kept < whole

        for number in range(1, pieces + 1):
            await pieces_until(number, there, proxy)
            await there.complete(f"piece {number}", whole, kept)

    assert pieces >= 4
