"""From a call to the screen, and to nothing: recorded, played, deleted, and not brought back.

Real parts: controller and worker as processes, RabbitMQ, gpg, an S3 server, and Chromium.
"""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from sfu_wrapper.wire.strict_json import parse_iso
from tests.helpers.chromium import browser
from tests.helpers.merged import frames
from tests.helpers.owners import Owner, owner
from tests.helpers.rabbitmq import RabbitServer, rabbitmq
from tests.helpers.s3 import S3Server, s3_server
from tests.helpers.screening import (
    CALL_S,
    Installation,
    installation,
    play,
    publish_again,
    shown_at,
)
from tests.helpers.tcp_proxy import tcp_proxy
from tests.helpers.wait import until

__all__ = ["owner", "rabbitmq"]

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SOUGHT_S = 2.5
FRAME_MS = 40
MAIL = "recordings@example.org"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as running:
        running.make_bucket("recordings")
        yield running


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A broker of this module's own, since each installation declares the product's queues."""
    server = RabbitServer(tmp_path_factory.mktemp("rabbit"))
    server.start()
    yield server
    server.stop()


async def deleted(here: Installation, path: str, links: list[str]) -> None:
    """Delete a recording, and hold that nothing of it can be read any more."""
    refused = await here.ask("DELETE", path)
    assert refused.status == 403, "its owner may not, by default"
    asked = await here.ask("DELETE", path, "domain-admin")
    assert asked.status == 202
    gone = await here.in_state(path, "deleted")

    assert here.delivered() == []
    assert list((here.folder / "raw").rglob("*.mjr")) == []
    assert gone["deletion"]["reason"] == "requested"
    assert [file["sha256"] for file in gone["files"]], "the tombstone keeps the hashes"
    for link in links:
        assert await status_of(link) == 404
    for file in gone["files"]:
        answer = await here.ask("GET", f"{path}/files/{file['name']}")
        assert answer.status == 404
    actions = await here.audited()
    assert actions.index("recording.start") < actions.index("recording.delete")
    assert actions.index("recording.delete") < actions.index("recording.deleted")


async def brings_nothing_back(here: Installation, broker: RabbitServer, path: str) -> None:
    """Let the broker deliver everything again; the recording stays deleted, without files."""
    before = (await here.ask("GET", path)).json
    assert here.messages.keys() == {"recordingInfo", "processed"}

    await publish_again(broker.url, here.messages)

    await here.worker.logged("job.deleted")
    for queue in ("processing_queue", "sfu_wrapper.index"):
        await until(lambda name=queue: _is_empty(broker, name), within_s=60, pause_s=0.5)  # type: ignore[misc]
    assert (await here.ask("GET", path)).json == before
    assert here.delivered() == []


def _is_empty(broker: RabbitServer, queue: str) -> bool:
    lines = broker.ctl("list_queues", "--quiet", "name", "messages").splitlines()
    return f"{queue}\t0" in lines


def by_kind(found: dict[str, Any]) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for file in found["files"]:
        kinds.setdefault(file["kind"], []).append(file["name"])
    return kinds


async def assert_plays(url: str, started_at: str) -> None:
    """Play a merged file in Chromium, and hold that the screen shows the moment that is sought."""
    started_ms = parse_iso(started_at)
    async with browser() as chromium:
        page = await chromium.open("about:blank#video")
        await play(page, url)
        assert abs(await page.run("video.duration") - CALL_S) < 1
        late = await shown_at(page, SOUGHT_S)
        early = await shown_at(page, 1.5)
    for tiles, at_s in ((late, SOUGHT_S), (early, 1.5)):
        assert len(tiles) == 2, "alice and bob"
        for tile in tiles:
            assert tile.clock_ms - started_ms == pytest.approx(at_s * 1000, abs=8 * FRAME_MS)


async def test_a_merged_recording_is_played_deleted_and_not_brought_back(
    rabbit: RabbitServer, tmp_path: Path
) -> None:
    async with installation(tmp_path, rabbit.url) as here:
        path = await here.record()
        found = await here.in_state(path, "ready")
        (name,) = by_kind(found)["merged"]
        link = await here.link(path, name)

        await assert_plays(link, found["startedAt"])
        assert here.ranges(), "the browser asked for ranges"

        await deleted(here, path, [link])
        await brings_nothing_back(here, rabbit, path)


async def test_an_encrypted_recording_is_offered_encrypted_and_read_with_the_key(
    rabbit: RabbitServer, tmp_path: Path, owner: Owner
) -> None:
    owner.make(f"Recordings <{MAIL}>")
    key = owner.public(tmp_path / "key.asc")
    settings = {"SHOULD_ENCRYPT": "true", "ENCRYPTION_MAIL": MAIL, "ENCRYPTION_KEY": str(key)}
    async with installation(tmp_path, rabbit.url, **settings) as here:
        path = await here.record()
        found = await here.in_state(path, "ready")
        names = [file["name"] for file in found["files"]]
        assert names
        assert all(name.endswith(".gpg") for name in names)
        (name,) = by_kind(found)["merged"]
        plain = await here.ask("GET", f"{path}/files/{name.removesuffix('.gpg')}")
        assert plain.status == 404

        link = await here.link(path, name)
        (tmp_path / "read.gpg").write_bytes(await content_of(link))
        owner.gpg("--output", str(tmp_path / "read.webm"), "--decrypt", str(tmp_path / "read.gpg"))
        assert {len(frame.tiles) for frame in frames(tmp_path / "read.webm")} >= {2}

        await deleted(here, path, [link])
        await brings_nothing_back(here, rabbit, path)


async def test_split_files_are_played_deleted_and_not_brought_back(
    rabbit: RabbitServer, tmp_path: Path
) -> None:
    async with installation(tmp_path, rabbit.url, SPLIT_RECORDING_OUTPUT="true") as here:
        path = await here.record()
        found = await here.in_state(path, "ready")
        kinds = by_kind(found)
        assert (len(kinds["video"]), len(kinds["audio"])) == (2, 1)
        links = [await here.link(path, file["name"]) for file in found["files"]]

        async with browser() as chromium:
            for name, link in zip((file["name"] for file in found["files"]), links, strict=True):
                if name in kinds["video"]:
                    page = await chromium.open("about:blank#video")
                    await play(page, link)
                    assert await page.run("[video.videoWidth, video.videoHeight]") == [320, 240]
                    await page.run("video.currentTime = 2")
                    await page.until("!video.seeking && video.readyState >= 2")
        (audio,) = kinds["audio"]
        (tmp_path / "sound").write_bytes(await content_of(links[_index(found, audio)]))
        with av.open(str(tmp_path / "sound")) as sound:
            assert sound.streams.audio

        await deleted(here, path, links)
        await brings_nothing_back(here, rabbit, path)


async def test_a_recording_in_object_storage_is_played_deleted_and_not_brought_back(
    rabbit: RabbitServer, s3: S3Server, tmp_path: Path
) -> None:
    async with tcp_proxy(int(s3.endpoint.rpartition(":")[2])) as bucket:
        settings = {
            "STORAGE__URL": "s3://recordings/calls",
            "STORAGE__ENDPOINT_URL": bucket.address,
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests-secret",
            "AWS_REGION": "us-east-1",
        }
        async with installation(tmp_path, rabbit.url, **settings) as here:
            path = await here.record()
            found = await here.in_state(path, "ready")
            (name,) = by_kind(found)["merged"]
            await until(lambda: here.delivered() == [], within_s=60)
            objects = _objects(s3)
            assert {f"calls/{file['name']}" for file in found["files"]} == objects
            answer = await here.ask("GET", f"{path}/files/{name}")
            assert answer.status == 302
            assert answer.headers["location"].startswith(f"{bucket.address}/recordings/calls/")
            link = await here.link(path, name)

            before = len(here.ranges(bucket))
            await assert_plays(link, found["startedAt"])
            assert len(here.ranges(bucket)) > before, "the browser asked the store for ranges"

            await deleted(here, path, [link])
            assert _objects(s3) == set()
            assert await status_of(answer.headers["location"]) == 404
            await brings_nothing_back(here, rabbit, path)
            assert _objects(s3) == set()


async def content_of(url: str) -> bytes:
    """Return what an address leads to; in a thread, since the proxy is in this one."""

    def read() -> bytes:
        with urllib.request.urlopen(url, timeout=30) as answer:
            content: bytes = answer.read()
        return content

    return await asyncio.to_thread(read)


async def status_of(url: str) -> int:
    """Return the status with which an address is refused; 200 where it is not."""
    try:
        await content_of(url)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def _index(found: dict[str, Any], name: str) -> int:
    return [file["name"] for file in found["files"]].index(name)


def _objects(s3: S3Server) -> set[str]:
    """Return the names of all objects in the bucket."""
    listing = s3.request("GET", "/recordings?list-type=2").decode()
    return {part.partition("</Key>")[0] for part in listing.split("<Key>")[1:]}
