"""Files in an object store over HTTP, on a real S3 server: redirects, refusals, links, audit."""

import hashlib
import json
import re
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sfu_wrapper.adapters.memory.objects import MemoryObjectStore
from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.ports.objects import ObjectStore
from sfu_wrapper.ports.storage import Measured
from tests.helpers.http import Answer, World, pass_for, world
from tests.helpers.recordings import facts, finished, put, result
from tests.helpers.s3 import S3Server, s3_server

CONTENT = bytes(range(256)) * 2000
NAME = "rec-1.webm"
TAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
PATH = f"/recordings/uuid-1/1/files/{NAME}"
ALICE = pass_for("alice")


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        running.make_bucket("recordings")
        yield running


@asynccontextmanager
async def stored(
    objects: ObjectStore | None, folder: Path, *, url: str | None = None
) -> AsyncIterator[World]:
    """A server whose one recording says that its file is an object."""
    store = MemoryStore()
    about = facts()
    at = url or (objects.url if objects is not None else "s3://recordings")
    await put(store, finished(about, result(about, {NAME: CONTENT}, store_url=at)))
    parts: dict[str, Any] = {"objects": objects}
    async with world(store=store, folder=folder, recordings=parts) as here:
        yield here


async def upload(objects: ObjectStore, folder: Path, content: bytes = CONTENT) -> None:
    file = folder / NAME
    file.write_bytes(content)
    await objects.upload(file, NAME, Measured(len(content), hashlib.sha256(content).hexdigest()))


def read(address: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(address, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        found = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status, found, answer.read()


async def test_a_file_is_found_at_the_store_for_a_minute(server: S3Server, tmp_path: Path) -> None:
    objects = server.store("s3://recordings/one")
    await upload(objects, tmp_path)

    async with stored(objects, tmp_path) as here:
        answer = await here.ask("GET", PATH, ALICE)

    assert answer.status == 302
    assert answer.body == b""
    assert answer.headers["etag"] == TAG
    assert answer.headers["cache-control"] == "private, no-store"
    address = answer.headers["location"]
    assert address.startswith(f"{server.endpoint}/recordings/one/{NAME}?")
    assert "X-Amz-Expires=60&" in address
    status, headers, body = read(address)
    assert (status, body) == (200, CONTENT)
    assert headers["content-type"] == "video/webm"
    assert headers["content-disposition"] == f"attachment; filename*=UTF-8''{NAME}"
    status, headers, body = read(address, Range="bytes=100-199")
    assert (status, body) == (206, CONTENT[100:200])


async def test_head_leads_to_an_address_for_head(server: S3Server, tmp_path: Path) -> None:
    objects = server.store("s3://recordings/head")
    await upload(objects, tmp_path)

    async with stored(objects, tmp_path) as here:
        of_head = await here.ask("HEAD", PATH, ALICE)
        of_get = await here.ask("GET", PATH, ALICE)

    assert of_head.status == 302
    assert of_head.headers["location"] != of_get.headers["location"], "signed for the method"
    status, headers, body = read(of_head.headers["location"], "HEAD")
    assert (status, headers["content-length"], body) == (200, str(len(CONTENT)), b"")


async def test_a_link_leads_there_too_and_each_read_is_in_the_audit_log(
    server: S3Server, tmp_path: Path
) -> None:
    objects = server.store("s3://recordings/link")
    await upload(objects, tmp_path)

    async with stored(objects, tmp_path) as here:
        made = await here.ask(
            "POST", "/recordings/uuid-1/1/links", ALICE, {"name": NAME, "seconds": 600}
        )
        path = "/" + made.json["url"].split("/", 3)[3]
        answer = await here.ask("GET", path)
        await here.ask("GET", PATH, ALICE)
        rows = here.store.audit.entries(facts().domain, 0, 100)
        actions = [json.loads(row.entry)["action"] for row in rows]

    assert answer.status == 302
    assert read(answer.headers["location"])[2] == CONTENT
    # A player keeps the address for all ranges, so it lasts as long as the link, and no longer.
    (lasts_s,) = re.findall(r"X-Amz-Expires=(\d+)&", answer.headers["location"])
    assert 590 <= int(lasts_s) <= 600
    assert actions == ["link.create", "link.read", "file.read"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if-none-match": TAG}, 304),
        ({"if-match": '"another"'}, 412),
        ({"range": "bytes=99999999-"}, 416),
        ({"range": "bytes=5-6", "if-range": TAG}, 302),
    ],
)
async def test_conditions_are_answered_before(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    objects = MemoryObjectStore()
    await upload(objects, tmp_path)

    async with stored(objects, tmp_path) as here:
        answer = await here.ask("GET", PATH, ALICE, headers=headers)

    assert answer.status == status


async def test_an_object_that_is_gone_or_shorter_is_lost(tmp_path: Path) -> None:
    objects = MemoryObjectStore()

    async with stored(objects, tmp_path) as here:
        gone = await here.ask("GET", PATH, ALICE)
        await upload(objects, tmp_path, CONTENT[:-1])
        shorter = await here.ask("GET", PATH, ALICE)

    for answer in (gone, shorter):
        assert (answer.status, code_of(answer)) == (409, "FILE_LOST")


async def test_a_store_without_answer_is_unavailable(tmp_path: Path) -> None:
    objects = MemoryObjectStore()
    objects.outage = "no answer"

    async with stored(objects, tmp_path) as here:
        answer = await here.ask("GET", PATH, ALICE)

    assert answer.status == 503


@pytest.mark.parametrize("configured", [True, False])
async def test_a_file_in_another_store_is_not_mounted(tmp_path: Path, configured: bool) -> None:
    objects = MemoryObjectStore() if configured else None

    async with stored(objects, tmp_path, url="s3://of-before") as here:
        answer = await here.ask("GET", PATH, ALICE)

    assert (answer.status, code_of(answer)) == (503, "NOT_MOUNTED")


def code_of(answer: Answer) -> object:
    return answer.json["code"]
