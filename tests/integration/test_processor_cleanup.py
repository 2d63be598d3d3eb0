"""Raw and temporary files after a segment: which are removed, and which stay."""

from dataclasses import replace

import pytest

from sfu_wrapper.model.errors import JobCode, JobFailed, Stage
from sfu_wrapper.model.identity import UserId
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.service.worker.processor import job_of
from tests.helpers import processor_place
from tests.helpers.processor_place import INFO, MERGED, RULES, Place, camera

place = processor_place.place


@pytest.mark.parametrize(("raw", "left"), [(False, {"a.mjr", "b.mjr", "mix.wav"}), (True, set())])
async def test_cleaning_removes_temporary_files_and_raw_ones_where_asked(
    place: Place, raw: bool, left: set[str]
) -> None:
    processor = place.processor()
    await processor.process(INFO)

    await processor.clean(INFO, raw=raw)
    await processor.clean(INFO, raw=raw)  # a second time changes nothing

    assert await place.storage.leftovers("uuid:1") == ()
    assert {path.name for path in place.raw.iterdir()} == left
    assert place.delivered() == MERGED


async def test_a_cleaning_that_was_cut_short_is_found_and_gone_on_with(place: Place) -> None:
    processor = place.processor()
    assert await processor.left_over() == ()
    await processor.process(INFO)
    (place.raw / "a.mjr").unlink()  # so far it came

    (info,) = await processor.left_over()
    assert job_of(info) == "uuid:1"
    await processor.clean(info, raw=True)

    assert await processor.left_over() == ()
    assert list(place.raw.iterdir()) == []


async def test_what_failed_or_cannot_be_read_is_no_cleaning_cut_short(place: Place) -> None:
    processor = place.processor()
    place.tools.broken = Stage.COMPOSE
    with pytest.raises(JobFailed):
        await processor.process(INFO)
    other = await place.storage.workspace("other:1")
    await place.storage.write(Stage.PREPROCESS, other.lasting / "recordingInfo.json", b"no event")
    await place.storage.deliver("other:1", [], b"{}")
    (other.lasting.parent / "a file").write_text("of somebody else")

    assert await processor.left_over() == ()


async def test_who_gets_no_events_from_a_queue_keeps_none(place: Place) -> None:
    processor = place.processor(keeps_events=False)
    await processor.process(INFO)

    assert await processor.left_over() == ()
    assert [path.name for path in await place.storage.leftovers("uuid:1")] == []


async def test_audio_that_came_too_late_for_the_result_is_not_removed(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    mix = place.raw / "mix.wav"
    mix.unlink()
    done = await place.processor().process(INFO)
    mix.write_text("it was on its way")

    await place.processor().clean(INFO, raw=True)

    assert "no audio from mix.wav: mix.wav does not exist" in done.result.warnings
    assert [path.name for path in place.raw.iterdir()] == ["mix.wav"]
    (line,) = [record for record in caplog.records if record.message == "raw.kept"]
    assert line.__dict__["reason"] == "the result has nothing of it"


@pytest.mark.parametrize("split", [False, True])
async def test_a_file_that_lies_beyond_the_segment_is_not_removed(
    place: Place, split: bool
) -> None:
    (place.raw / "late.wav").write_text("sound")
    (place.raw / "late.mjr").write_text("pictures")
    place.tools.late = "late.mjr"
    stop_ms = INFO.completed_ms
    late = RawFile("late.wav", Stream.AUDIO, stop_ms, stop_ms, mixer="mixer")
    video_file = RawFile("late.mjr", Stream.CAMERA, stop_ms - 500, stop_ms, user=UserId("carol"))
    info = replace(INFO, audio=(*INFO.audio, late), video=(*INFO.video, video_file))
    processor = place.processor(replace(RULES, split=split))

    await processor.process(info)
    await processor.clean(info, raw=True)

    left = {"late.wav"} if split else {"late.wav", "late.mjr"}
    assert {path.name for path in place.raw.iterdir()} == left


@pytest.mark.parametrize("split", [False, True])
async def test_of_a_segment_without_length_the_files_that_hold_media_stay(
    place: Place, split: bool
) -> None:
    instant = replace(INFO, completed_ms=INFO.started_ms)
    processor = place.processor(replace(RULES, split=split))

    done = await processor.process(instant)
    await processor.clean(instant, raw=True)

    assert done.result.output == "none"
    assert done.result.warnings[0].startswith("no media within the segment's times; ")
    assert "a.mjr: no frame is within the segment's times" in done.result.warnings
    assert {path.name for path in place.raw.iterdir()} == {"a.mjr", "b.mjr", "mix.wav"}


async def test_packets_that_made_no_frame_are_not_removed(place: Place) -> None:
    (place.raw / "b.mjr").write_bytes(b"packets" * 1000)
    place.tools.empty = {"a.mjr", "b.mjr"}
    await place.processor().process(INFO)

    await place.processor().clean(INFO, raw=True)

    assert [path.name for path in place.raw.iterdir()] == ["b.mjr"]


async def test_a_mix_without_audio_is_removed_with_the_rest(place: Place) -> None:
    place.tools.empty = {"mix.wav"}
    await place.processor().process(INFO)

    await place.processor().clean(INFO, raw=True)

    assert list(place.raw.iterdir()) == []


@pytest.mark.parametrize("code", [JobCode.MEDIA_CRASH, JobCode.TIMEOUT])
async def test_no_recording_is_without_audio_because_a_process_died(
    place: Place, code: JobCode
) -> None:
    place.tools.deaf = JobFailed(Stage.PREPROCESS, code, "killed by SIGKILL", permanent=False)

    with pytest.raises(JobFailed) as caught:
        await place.processor().process(INFO)

    assert caught.value.code == code
    place.tools.deaf = None
    assert "no sound" not in " ".join((await place.processor().process(INFO)).result.warnings)


async def test_a_folder_of_raw_files_goes_with_the_last_of_them(place: Place) -> None:
    file = place.raw / "call" / "1" / "a.mjr"
    file.parent.mkdir(parents=True)
    file.write_text("a")
    info = replace(INFO, video=(camera("/call/1/a.mjr", UserId("alice")),), audio=())

    await place.processor().clean(info, raw=False)
    assert file.exists()
    await place.processor().clean(info, raw=True)
    assert not (place.raw / "call").exists()
