"""What object storage promises: in memory, and on a real server that speaks S3."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sfu_wrapper.adapters.memory.objects import MemoryObjectStore
from sfu_wrapper.adapters.storage.objects import MULTIPART_BYTES
from sfu_wrapper.ports.objects import ObjectStore, object_url
from sfu_wrapper.ports.storage import Measured
from tests.helpers.s3 import S3Server, s3_server


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        running.make_bucket("recordings")
        yield running


@pytest.fixture(params=["memory", "s3", "s3 without a folder"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    if request.param == "memory":
        return MemoryObjectStore()
    server: S3Server = request.getfixturevalue("server")
    folder = "" if "without" in request.param else f"/of/{request.node.name}"
    return server.store(f"s3://recordings{folder}")


def a_file(folder: Path, content: bytes) -> tuple[Path, Measured]:
    file = folder / "file"
    file.write_bytes(content)
    return file, Measured(len(content), hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize(
    "length", [0, 1, 100_000, MULTIPART_BYTES, MULTIPART_BYTES + 1, 2 * MULTIPART_BYTES]
)
async def test_an_uploaded_file_is_there_whole(
    store: ObjectStore, tmp_path: Path, length: int
) -> None:
    file, content = a_file(tmp_path, os.urandom(length))

    await store.upload(file, "a/b.webm", content)

    assert await store.size("a/b.webm") == length
    await store.remove(["a/b.webm"])
    assert await store.size("a/b.webm") is None


async def test_an_upload_may_be_repeated(store: ObjectStore, tmp_path: Path) -> None:
    file, content = a_file(tmp_path, b"once")

    await store.upload(file, "again.webm", content)
    await store.upload(file, "again.webm", content)

    assert await store.size("again.webm") == 4


async def test_an_object_with_other_content_is_replaced(store: ObjectStore, tmp_path: Path) -> None:
    await store.upload(*named(a_file(tmp_path, b"old!")))

    await store.upload(*named(a_file(tmp_path, b"new!")))
    await store.upload(*named(a_file(tmp_path, b"longer")))

    assert await store.size("x.webm") == 6


def named(of: tuple[Path, Measured]) -> tuple[Path, str, Measured]:
    return of[0], "x.webm", of[1]


async def test_a_file_that_is_missing_is_not_uploaded(store: ObjectStore, tmp_path: Path) -> None:
    file, content = a_file(tmp_path, b"content")
    file.unlink()

    with pytest.raises(FileNotFoundError):
        await store.upload(file, "missing.webm", content)

    assert await store.size("missing.webm") is None


async def test_a_file_of_another_length_is_not_uploaded(store: ObjectStore, tmp_path: Path) -> None:
    file, content = a_file(tmp_path, b"content")
    file.write_bytes(b"conte")

    with pytest.raises(FileNotFoundError):
        await store.upload(file, "short.webm", content)

    assert await store.size("short.webm") is None


async def test_objects_that_are_not_there_can_be_removed(store: ObjectStore) -> None:
    await store.remove(["never/was.webm", "nor-this.webm"])


async def test_an_object_has_an_address_for_some_seconds(
    store: ObjectStore, tmp_path: Path
) -> None:
    file, content = a_file(tmp_path, b"content")
    await store.upload(file, "folder/a b.webm", content)

    address = await store.address("folder/a b.webm", 60)

    assert "60" in address


async def test_a_store_that_answers_passes_the_check(store: ObjectStore) -> None:
    await store.check()

    assert await store.size(".sfu-wrapper-probe") is None


async def test_an_object_is_named_by_the_address_of_its_bucket(store: ObjectStore) -> None:
    assert object_url(store.url, "a/b.webm") == f"{store.url}/a/b.webm"
    assert not store.url.endswith("/")
