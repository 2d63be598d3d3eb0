"""Finished files over HTTP: ranges, conditions, names, encrypted ones, damage, and folders."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.model.recording import Deletion, DeletionReason
from sfu_wrapper.ports.recordings import PutRecording
from sfu_wrapper.ports.store import Commit
from tests.helpers.http import Answer, World, pass_for, world
from tests.helpers.recordings import START_MS, facts, put_ready, write_files

CONTENT = bytes(range(256)) * 2000  # several pieces
NAME = "rec-1.webm"
TAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
PATH = f"/recordings/uuid-1/1/files/{NAME}"
ALICE = pass_for("alice")


async def fetched(folder: Path, **headers: str) -> Answer:
    """Return the answer to alice's request for her file, with further headers."""
    async with world(folder=folder) as here:
        await put_ready(here.store, folder, {NAME: CONTENT})
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await here.ask("GET", PATH, ALICE, headers=given)


async def test_a_whole_file_arrives_with_its_type_name_and_tag(tmp_path: Path) -> None:
    answer = await fetched(tmp_path)

    assert answer.status == 200
    assert answer.body == CONTENT
    assert answer.headers["content-type"] == "video/webm"
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["etag"] == TAG
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''{NAME}"


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        ("bytes=511000-", 511_000, 511_999),
        ("bytes=-10", 511_990, 511_999),
        ("bytes=-9999999", 0, 511_999),
        ("bytes=0-99999999", 0, 511_999),
        ("Bytes= 5-6 ", 5, 6),
        ("bytes=130000-400000", 130_000, 400_000),
    ],
)
async def test_a_range_is_a_part(tmp_path: Path, wanted: str, first: int, last: int) -> None:
    answer = await fetched(tmp_path, Range=wanted)

    assert answer.status == 206
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(CONTENT)}"
    assert answer.body == CONTENT[first : last + 1]


@pytest.mark.parametrize(
    "wanted", ["bytes=0-1,5-6", "items=0-1", "bytes=5-2", "bytes=-", "bytes=x-1", "0-1"]
)
async def test_what_is_no_single_range_is_answered_with_the_whole(
    tmp_path: Path, wanted: str
) -> None:
    answer = await fetched(tmp_path, Range=wanted)

    assert (answer.status, answer.body) == (200, CONTENT)


@pytest.mark.parametrize("wanted", ["bytes=512000-", "bytes=600000-700000", "bytes=-0"])
async def test_a_range_beyond_the_end_is_refused_with_the_length(
    tmp_path: Path, wanted: str
) -> None:
    answer = await fetched(tmp_path, Range=wanted)

    assert answer.status == 416
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"
    assert answer.code == "BAD_REQUEST"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If_None_Match": TAG}, 304),
        ({"If_None_Match": f'"other", W/{TAG}'}, 304),
        ({"If_None_Match": '"other"'}, 200),
        ({"If_Match": TAG}, 200),
        ({"If_Match": '"other"'}, 412),
        ({"If_Match": f"W/{TAG}"}, 412),
        ({"Range": "bytes=0-9", "If_Range": TAG}, 206),
        ({"Range": "bytes=0-9", "If_Range": '"other"'}, 200),
        ({"Range": "bytes=0-9", "If_Range": f"W/{TAG}"}, 200),
        ({"Range": "bytes=0-9", "If_Range": "Tue, 01 Dec 2026 00:00:00 GMT"}, 200),
    ],
)
async def test_conditions_compare_the_digest(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    answer = await fetched(tmp_path, **headers)

    assert answer.status == status
    assert answer.headers.get("etag", TAG) == TAG
    if status == 304:
        assert answer.body == b""


async def test_head_says_what_get_would_and_sends_nothing(tmp_path: Path) -> None:
    async with world(folder=tmp_path) as here:
        await put_ready(here.store, tmp_path, {NAME: CONTENT})
        answer = await here.ask("HEAD", PATH, ALICE, headers={"Range": "bytes=0-1"})
        await put_ready(here.store, tmp_path, {"e.webm": b""}, facts("empty"))
        empty = await here.ask("GET", "/recordings/empty/1/files/e.webm", ALICE)

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert (empty.status, empty.body, empty.headers["content-length"]) == (200, b"", "0")


async def test_any_type_may_be_accepted(tmp_path: Path) -> None:
    assert (await fetched(tmp_path, Accept="video/webm")).status == 200


async def test_split_output_is_found_in_its_folder_by_the_last_part_of_its_name(
    tmp_path: Path,
) -> None:
    contents = {"uuid-1-conf/alice%2Fx ü.mp4": b"video", "uuid-1-conf/rec.json": b"{}"}
    async with world(folder=tmp_path) as here:
        await put_ready(here.store, tmp_path, contents, output="split")
        listed = (await here.ask("GET", "/recordings/uuid-1/1", ALICE)).json["files"]
        video = await here.ask("GET", "/recordings/uuid-1/1/files/alice%252Fx%20%C3%BC.mp4", ALICE)
        note = await here.ask("GET", "/recordings/uuid-1/1/files/rec.json", ALICE)

    assert [each["name"] for each in listed] == ["alice%2Fx ü.mp4", "rec.json"]
    assert (video.status, video.body) == (200, b"video")
    assert video.headers["content-type"] == "video/mp4"
    assert "alice%252Fx%20%C3%BC.mp4" in video.headers["content-disposition"]
    assert note.headers["content-type"] == "application/json"


async def test_an_encrypted_recording_offers_encrypted_files_and_nothing_else(
    tmp_path: Path,
) -> None:
    contents = {"rec-1.webm.gpg": b"secret", "rec-1.webm": b"plain"}
    async with world(folder=tmp_path) as here:
        await put_ready(here.store, tmp_path, contents, encrypted=True)
        listed = (await here.ask("GET", "/recordings/uuid-1/1", ALICE)).json["files"]
        sealed = await here.ask("GET", "/recordings/uuid-1/1/files/rec-1.webm.gpg", ALICE)
        plain = await here.ask("GET", PATH, ALICE)

    assert [(each["name"], each["encrypted"]) for each in listed] == [("rec-1.webm.gpg", True)]
    assert (sealed.status, sealed.body) == (200, b"secret")
    assert sealed.headers["content-type"] == "application/pgp-encrypted"
    assert plain.status == 404


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "..%2F..%2Fetc%2Fpasswd", "other.webm", "rec-1.webm%00", "", "%2F"]
)
async def test_no_name_reaches_anything_but_the_files_of_the_recording(
    tmp_path: Path, name: str
) -> None:
    async with world(folder=tmp_path) as here:
        await put_ready(here.store, tmp_path, {NAME: CONTENT})
        write_files(tmp_path / "postprocessed", {"other.webm": b"of another recording"})
        answer = await here.ask("GET", f"/recordings/uuid-1/1/files/{name}", ALICE)

    assert answer.status == 404


