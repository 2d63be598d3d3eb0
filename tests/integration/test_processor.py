"""One segment through the three steps, over real folders and pretended media tools."""

import errno
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from sfu_wrapper.adapters.os import files
from sfu_wrapper.adapters.os.clock import ManualClock
from sfu_wrapper.adapters.storage.local import HIDDEN, Folders, LocalStorage
from sfu_wrapper.core.estimate import Standing
from sfu_wrapper.core.plan import Composition, OutputRules, Sound, Turn
from sfu_wrapper.model.errors import JobFailed
from sfu_wrapper.model.ids import ConfbridgeId, RoomId, RoomUuid, SegmentNo, UserId
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.recording import SegmentInfo
from sfu_wrapper.ports.media_tools import PreparedVideo, Progress
from sfu_wrapper.service.worker.processor import Processor, announce, job_of
from sfu_wrapper.wire.processed import encode_failed, parse_outcome
from sfu_wrapper.wire.recording_info import encode_event

START_MS = 1_590_392_548_000
ALICE, BOB = UserId("alice"), UserId("bob")
MERGED = {"rec-uuid-bridge-1.webm", "rec-uuid-bridge-1.jpg"}
RULES = OutputRules("vp8", "low", "rec-{{uuid}}-{{confbridgeid}}", split=False, mix_limit=9)


def write(target: Path, content: str) -> None:
    target.write_text(content)


class PretendedTools:
    """Every raw file lasts for the whole segment; every result says what made it."""

    def __init__(self) -> None:
        self.plans: list[Composition] = []
        self.broken: str | None = None  # the stage that fails
        self.clock_error_us = 0
        self.late: str | None = None  # a file whose media begins after the segment
        self.empty: set[str] = set()
        self.deaf: JobFailed | None = None

    async def preprocess(
        self, source: Path, target_dir: Path, *, timeout_s: float
    ) -> PreparedVideo | None:
        self._maybe_break("preprocess")
        if source.name in self.empty:
            return None
        zero_us = START_MS * 1000 + self.clock_error_us
        zero_us += 11_000_000 if source.name == self.late else 0
        return PreparedVideo(
            target_dir / f"{source.name}.webm", "vp8", zero_us, 0, 10_000_000,
            notes=("it was damaged",), turns=(Turn(0, 90),),
        )  # fmt: skip

    async def audio_us(self, source: Path, *, timeout_s: float) -> int:
        if self.deaf is not None:
            raise self.deaf
        return 0 if source.name in self.empty else 10_000_000

    async def compose(
        self,
        plan: Composition,
        target: Path,
        progress: Progress,
        *,
        poster: Path | None = None,
        timeout_s: float,
    ) -> tuple[int, ...]:
        self._maybe_break("compose")
        self.plans.append(plan)
        progress(50)
        write(target, "merged")
        if poster is not None:
            write(poster, "poster")
        return tuple(range(1, 1 + len(plan.sources)))

    async def copy_video(self, source: PreparedVideo, target: Path, *, timeout_s: float) -> None:
        self._maybe_break("split")
        write(target, source.path.name)

    async def write_audio(
        self, sounds: Sequence[Sound], duration_us: int, target: Path, *, timeout_s: float
    ) -> None:
        write(target, f"{len(sounds)} sounds, {duration_us} us")

    def _maybe_break(self, stage: str) -> None:
        if self.broken == stage:
            raise JobFailed(stage, "MEDIA_CRASH", "it broke", permanent=False)


class PretendedVault:
    """Encrypts by saying so."""

    usable = True

    async def check(self) -> None:
        if not self.usable:
            raise JobFailed("encrypt", "KEY_UNUSABLE", "no key", permanent=True)

    async def encrypt(self, source: Path, target: Path, *, timeout_s: float) -> None:
        write(target, f"encrypted {source.name}")


class Place:
    """Folders with the raw files of ``INFO``, and a processor on them."""

    def __init__(self, root: Path) -> None:
        self.raw, self.out = root / "raw", root / "out"
        self.raw.mkdir()
        for name in ("a.mjr", "b.mjr", "mix.wav"):
            (self.raw / name).write_text(name)
        self.tools = PretendedTools()
        self.vault = PretendedVault()
        self.shelf = LocalStorage(Folders(self.raw, self.raw, self.out, root / "plain"))

    def processor(
        self,
        rules: OutputRules = RULES,
        vault: PretendedVault | None = None,
        *,
        keeps_events: bool = True,
    ) -> Processor:
        return Processor(
            self.tools, self.shelf, rules, ManualClock(), vault, keeps_events=keeps_events
        )

    def delivered(self) -> set[str]:
        files = (path.relative_to(self.out) for path in self.out.rglob("*") if path.is_file())
        return {str(path) for path in files if path.parts[0] != HIDDEN}


