"""One segment through all steps of the recording service: what is delivered."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from sfu_wrapper.app.worker import announce
from sfu_wrapper.core.estimate import ProgressSnapshot
from sfu_wrapper.core.plan import AudioSource, Rotation
from sfu_wrapper.model.errors import JobFailed, Stage
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.wire.job_results import parse_outcome
from tests.helpers import processor_place
from tests.helpers.processor_place import INFO, MERGED, RULES, START_MS, Place

place = processor_place.place


def assert_it_comes_nearer(heard: Sequence[ProgressSnapshot]) -> None:
    """Step by step, though no time passes at all."""
    assert all(0 < after.eta_s < before.eta_s for before, after in pairwise(heard))
    assert [now.percent for now in heard] == [0] * len(heard)


async def test_a_merged_file_is_planned_from_what_the_files_hold(place: Place) -> None:
    heard: list[ProgressSnapshot] = []

    done = await place.processor().process(INFO, progress=heard.append)

    (plan,) = place.tools.plans
    assert [len(scene.tiles) for scene in plan.scenes] == [2]
    assert [source.turns for source in plan.sources] == [(Rotation(0, 90),)] * 2
    assert plan.audio_sources == (AudioSource(str(place.raw / "mix.wav"), -122_000),)
    assert plan.chapters[0].title == "alice, bob (screen)"
    assert place.delivered() == MERGED
    assert [file.kind for file in done.result.files] == ["merged", "poster"]
    assert [track.frames_repeated for track in done.result.sync] == [1, 2, 0]
    assert done.result.warnings == ("a.mjr: it was damaged", "b.mjr: it was damaged")
    assert parse_outcome(done.message) == done.result
    assert [now.stage for now in heard] == [*["preprocess"] * 3, *["compose"] * 2]
    assert_it_comes_nearer(heard)


async def test_a_split_recording_has_a_file_a_stream_a_mix_and_a_json(place: Place) -> None:
    heard: list[ProgressSnapshot] = []
    done = await place.processor(replace(RULES, split=True)).process(INFO, progress=heard.append)

    assert [now.stage for now in heard] == [*["preprocess"] * 3, *["split"] * 3]
    assert_it_comes_nearer(heard)
    assert place.delivered() == {
        "uuid-bridge/rec-alice-1.webm",
        "uuid-bridge/rec-bob-1-screen.webm",
        "uuid-bridge/rec-uuid-bridge-1.wav",
        "uuid-bridge/rec-uuid-bridge-1.json",
    }
    assert [file.kind for file in done.result.files] == ["video", "video", "audio", "metadata"]


async def test_there_is_space_for_a_short_segment_and_none_for_a_century(place: Place) -> None:
    processor = place.processor()
    century_ms = 100 * 365 * 86_400_000

    assert await processor.has_space(INFO)
    assert not await processor.has_space(replace(INFO, completed_ms=START_MS + century_ms))


async def test_a_finished_segment_is_told_again_and_not_processed_again(place: Place) -> None:
    first = await place.processor().process(INFO)
    place.tools.broken = Stage.PREPROCESS

    second = await place.processor().process(INFO)

    assert second.repeated
    assert second.message == first.message


async def test_two_recordings_of_one_name_are_both_kept(place: Place) -> None:
    rules = replace(RULES, fileformat="{{confbridgeid}}")
    await place.processor(rules).process(INFO)

    await place.processor(rules).process(replace(INFO, uuid=RoomUuid("other")))

    assert place.delivered() == {
        "bridge-1.webm", "bridge-1.jpg", "bridge-1-other.webm", "bridge-1-other.jpg"
    }  # fmt: skip


@pytest.mark.parametrize("split", [False, True])
async def test_encrypted_files_alone_are_delivered(place: Place, split: bool) -> None:
    rules = replace(RULES, encrypt=True, split=split)

    done = await place.processor(rules, place.encryptor).process(INFO)

    assert all(name.endswith(".gpg") for name in place.delivered())
    assert done.result.encrypted
    texts = [(place.out / name).read_text() for name in place.delivered()]
    assert all(text.startswith("encrypted ") for text in texts)


@pytest.mark.parametrize("has_encryptor", [False, True])
async def test_without_a_usable_key_nothing_is_even_begun(
    place: Place, has_encryptor: bool
) -> None:
    place.encryptor.usable = False
    rules = replace(RULES, encrypt=True)

    with pytest.raises(JobFailed) as caught:
        await place.processor(rules, place.encryptor if has_encryptor else None).process(INFO)

    assert (caught.value.stage, caught.value.permanent) == ("encrypt", True)
    assert not place.tools.plans
    assert place.delivered() == set()


async def test_files_that_hold_nothing_are_left_out_and_named(place: Place) -> None:
    place.tools.empty = {"b.mjr", "mix.wav"}

    done = await place.processor().process(INFO)

    assert "b.mjr holds no frame" in done.result.warnings
    assert "mix.wav holds no audio" in done.result.warnings
    (plan,) = place.tools.plans
    assert (len(plan.sources), plan.audio_sources) == (1, ())


async def test_a_segment_with_nothing_in_it_is_processed_without_files(place: Place) -> None:
    place.tools.empty = {"a.mjr", "b.mjr", "mix.wav"}

    done = await place.processor().process(INFO)

    assert (done.result.output, done.result.files) == ("none", ())
    assert "no media in the segment" in done.result.warnings


async def test_a_clock_that_runs_an_hour_ahead_is_noticed_and_corrected(place: Place) -> None:
    place.tools.clock_error_us = 3_600_000_000

    done = await place.processor().process(INFO)

    (plan,) = place.tools.plans
    assert [source.zero_us for source in plan.sources] == [0, 0]
    said = [warning for warning in done.result.warnings if "was taken" in warning]
    assert said == [
        f"{name}: its clock differs by 3600.000 s, the event's start was taken"
        for name in ("a.mjr", "b.mjr")
    ]
    assert [track.start_ms for track in done.result.sync] == [0, 0, -122]


async def test_of_a_split_recording_all_files_are_told_by_one_clock(place: Place) -> None:
    place.tools.clock_error_us = 3_600_000_000

    await place.processor(replace(RULES, split=True)).process(INFO)

    (file,) = place.out.glob("uuid-bridge/*.json")
    told = json.loads(file.read_bytes())
    assert {video["startTime"] for video in told["videos"]} == {told["audio"]["startTime"]}
    assert {video["stopTime"] for video in told["videos"]} == {told["audio"]["stopTime"]}


async def test_a_mix_whose_name_leads_out_fails_the_job(place: Place) -> None:
    stray = replace(INFO, audio=(replace(INFO.audio[0], filename="../mix.wav"),))

    with pytest.raises(JobFailed) as caught:
        await place.processor().process(stray)

    assert caught.value.code == "UNSAFE_NAME"


@pytest.mark.parametrize("kind", ["video", "audio"])
async def test_an_over_long_name_fails_the_job_for_good_before_any_work(
    place: Place, kind: str
) -> None:
    files = INFO.video if kind == "video" else INFO.audio
    files = (replace(files[0], filename="x" * 300 + ".mjr"), *files[1:])
    info = replace(INFO, video=files) if kind == "video" else replace(INFO, audio=files)

    with pytest.raises(JobFailed) as caught:
        await place.processor().process(info)

    failed = caught.value
    assert (failed.stage, failed.code, failed.permanent) == ("event", "UNSAFE_NAME", True)
    assert place.tools.plans == []


async def test_an_older_senders_segment_is_number_one_and_known_by_its_end(place: Place) -> None:
    older = replace(INFO, segment=None)

    done = await place.processor().process(older)
    again = await place.processor().process(older)
    other = await place.processor().process(replace(older, completed_ms=older.completed_ms + 1))

    assert done.result.segment == 1
    assert again.repeated
    assert not other.repeated
    assert place.delivered() == {
        "rec-uuid-bridge.webm", "rec-uuid-bridge.jpg",
        "rec-uuid-bridge-uuid.webm", "rec-uuid-bridge-uuid.jpg",
    }  # fmt: skip


async def test_a_manifest_that_cannot_be_read_fails_the_job_for_good(place: Place) -> None:
    await place.storage.deliver("uuid:1", [], b"junk")

    with pytest.raises(JobFailed) as caught:
        await place.processor().process(INFO)

    assert (caught.value.code, caught.value.permanent) == ("BAD_MANIFEST", True)


async def test_the_promised_lines_are_logged_in_their_words(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "sfu_wrapper")
    rules = replace(RULES, encrypt=True)

    announce(rules)
    await place.processor(rules, place.encryptor).process(INFO)

    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said[0] == ("DEBUG", "File encryption is enabled")
    assert said[1] == (
        "INFO",
        'FilenameGenerator configured with: {"filenameFormat":"rec-{{uuid}}-{{confbridgeid}}"}',
    )
    assert said[2] == ("DEBUG", "Recording started")
    start = "Received a process recording event with id: bridge and recording info "
    level, received = said[3]
    assert level == "DEBUG"
    assert json.loads(received.removeprefix(start).removesuffix("."))["uuid"] == "uuid"
    assert said[4:] == [
        ("DEBUG", f"Processing video: {place.raw / 'a.mjr'}."),
        ("DEBUG", f"Processing video: {place.raw / 'b.mjr'}."),
        ("DEBUG", f"Trying to encrypt file: {place.out / 'rec-uuid-bridge-1.webm'}"),
        ("DEBUG", f"Trying to encrypt file: {place.out / 'rec-uuid-bridge-1.jpg'}"),
        ("DEBUG", "Recording with ID uuid processed correctly"),
    ]


async def test_encryption_is_a_stage_of_its_own_in_the_progress(place: Place) -> None:
    heard: list[ProgressSnapshot] = []
    rules = replace(RULES, encrypt=True)

    await place.processor(rules, place.encryptor).process(INFO, progress=heard.append)

    assert [now.stage for now in heard[-3:]] == ["compose", "encrypt", "encrypt"]
    assert_it_comes_nearer(heard)
