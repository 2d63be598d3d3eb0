"""The log of a recording, and the retry of a failed one."""

from pathlib import Path

import pytest

from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.recording import Recording, RecordingState
from sfu_wrapper.model.segment import SegmentInfo
from sfu_wrapper.wire.recording_info import encode_event, parse_event
from tests.helpers.builders import segment_info
from tests.helpers.http import Answer, World, pass_for, world
from tests.helpers.recordings import facts, failure, finished, put, put_ready, write_files

ADMIN = pass_for("root", "domain-admin")
RETRY = "/recordings/uuid-1/1/retry"
KEPT = ".sfu-wrapper/work/uuid-1%3A1/recordingInfo.json"
VIDEO = RawFile("seg/a.mjr", Stream.CAMERA, 1_590_392_548_633, None, user=facts().owner)


def info() -> SegmentInfo:
    """Return the event of the recording, with one raw file."""
    return segment_info(uuid="uuid-1", video=(VIDEO,))


async def retried(here: World, folder: Path, failed: Recording, *, raw: bool = True) -> Answer:
    """Return the answer to an administrator's wish; raw: the raw file is there."""
    folder.joinpath("raw_files").mkdir()
    folder.joinpath("raw_audio").mkdir()
    if raw:
        write_files(folder / "raw_files", {"seg/a.mjr": b"raw"})
    await put(here.store, failed)
    return await here.ask("POST", RETRY, ADMIN)


@pytest.mark.parametrize("place", ["message", "postprocessed", "raw_files"])
async def test_a_failed_recording_goes_to_the_workers_with_its_event(
    tmp_path: Path, place: str
) -> None:
    event = encode_event(info())
    kept = (f"/somewhere/{KEPT}",)
    outcome = failure(facts(), event=event) if place == "message" else failure(facts(), kept=kept)
    async with world(folder=tmp_path) as here:
        answer = await retried(here, tmp_path, finished(facts(), outcome), raw=place != "raw_files")
        if place != "message":
            assert answer.code == "RAW_FILES_GONE"  # its event is in no folder yet
            write_files(tmp_path / place, {KEPT: event})
            write_files(tmp_path / "raw_files", {"seg/a.mjr": b"raw"})
            answer = await here.ask("POST", RETRY, ADMIN)
        (row,) = here.store.pending_outbox(0, 10)
        again = await here.ask("POST", RETRY, ADMIN)

    assert answer.status == 202
    assert (answer.json["state"], answer.json["retries"]) == ("queued", 1)
    assert (row.routing_key, row.message_id, row.mandatory) == ("recordingInfo", "uuid-1:1", True)
    assert parse_event(row.body) == parse_event(event)
    assert (again.status, again.code) == (409, "RECORDING_NOT_FAILED")


async def test_without_raw_files_there_is_no_retry(tmp_path: Path) -> None:
    outcome = failure(facts(), event=encode_event(info()))
    async with world(folder=tmp_path) as here:
        answer = await retried(here, tmp_path, finished(facts(), outcome), raw=False)
        stored = here.store.index.recording(facts().key)

        assert here.store.pending_outbox(0, 10) == ()
    assert (answer.status, answer.code) == (409, "RAW_FILES_GONE")
    assert stored is not None
    assert stored.state is RecordingState.FAILED


@pytest.mark.parametrize("event", [None, b"{}"])
async def test_without_a_readable_event_there_is_no_retry(
    tmp_path: Path, event: bytes | None
) -> None:
    outcome = failure(facts(), event=event, kept=("/elsewhere/a.webm",))
    async with world(folder=tmp_path) as here:
        answer = await retried(here, tmp_path, finished(facts(), outcome))

    assert (answer.status, answer.code) == (409, "RAW_FILES_GONE")


async def test_raw_folders_of_another_host_do_not_forbid_a_retry(tmp_path: Path) -> None:
    outcome = failure(facts(), event=encode_event(info()))
    async with world(folder=tmp_path / "nothing") as here:
        await put(here.store, finished(facts(), outcome))
        answer = await here.ask("POST", RETRY, ADMIN)

    assert answer.status == 202


async def test_the_log_is_text_and_only_for_those_who_see_the_recording(tmp_path: Path) -> None:
    async with world(folder=tmp_path) as here:
        await put_ready(here.store, tmp_path, {})
        missing = await here.ask("GET", "/recordings/uuid-1/1/log", pass_for("alice"))
        write_files(tmp_path / "logs", {"uuid-1-1.log": b"one line\n", "uuid-1-2.log": b"other"})
        found = await here.ask("GET", "/recordings/uuid-1/1/log", pass_for("alice"))
        hidden = await here.ask("GET", "/recordings/uuid-1/1/log", pass_for("bob"))

    assert (missing.status, missing.code) == (503, "NOT_MOUNTED")
    assert (found.status, found.body) == (200, b"one line\n")
    assert found.headers["content-type"] == "text/plain; charset=utf-8"
    assert hidden.status == 404


async def test_a_log_that_is_gone_is_not_found(tmp_path: Path) -> None:
    tmp_path.joinpath("logs").mkdir()
    async with world(folder=tmp_path) as here:
        await put_ready(here.store, tmp_path, {})
        answer = await here.ask("GET", "/recordings/uuid-1/1/log", pass_for("alice"))

    assert (answer.status, answer.code) == (404, "NOT_FOUND")
