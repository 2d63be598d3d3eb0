"""What the simulated plane leaves on disk, looked at and listened to, after deaths too."""

import asyncio
import os
import signal
import sys
import time
from itertools import groupby
from pathlib import Path

from sfu_wrapper.adapters.simulated.plane import SimulatedPlane
from sfu_wrapper.core.media_plane import (
    CaptureChanged,
    CaptureFailed,
    CaptureLost,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    PlaneBack,
    PublishTrack,
    ResumeCapture,
    StopCapture,
    UnpublishTrack,
)
from sfu_wrapper.formats import mjr
from sfu_wrapper.model.identity import RoomUuid, SegmentNo
from sfu_wrapper.model.media import Medium, RawFile
from tests.helpers.planes import (
    AUDIO,
    ROOM,
    TOKEN,
    VIDEO,
    Bench,
    camera,
    on_disk,
    running,
    screen,
    simulated,
    start,
    users,
    voice,
)
from tests.helpers.rawmedia import decoded_frames, samples, tones
from tests.helpers.wait import until

REPOSITORY = Path(__file__).parents[2]
A_WHILE_S = 0.8  # of media; nothing is asserted about how long it took


def permissions(folder: Path) -> dict[Path, int]:
    """Of every file and folder in it."""
    return {each: each.stat().st_mode for each in folder.rglob("*")}


async def recorded(bench: Bench) -> tuple[CaptureStopped, CaptureStopped]:
    """Let it run for a while, then stop both captures."""
    await asyncio.sleep(A_WHILE_S)
    bench.send(StopCapture(VIDEO), StopCapture(AUDIO))
    stopped = [await bench.until(CaptureStopped), await bench.until(CaptureStopped)]
    by_medium = {fact.capture.medium: fact for fact in stopped}
    return by_medium[Medium.VIDEO], by_medium[Medium.AUDIO]


def packets(folder: Path, file: RawFile) -> int:
    """Number of packets in a video file so far; one of its frames may take three."""
    return sum(1 for _ in mjr.Reader(on_disk(folder, file).read_bytes()).frames())


async def test_every_frame_shows_who_and_when(tmp_path: Path) -> None:
    async with running(simulated(tmp_path)) as bench:
        started = await bench.start(VIDEO, camera("alice"), camera("bob"), screen("bob"))
        await until(lambda: all(packets(tmp_path, file) > 9 for file in started.files))
        video, _ = await recorded(bench)

    for file, (name, shared) in zip(
        video.files, [("alice", False), ("bob", False), ("bob", True)], strict=True
    ):
        shown = decoded_frames(on_disk(tmp_path, file))
        assert shown[0].key
        assert len(shown) > 3
        for frame in shown:
            assert frame.strip is not None
            assert (frame.strip.name, frame.strip.token) == (name, TOKEN)
            assert frame.strip.screen is shared
            assert abs(frame.strip.clock_ms - frame.at_ms) <= 1


async def test_a_file_covers_its_time_in_the_segment(tmp_path: Path) -> None:
    async with running(simulated(tmp_path)) as bench:
        await bench.start(VIDEO, camera("alice"))
        await bench.start(AUDIO, voice("alice"))
        video, audio = await recorded(bench)

    (video_file,), (mix,) = video.files, audio.files
    assert video_file.stopped_ms is not None
    assert mix.stopped_ms is not None
    shown = decoded_frames(on_disk(tmp_path, video_file))
    assert abs(shown[0].at_ms - video_file.started_ms) <= 1
    assert 0 <= video_file.stopped_ms - shown[-1].at_ms < 200
    seconds = len(samples(on_disk(tmp_path, mix))) / 16000
    assert abs(seconds * 1000 - (mix.stopped_ms - mix.started_ms)) <= 2


async def test_the_files_bear_the_names_of_the_product(tmp_path: Path) -> None:
    async with running(simulated(tmp_path)) as bench:
        await bench.start(VIDEO, camera("5dde2b2fbd53a5c690"))
        await bench.start(AUDIO)
        video, audio = await recorded(bench)

    (video_file,), (mix,) = video.files, audio.files
    start_ms = video_file.started_ms
    assert video_file.filename == (
        f"/room-1/janus-room-1-5dde2b2fbd53a5c690-sfuvideo-{start_ms}-video.mjr"
    )
    assert mix.filename == "recording-bridge-1-1.wav"


