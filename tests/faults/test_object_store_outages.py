"""Object storage over outages, long and short ones: what a repeat costs, and what it leaves."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sfu_wrapper.adapters.storage import objects
from sfu_wrapper.adapters.storage.objects import ObstoreObjects
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.ports.storage import Measured
from tests.helpers.s3 import S3Server, s3_server
from tests.helpers.tcp_proxy import TcpProxy, tcp_proxy
from tests.helpers.wait import until

MEBI = 1 << 20
NAME = "room/rec-1.webm"

LENGTHS = pytest.mark.parametrize("length", [MEBI, 20 * MEBI], ids=["at once", "in parts"])
REFUSED = pytest.param({"refuses": True}, id="refused")
CUT = pytest.param({"cut_after": 700_000}, id="cut")
BUSY = pytest.param({"answers": 503}, id="503")
THROTTLED = pytest.param({"answers": 429}, id="429")


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture
async def proxy(server: S3Server) -> AsyncIterator[TcpProxy]:
    async with tcp_proxy(int(server.endpoint.rpartition(":")[2])) as running:
        yield running


@pytest.fixture
def store(server: S3Server, proxy: TcpProxy) -> ObstoreObjects:
    """A bucket of its own behind the network."""
    bucket = f"bucket-{proxy.port}"
    server.make_bucket(bucket)
    return server.store(f"s3://{bucket}/recordings", proxy.address)


def written(folder: Path, length: int) -> tuple[Path, Measured]:
    """A file that no other file is like."""
    file = folder / "staged.webm"
    content = os.urandom(length)
    file.write_bytes(content)
    return file, Measured(length, hashlib.sha256(content).hexdigest())


def meet(proxy: TcpProxy, fault: Mapping[str, Any], most: int | None = None) -> None:
    proxy.most = most
    for name, value in fault.items():
        setattr(proxy, name, value)


@LENGTHS
@pytest.mark.parametrize("fault", [REFUSED, CUT, BUSY, THROTTLED])
async def test_an_upload_outlives_a_short_fault(
    store: ObstoreObjects, proxy: TcpProxy, tmp_path: Path, fault: Mapping[str, Any], length: int
) -> None:
    file, content = written(tmp_path, length)
    meet(proxy, fault, most=2)

    await store.upload(file, NAME, content)

    assert proxy.faults == 2
    assert await store.size(NAME) == length


@LENGTHS
@pytest.mark.parametrize("fault", [REFUSED, CUT, BUSY])
async def test_a_fault_that_lasts_leaves_no_object_and_a_repeat_completes_it(
    store: ObstoreObjects, proxy: TcpProxy, tmp_path: Path, fault: Mapping[str, Any], length: int
) -> None:
    file, content = written(tmp_path, length)
    meet(proxy, fault)

    with pytest.raises(Unavailable, match="s3://bucket-"):
        await store.upload(file, NAME, content)
    proxy.heal()

    assert await store.size(NAME) is None
    await store.upload(file, NAME, content)
    assert await store.size(NAME) == length


async def test_a_hang_that_ends_costs_nothing_but_time(
    store: ObstoreObjects, proxy: TcpProxy, tmp_path: Path
) -> None:
    file, content = written(tmp_path, 20 * MEBI)
    proxy.bytes_per_s = 40 * MEBI  # so that it is still on its way
    uploading = asyncio.create_task(store.upload(file, NAME, content))
    await until(lambda: proxy.passed > 3 * MEBI)
    proxy.flows.clear()
    passed = proxy.passed
    await asyncio.sleep(0.2)
    assert not uploading.done()
    proxy.heal()

    await uploading

    assert proxy.passed - passed < 18 * MEBI  # it went on, and did not begin again
    assert await store.size(NAME) == 20 * MEBI


async def test_a_slow_link_carries_an_upload_to_its_end(
    store: ObstoreObjects, proxy: TcpProxy, tmp_path: Path
) -> None:
    file, content = written(tmp_path, 20 * MEBI)
    proxy.bytes_per_s = 4 * MEBI

    await store.upload(file, NAME, content)

    assert await store.size(NAME) == 20 * MEBI


async def test_a_removal_that_the_network_broke_can_be_repeated(
    store: ObstoreObjects, proxy: TcpProxy, tmp_path: Path
) -> None:
    file, content = written(tmp_path, 1000)
    await store.upload(file, NAME, content)
    proxy.refuses = True

    with pytest.raises(Unavailable):
        await store.remove([NAME])
    proxy.heal()

    await store.remove([NAME])
    assert await store.size(NAME) is None


async def test_a_store_that_refuses_the_credentials_is_asked_once(
    store: ObstoreObjects, proxy: TcpProxy, tmp_path: Path
) -> None:
    file, content = written(tmp_path, 1000)
    proxy.answers = 403

    with pytest.raises(Unavailable, match="refuses these credentials"):
        await store.upload(file, NAME, content)

    assert proxy.faults == 1


def test_a_part_at_the_slowest_speed_takes_no_longer_than_a_request_may() -> None:
    # The library counts the content into the time of a request, and parts share the link.
    under_way = max(objects.MULTIPART_BYTES, objects._PARTS_AT_ONCE * objects._PART_BYTES)

    assert under_way / objects._SLOWEST_BYTES_PER_S < objects._REQUEST_S + 1


async def test_an_object_whose_tag_is_no_md5_is_read_back(
    store: ObstoreObjects, proxy: TcpProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As with keys of a key service, and on Azure and Google.
    monkeypatch.setattr(objects, "_expected_tag", lambda file, tag: "not this one")
    file, content = written(tmp_path, MEBI)
    await store.upload(file, NAME, content)

    file, changed = written(tmp_path, MEBI)
    sent = proxy.passed
    await store.upload(file, NAME, changed)  # of the same length, so only reading tells them apart

    assert proxy.passed > sent + MEBI