def camera(name: str, user: UserId, stream: Stream = Stream.CAMERA) -> RawFile:
    return RawFile(name, stream, START_MS, START_MS + 10_000, user=user)


INFO = SegmentInfo(
    room=RoomId("room"),
    uuid=RoomUuid("uuid"),
    confbridge_id=ConfbridgeId("bridge"),
    segment=SegmentNo(1),
    started_ms=START_MS,
    completed_ms=START_MS + 10_000,
    video=(camera("a.mjr", ALICE), camera("b.mjr", BOB, Stream.SCREEN)),
    audio=(RawFile("mix.wav", Stream.AUDIO, START_MS, mixer="audiobridge", delay_ms=122),),
)


def assert_it_comes_nearer(heard: Sequence[Standing]) -> None:
    """Step by step, though no time passes at all."""
    assert all(0 < after.eta_s < before.eta_s for before, after in pairwise(heard))
    assert [now.percent for now in heard] == [0] * len(heard)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_a_merged_file_is_planned_from_what_the_files_hold(place: Place) -> None:
    heard: list[Standing] = []

    done = await place.processor().process(INFO, progress=heard.append)

    (plan,) = place.tools.plans
    assert [len(scene.tiles) for scene in plan.scenes] == [2]
    assert [source.turns for source in plan.sources] == [(Turn(0, 90),)] * 2
    assert plan.sounds == (Sound(str(place.raw / "mix.wav"), -122_000),)
    assert plan.chapters[0].title == "alice, bob (screen)"
    assert place.delivered() == MERGED
    assert [file.kind for file in done.result.files] == ["merged", "poster"]
    assert [track.frames_repeated for track in done.result.sync] == [1, 2, 0]
    assert done.result.warnings == ("a.mjr: it was damaged", "b.mjr: it was damaged")
    assert parse_outcome(done.message) == done.result
    assert [now.stage for now in heard] == [*["preprocess"] * 3, *["compose"] * 2]
    assert_it_comes_nearer(heard)


async def test_a_split_recording_has_a_file_a_stream_a_mix_and_a_json(place: Place) -> None:
    heard: list[Standing] = []
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
    place.tools.broken = "preprocess"

    second = await place.processor().process(INFO)

    assert second.repeated
    assert second.message == first.message