async def test_nobody_else_can_read_what_it_writes(tmp_path: Path) -> None:
    async with running(simulated(tmp_path)) as bench:
        await bench.start(VIDEO, camera("alice"))
        await bench.start(AUDIO, voice("alice"))
        await recorded(bench)

    modes = permissions(tmp_path)
    assert {each.suffix for each in modes} >= {".mjr", ".wav"}
    assert [each for each, mode in modes.items() if mode & 0o077] == []


async def test_the_header_of_a_video_reads_as_a_janus_one(tmp_path: Path) -> None:
    async with running(simulated(tmp_path)) as bench:
        started = await bench.start(VIDEO, camera("alice"))

        header = mjr.Reader(on_disk(tmp_path, started.files[0]).read_bytes()).header

    assert header is not None
    assert (header.kind, header.codec) == (mjr.Kind.VIDEO, "vp8")
    assert header.started_us // 1000 == started.files[0].started_ms


async def test_each_voice_is_heard_while_it_is_published(tmp_path: Path) -> None:
    async with running(simulated(tmp_path)) as bench:
        started = await bench.start(AUDIO, voice("alice"))
        await asyncio.sleep(A_WHILE_S)
        bench.send(PublishTrack(ROOM, voice("bob")))
        await asyncio.sleep(A_WHILE_S)
        bench.send(UnpublishTrack(ROOM, voice("alice")), UnpublishTrack(ROOM, voice("bob")))
        _, audio = await recorded(bench)

    pcm = samples(on_disk(tmp_path, started.files[0]))
    heard = [tones(pcm[at : at + 4000]) for at in range(0, len(pcm) - 4000, 800)]
    runs = [(who, len(list(run))) for who, run in groupby(heard)]
    assert [who for who, count in runs if count > 5] == [{440}, {440, 880}, set()]
    assert audio.files[0].holds_media


async def test_a_folder_that_cannot_be_written_fails_the_start(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / ROOM).write_text("in the way")
    async with running(simulated(tmp_path)) as bench:
        bench.send(start(VIDEO, camera("alice")))
        failed = await bench.until(CaptureFailed)
        await bench.start(AUDIO, voice("alice"))

    assert "room-1" in failed.message


async def test_a_second_try_within_a_segment_overwrites_nothing(tmp_path: Path) -> None:
    async with running(simulated(tmp_path)) as bench:
        first = await bench.start(AUDIO, voice("alice"))
        bench.send(StopCapture(AUDIO), start(AUDIO, voice("alice")))
        second = await bench.until(CaptureStarted)

    assert [file.filename for file in second.files] == [
        first.files[0].filename,
        "recording-bridge-1-1-2.wav",
    ]


async def test_rooms_of_one_bridge_share_no_mix(tmp_path: Path) -> None:
    captures = [CaptureRef(RoomUuid(f"r{n}"), SegmentNo(1), Medium.AUDIO) for n in range(8)]
    async with running(simulated(tmp_path)) as bench:
        bench.send(*(start(capture) for capture in captures))
        started = [await bench.until(CaptureStarted) for _ in captures]

    assert len({fact.files[0].filename for fact in started}) == len(captures)


async def test_when_the_plane_dies_its_captures_are_lost_with_usable_files(
    tmp_path: Path,
) -> None:
    plane = simulated(tmp_path)
    async with running(plane) as bench:
        await bench.start(VIDEO, camera("alice"))
        await bench.start(AUDIO, voice("alice"))
        await asyncio.sleep(A_WHILE_S)
        assert plane.child_pid is not None
        os.kill(plane.child_pid, signal.SIGKILL)
        lost = [await bench.until(CaptureLost), await bench.until(CaptureLost)]
        back = {(await bench.until(PlaneBack)).medium for _ in Medium}
        again = await bench.start(VIDEO, camera("alice"))

    files = {fact.capture: fact.files[0] for fact in lost}
    assert_holds_media(tmp_path, files[VIDEO], files[AUDIO])
    assert back == set(Medium)
    assert users(again.files) == ["alice", "alice"]


async def test_a_stop_is_answered_after_the_plane_died(tmp_path: Path) -> None:
    plane = simulated(tmp_path)
    async with running(plane) as bench:
        await bench.start(VIDEO, camera("alice"))
        assert plane.child_pid is not None
        os.kill(plane.child_pid, signal.SIGKILL)
        lost = await bench.until(CaptureLost)
        bench.send(StopCapture(VIDEO))
        stopped = await bench.until(CaptureStopped)

    assert stopped.files == lost.files