@pytest.mark.parametrize("damage", ["longer", "missing", "link", "folder", "hard link"])
async def test_what_is_not_the_recorded_file_is_not_served(tmp_path: Path, damage: str) -> None:
    async with world(folder=tmp_path) as here:
        await put_ready(here.store, tmp_path, {NAME: CONTENT})
        file = tmp_path / "postprocessed" / NAME
        elsewhere = tmp_path / "elsewhere.webm"
        elsewhere.write_bytes(CONTENT)
        if damage == "longer":
            file.write_bytes(CONTENT + b"x")
        else:
            file.unlink()
        if damage == "link":
            file.symlink_to(elsewhere)
        elif damage == "folder":
            file.mkdir()
        elif damage == "hard link":
            os.link(elsewhere, file)
        answer = await here.ask("GET", PATH, ALICE)

    assert (answer.status, answer.code) == (409, "FILE_LOST")


async def test_a_controller_without_the_folder_says_so(tmp_path: Path) -> None:
    async with world(folder=tmp_path / "nothing") as here:
        await put_ready(here.store, tmp_path, {NAME: CONTENT})
        answer = await here.ask("GET", PATH, ALICE)

    assert (answer.status, answer.code) == (503, "NOT_MOUNTED")
    assert "postprocessed" in answer.json["detail"]


async def test_nothing_is_served_once_a_deletion_is_requested(tmp_path: Path) -> None:
    async with world(folder=tmp_path) as here:
        await put_ready(here.store, tmp_path, {NAME: CONTENT})
        await request_deletion(here)
        answer = await here.ask("GET", PATH, ALICE)

    assert (answer.status, answer.code) == (404, "NOT_FOUND")


async def request_deletion(here: World) -> None:
    """Let the deletion of the only recording be requested."""
    known = here.store.index.recording(facts().key)
    assert known is not None
    change = replace(known, deletion=Deletion(DeletionReason.REQUESTED, START_MS))
    await here.store.commit(Commit(recordings=(PutRecording(change),)), 1)


async def test_each_read_is_in_the_audit_log_before_it_happens(tmp_path: Path) -> None:
    async with world(folder=tmp_path) as here:
        await put_ready(here.store, tmp_path, {NAME: CONTENT})
        await here.ask("GET", PATH, ALICE, headers={"Range": "bytes=5-6"})
        await here.ask("HEAD", PATH, ALICE)
        await here.ask("GET", PATH, pass_for("bob"))
        rows = here.store.audit.entries(facts().domain, 0, 10)

    read, refused = [row.entry.decode() for row in rows]
    for part in ('"action":"file.read"', '"object":"uuid-1/1"', '"actor":"alice"'):
        assert part in read
    assert '"outcome":"NOT_FOUND"' in refused


@pytest.mark.parametrize(("mounted", "code"), [(True, "FILE_LOST"), (False, "NOT_MOUNTED")])
async def test_a_read_that_fails_is_in_the_audit_log_with_its_reason(
    tmp_path: Path, mounted: bool, code: str
) -> None:
    async with world(folder=tmp_path if mounted else tmp_path / "nothing") as here:
        await put_ready(here.store, tmp_path, {NAME: CONTENT})
        (tmp_path / "postprocessed" / NAME).unlink()
        asked = {"name": NAME, "seconds": 60}
        link = (await here.ask("POST", "/recordings/uuid-1/1/links", ALICE, asked)).json["url"]
        by_token = await here.ask("GET", PATH, ALICE)
        by_link = await here.ask("GET", link.removeprefix("http://test"))
        rows = here.store.audit.entries(facts().domain, 0, 10)

    assert by_token.code == by_link.code == code
    _, first, second = [json.loads(row.entry) for row in rows]
    assert (first["actor"], first["object"], first["outcome"]) == ("alice", PATH, code)
    assert (second["action"], second["object"], second["outcome"]) == (
        "link.read",
        "uuid-1/1",
        code,
    )