@pytest.mark.parametrize("stage", ["preprocess", "compose"])
async def test_a_failed_attempt_delivers_nothing_and_the_next_one_does(
    place: Place, stage: str
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
    place.tools.broken = "split"
    processor = place.processor(replace(RULES, split=True))
    with pytest.raises(JobFailed) as caught:
        await processor.process(INFO)
    left = (await place.shelf.workspace("uuid:1")).plain / "0.webm"  # beside the event
    left.write_text("half")

    failure = await processor.failure(INFO, caught.value, attempts=3)

    kept = {path.name: path for path in map(Path, failure.kept)}
    assert kept.keys() == {"0.webm", "recordingInfo.json"}
    assert kept["0.webm"] == left
    assert kept["recordingInfo.json"].read_bytes() == encode_event(INFO)


async def test_the_event_is_kept_of_what_fails_before_any_work(place: Place) -> None:
    error = JobFailed("event", "NO_RESULT", "never with a result", permanent=True)

    failure = await place.processor().failure(INFO, error, attempts=0)

    (kept,) = map(Path, failure.kept)
    assert kept.read_bytes() == encode_event(INFO)
    assert kept.stat().st_mode & 0o777 == 0o600


async def test_of_a_segment_handed_out_too_often_it_is_told_how_far_it_came(place: Place) -> None:
    error = JobFailed("event", "NO_RESULT", "never with a result", permanent=True)
    processor = place.processor()
    place.tools.broken = "compose"

    assert await processor.known(INFO, error) == (None, None)
    with pytest.raises(JobFailed):
        await processor.process(INFO)
    done, failed = await processor.known(INFO, error)
    assert (done, failed and failed.code) == (None, "NO_RESULT")
    place.tools.broken = None
    made = await processor.process(INFO)
    done, failed = await processor.known(INFO, error)
    assert (done and done.message, failed) == (made.message, None)

    manifest = place.shelf.manifest_file("uuid:1")
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

    error = JobFailed("deliver", "NO_SPACE", "no space left", permanent=False)
    failure = await place.processor().failure(INFO, error, attempts=3)
    monkeypatch.setattr(files, "make_private_folder", full)

    with pytest.raises(JobFailed, match="no space left"):
        await place.processor().process(INFO)

    (kept,) = map(Path, failure.kept)
    assert kept.read_bytes() == encode_event(INFO)


async def test_a_failure_is_told_also_where_nothing_can_be_kept(place: Place) -> None:
    place.out.write_text("no folder")
    error = JobFailed("deliver", "IO_ERROR", "no folder", permanent=False)

    failure = await place.processor().failure(INFO, error, attempts=3)

    assert failure.kept == ()
    assert json.loads(encode_failed(failure))["raw"].encode() == encode_event(INFO)


async def test_what_fails_while_a_raw_file_is_read_names_it(place: Place) -> None:
    place.tools.broken = "preprocess"

    with pytest.raises(JobFailed) as caught:
        await place.processor().process(INFO)

    assert caught.value.file == "a.mjr"


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

    done = await place.processor(rules, place.vault).process(INFO)

    assert all(name.endswith(".gpg") for name in place.delivered())
    assert done.result.encrypted
    texts = [(place.out / name).read_text() for name in place.delivered()]
    assert all(text.startswith("encrypted ") for text in texts)


@pytest.mark.parametrize("has_vault", [False, True])
async def test_without_a_usable_key_nothing_is_even_begun(place: Place, has_vault: bool) -> None:
    place.vault.usable = False
    rules = replace(RULES, encrypt=True)

    with pytest.raises(JobFailed) as caught:
        await place.processor(rules, place.vault if has_vault else None).process(INFO)

    assert (caught.value.stage, caught.value.permanent) == ("encrypt", True)
    assert not place.tools.plans
    assert place.delivered() == set()


async def test_files_that_hold_nothing_are_left_out_and_named(place: Place) -> None:
    place.tools.empty = {"b.mjr", "mix.wav"}

    done = await place.processor().process(INFO)

    assert "b.mjr holds no frame" in done.result.warnings
    assert "mix.wav holds no audio" in done.result.warnings
    (plan,) = place.tools.plans
    assert (len(plan.sources), plan.sounds) == (1, ())


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
    await place.shelf.deliver("uuid:1", [], b"junk")

    with pytest.raises(JobFailed) as caught:
        await place.processor().process(INFO)

    assert (caught.value.code, caught.value.permanent) == ("BAD_MANIFEST", True)


@pytest.mark.parametrize(("raw", "left"), [(False, {"a.mjr", "b.mjr", "mix.wav"}), (True, set())])
async def test_cleaning_removes_temporary_files_and_raw_ones_where_asked(
    place: Place, raw: bool, left: set[str]
) -> None:
    processor = place.processor()
    await processor.process(INFO)

    await processor.clean(INFO, raw=raw)
    await processor.clean(INFO, raw=raw)  # a second time changes nothing

    assert await place.shelf.leftovers("uuid:1") == ()
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
    place.tools.broken = "compose"
    with pytest.raises(JobFailed):
        await processor.process(INFO)
    other = await place.shelf.workspace("other:1")
    await place.shelf.write("preprocess", other.lasting / "recordingInfo.json", b"no event")
    await place.shelf.deliver("other:1", [], b"{}")
    (other.lasting.parent / "a file").write_text("of somebody else")

    assert await processor.left_over() == ()


async def test_who_gets_no_events_from_a_queue_keeps_none(place: Place) -> None:
    processor = place.processor(keeps_events=False)
    await processor.process(INFO)

    assert await processor.left_over() == ()
    assert [path.name for path in await place.shelf.leftovers("uuid:1")] == []


async def test_sound_that_came_too_late_for_the_result_is_not_removed(
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
    film = RawFile("late.mjr", Stream.CAMERA, stop_ms - 500, stop_ms, user=UserId("carol"))
    info = replace(INFO, audio=(*INFO.audio, late), video=(*INFO.video, film))
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


async def test_packets_that_made_no_picture_are_not_removed(place: Place) -> None:
    (place.raw / "b.mjr").write_bytes(b"packets" * 1000)
    place.tools.empty = {"a.mjr", "b.mjr"}
    await place.processor().process(INFO)

    await place.processor().clean(INFO, raw=True)

    assert [path.name for path in place.raw.iterdir()] == ["b.mjr"]


async def test_a_mix_without_sound_is_removed_with_the_rest(place: Place) -> None:
    place.tools.empty = {"mix.wav"}
    await place.processor().process(INFO)

    await place.processor().clean(INFO, raw=True)

    assert list(place.raw.iterdir()) == []


@pytest.mark.parametrize("code", ["MEDIA_CRASH", "TIMEOUT"])
async def test_no_recording_is_without_sound_because_a_process_died(
    place: Place, code: str
) -> None:
    place.tools.deaf = JobFailed("preprocess", code, "killed by SIGKILL", permanent=False)

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


async def test_the_promised_lines_are_logged_in_their_words(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "sfu_wrapper")
    rules = replace(RULES, encrypt=True)

    announce(rules)
    await place.processor(rules, place.vault).process(INFO)

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
    heard: list[Standing] = []
    rules = replace(RULES, encrypt=True)

    await place.processor(rules, place.vault).process(INFO, progress=heard.append)

    assert [now.stage for now in heard[-3:]] == ["compose", "encrypt", "encrypt"]
    assert_it_comes_nearer(heard)