async def test_sigterm_closes_the_files(tmp_path: Path) -> None:
    plane = simulated(tmp_path)
    async with running(plane) as bench:
        await bench.start(AUDIO, voice("alice"))
        await asyncio.sleep(A_WHILE_S)
        assert plane.child_pid is not None
        os.kill(plane.child_pid, signal.SIGTERM)
        lost = await bench.until(CaptureLost)

    assert tones(samples(on_disk(tmp_path, lost.files[0]))) == {440}


async def test_a_plane_that_says_nothing_any_more_is_replaced(tmp_path: Path) -> None:
    plane = SimulatedPlane(tmp_path / "raw", tmp_path / "audio", token=TOKEN, silence_s=8)
    async with running(plane) as bench:
        await bench.start(VIDEO, camera("alice"))
        assert plane.child_pid is not None
        os.kill(plane.child_pid, signal.SIGSTOP)
        lost = await bench.until(CaptureLost)

    assert users(lost.files) == ["alice"]


CONTROLLER = """
import asyncio, sys
from pathlib import Path
from sfu_wrapper.core.media_plane import CaptureStarted
from tests.helpers.planes import AUDIO, VIDEO, camera, running, simulated, voice

async def main():
    async with running(simulated(Path(sys.argv[1]))) as bench:
        await bench.start(VIDEO, camera("alice"), camera("bob"))
        await bench.start(AUDIO, voice("alice"))
        print("recording", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_killed_controller_finds_the_files_of_its_segment(tmp_path: Path) -> None:
    controller = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CONTROLLER,
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        cwd=REPOSITORY,
    )
    assert controller.stdout is not None
    assert await controller.stdout.readline() == b"recording\n"
    await asyncio.sleep(A_WHILE_S)
    controller.kill()
    await controller.wait()

    async with running(simulated(tmp_path)) as bench:
        bench.send(ResumeCapture(VIDEO, ()), ResumeCapture(AUDIO, ()))
        lost = [await bench.until(CaptureLost), await bench.until(CaptureLost)]

    files = {fact.capture: fact.files for fact in lost}
    assert users(files[VIDEO]) == ["alice", "bob"]
    for video_file in files[VIDEO]:
        assert_holds_media(tmp_path, video_file, files[AUDIO][0])
    for fact in lost:
        assert fact.stopped_ms == max(file.stopped_ms or 0 for file in fact.files)


async def test_what_was_lost_is_told_the_same_again(tmp_path: Path) -> None:
    plane = simulated(tmp_path)
    async with running(plane) as bench:
        started = await bench.start(AUDIO, voice("alice"))
        assert plane.child_pid is not None
        os.kill(plane.child_pid, signal.SIGKILL)
        first = await bench.until(CaptureLost)
        bench.send(ResumeCapture(AUDIO, started.files))
        second = await bench.until(CaptureLost)

    assert (second.stopped_ms, second.files) == (first.stopped_ms, first.files)


async def test_a_track_published_in_mid_segment_survives_the_death(tmp_path: Path) -> None:
    plane = simulated(tmp_path)
    async with running(plane) as bench:
        await bench.start(VIDEO, camera("alice"))
        bench.send(PublishTrack(ROOM, camera("bob")))
        await bench.until(CaptureChanged)
        assert plane.child_pid is not None
        os.kill(plane.child_pid, signal.SIGKILL)
        lost = await bench.until(CaptureLost)

    assert users(lost.files) == ["alice", "bob"]


def assert_holds_media(folder: Path, video_file: RawFile, mix: RawFile) -> None:
    """Both can be read to their ends, and the ends are where the plane says."""
    shown = decoded_frames(on_disk(folder, video_file))
    assert video_file.stopped_ms is not None
    assert shown[-1].at_ms - 100 < video_file.stopped_ms <= time.time() * 1000
    assert all(frame.strip is not None for frame in shown)
    pcm = samples(on_disk(folder, mix))
    assert mix.stopped_ms is not None
    assert abs(len(pcm) / 16 - (mix.stopped_ms - mix.started_ms)) <= 1
    assert tones(pcm) == {440}
