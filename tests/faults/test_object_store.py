"""Uploads to a real S3 server whose connections are cut, stalled and damaged on the way."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sfu_wrapper.adapters.storage import objects as adapter
from sfu_wrapper.adapters.storage.objects import MULTIPART_BYTES, ObstoreObjects
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.ports.storage import Measured
from tests.helpers.s3 import S3Server, s3_server
from tests.helpers.tcp_proxy import TcpProxy, tcp_proxy
from tests.helpers.wait import until

URL = "s3://recordings/of/tests"
IN_PARTS = MULTIPART_BYTES + 5


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        running.make_bucket("recordings")
        yield running


@pytest.fixture
async def proxy(server: S3Server) -> AsyncIterator[TcpProxy]:
    async with tcp_proxy(int(server.endpoint.rpartition(":")[2])) as running:
        yield running


@pytest.fixture
def store(server: S3Server, proxy: TcpProxy) -> ObstoreObjects:
    return server.store(URL, proxy.address)


def a_file(folder: Path, length: int) -> tuple[Path, Measured]:
    file = folder / "rec.webm"
    digest = hashlib.sha256()
    with file.open("wb") as opened:
        for start in range(0, length, 1 << 20):
            piece = os.urandom(min(1 << 20, length - start))
            digest.update(piece)
            opened.write(piece)
    return file, Measured(length, digest.hexdigest())


async def held(store: ObstoreObjects, name: str) -> str:
    """Return the SHA-256 of an object, as anyone reads it from a signed address."""
    address = await store.address(name, 60)
    command = f"curl -sf --max-time 60 '{address}' | sha256sum"
    process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return out.decode().split()[0]


@pytest.mark.parametrize("length", [200_000, IN_PARTS])
async def test_a_file_damaged_on_its_way_is_not_taken_for_uploaded(
    store: ObstoreObjects, proxy: TcpProxy, tmp_path: Path, length: int
) -> None:
    file, content = a_file(tmp_path, length)
    proxy.damages = 20_000

    with pytest.raises(Unavailable, match="other content"):
        await store.upload(file, f"damaged-{length}.webm", content)
    assert proxy.damaged == 1

    await store.upload(file, f"damaged-{length}.webm", content)
    assert await held(store, f"damaged-{length}.webm") == content.sha256


@pytest.mark.parametrize("length", [200_000, IN_PARTS])
async def test_a_connection_that_is_cut_costs_a_repeat_only(
    store: ObstoreObjects, proxy: TcpProxy, tmp_path: Path, length: int
) -> None:
    file, content = a_file(tmp_path, length)
    proxy.cut_after = 100_000
    uploading = asyncio.create_task(store.upload(file, f"cut-{length}.webm", content))
    await until(lambda: proxy.faults >= 1)
    proxy.cut_after = None

    await uploading

    assert await held(store, f"cut-{length}.webm") == content.sha256


async def test_a_store_that_cuts_every_connection_is_unavailable(
    store: ObstoreObjects, proxy: TcpProxy, tmp_path: Path
) -> None:
    file, content = a_file(tmp_path, 200_000)
    proxy.cut_after = 100_000

    with pytest.raises(Unavailable, match="s3://recordings/of/tests"):
        await store.upload(file, "never.webm", content)

    proxy.cut_after = None
    assert await store.size("never.webm") is None, "no half object"


async def test_a_store_that_refuses_connections_is_unavailable(
    store: ObstoreObjects, proxy: TcpProxy
) -> None:
    proxy.refuses = True

    for call in (store.size("x"), store.remove(["x"]), store.check()):
        with pytest.raises(Unavailable):
            await call


async def test_a_store_that_stalls_is_unavailable_at_its_deadline(
    store: ObstoreObjects, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "_ANSWER_S", 0.3)
    proxy.flows.clear()

    with pytest.raises(Unavailable, match="no answer within"):
        await store.size("x")

    proxy.flows.set()
    assert await store.size("x") is None


async def test_a_missing_bucket_is_named_as_such(server: S3Server, tmp_path: Path) -> None:
    file, content = a_file(tmp_path, 10)

    with pytest.raises(Unavailable, match="the bucket is not there"):
        await server.store("s3://not-made").upload(file, "x.webm", content)


async def test_an_object_that_an_encrypting_store_names_otherwise_is_read_back(
    store: ObstoreObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With keys of a key service, and on Azure and Google, the tag is no MD5."""
    file, content = a_file(tmp_path, 200_000)
    monkeypatch.setattr(adapter, "_expected_tag", lambda file, tag: "not-this-one")

    await store.upload(file, "kms.webm", content)

    assert await held(store, "kms.webm") == content.sha256
