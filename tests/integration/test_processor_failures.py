"""Attempts that fail: what is kept, reported, and delivered by the next one."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.adapters.os import files
from sfu_wrapper.model.errors import JobCode, JobFailed, Stage
from sfu_wrapper.wire.job_messages import encode_failed
from sfu_wrapper.wire.recording_info import encode_event
from tests.helpers import processor_place
from tests.helpers.processor_place import INFO, MERGED, RULES, Place

place = processor_place.place


@pytest.mark.parametrize("stage", [Stage.PREPROCESS, Stage.COMPOSE])
async def test_a_failed_attempt_delivers_nothing_and_the_next_one_does(
    place: Place, stage: Stage
) -> None:
    place.tools.broken = stage
    processor = place.processor()
    with pytest.raises(JobFailed) as caught:
        await processor.process(INFO)
    assert place.delivered() == set()
    failure = await processor.failure(INFO, caught.value, attempts=1)
    assert (failure.stage, failure.code, failure.detail) == (stage, "MEDIA_CRASH", "it broke")

    place.tools.broken = None
    await processor.process(INFO, attempts=2)

    assert place.delivered() == MERGED


async def test_what_a_failed_attempt_leaves_is_told(place: Place) -> None:
    place.tools.broken = Stage.SPLIT
    processor = place.processor(replace(RULES, split=True))
    with pytest.raises(JobFailed) as caught:
        await processor.process(INFO)
    left = (await place.storage.workspace("uuid:1")).plain / "0.webm"  # beside the event
    left.write_text("half")

    failure = await processor.failure(INFO, caught.value, attempts=3)

    kept = {path.name: path for path in map(Path, failure.kept)}
    assert kept.keys() == {"0.webm", "recordingInfo.json"}
    assert kept["0.webm"] == left
    assert kept["recordingInfo.json"].read_bytes() == encode_event(INFO)


async def test_the_event_is_kept_of_what_fails_before_any_work(place: Place) -> None:
    error = JobFailed(Stage.EVENT, JobCode.NO_RESULT, "never with a result", permanent=True)

    failure = await place.processor().failure(INFO, error, attempts=0)

    (kept,) = map(Path, failure.kept)
    assert kept.read_bytes() == encode_event(INFO)
    assert kept.stat().st_mode & 0o777 == 0o600


async def test_of_a_segment_handed_out_too_often_it_is_told_how_far_it_came(place: Place) -> None:
    error = JobFailed(Stage.EVENT, JobCode.NO_RESULT, "never with a result", permanent=True)
    processor = place.processor()
    place.tools.broken = Stage.COMPOSE

    assert await processor.known(INFO, error) == (None, None)
    with pytest.raises(JobFailed):
        await processor.process(INFO)
    done, failed = await processor.known(INFO, error)
    assert (done, failed and failed.code) == (None, "NO_RESULT")
    place.tools.broken = None
    made = await processor.process(INFO)
    done, failed = await processor.known(INFO, error)
    assert (done and done.message, failed) == (made.message, None)

    manifest = place.storage.manifest_file("uuid:1")
    manifest.write_bytes(b"damaged")
    done, failed = await processor.known(INFO, error)
    assert (done, failed and failed.code) == (None, "BAD_MANIFEST")
    manifest.unlink()
    manifest.mkdir()  # cannot be read
    with pytest.raises(JobFailed, match="manifest"):
        await processor.known(INFO, error)


async def test_another_try_that_cannot_even_begin_loses_no_event(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    error = JobFailed(Stage.DELIVER, JobCode.NO_SPACE, "no space left", permanent=False)
    failure = await place.processor().failure(INFO, error, attempts=3)
    monkeypatch.setattr(files, "make_private_folder", full)

    with pytest.raises(JobFailed, match="no space left"):
        await place.processor().process(INFO)

    (kept,) = map(Path, failure.kept)
    assert kept.read_bytes() == encode_event(INFO)


async def test_a_failure_is_told_also_where_nothing_can_be_kept(place: Place) -> None:
    place.out.write_text("no folder")
    error = JobFailed(Stage.DELIVER, JobCode.IO_ERROR, "no folder", permanent=False)

    failure = await place.processor().failure(INFO, error, attempts=3)

    assert failure.kept == ()
    assert json.loads(encode_failed(failure))["raw"].encode() == encode_event(INFO)


async def test_what_fails_while_a_raw_file_is_read_names_it(place: Place) -> None:
    place.tools.broken = Stage.PREPROCESS

    with pytest.raises(JobFailed) as caught:
        await place.processor().process(INFO)

    assert caught.value.file == "a.mjr"
