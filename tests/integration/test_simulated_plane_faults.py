"""The simulated plane fails, hangs and answers late when it is told to."""

import asyncio
import os
import resource
import signal
from pathlib import Path

from sfu_wrapper.adapters.simulated.faults import Faults
from sfu_wrapper.core.media_plane import (
    CaptureFailed,
    CaptureLost,
    CaptureStarted,
    CaptureStopped,
    PlaneBack,
    PublishTrack,
    ResumeCapture,
    StopCapture,
)
from sfu_wrapper.formats import wav
from sfu_wrapper.model.media import Medium, RawFile, Stream
from tests.helpers.planes import (
    AUDIO,
    ROOM,
    VIDEO,
    Bench,
    camera,
    on_disk,
    running,
    simulated,
    start,
    users,
    voice,
)


def films_in(folder: Path) -> list[Path]:
    """Every video file below a folder."""
    return list(folder.rglob("*.mjr"))


def block(path: Path, *, folder: bool = False) -> None:
    """Put something of the wrong kind where the plane wants to write."""
    if path.exists():
        path.rename(path.with_name("aside"))
    path.parent.mkdir(parents=True, exist_ok=True)
    if folder:
        path.mkdir()
    else:
        path.write_text("in the way")


async def test_a_refused_start_writes_nothing(tmp_path: Path) -> None:
    async with running(simulated(tmp_path, "video.start=refuse")) as bench:
        bench.send(start(VIDEO, camera("alice")))
        await bench.until(CaptureFailed, VIDEO)
        bench.send(StopCapture(VIDEO))
        stopped = await bench.until(CaptureStopped)

    assert stopped.files == ()
    assert films_in(tmp_path) == []


async def test_one_medium_can_be_refused_alone(tmp_path: Path) -> None:
    async with running(simulated(tmp_path, "video.start=refuse")) as bench:
        bench.send(start(VIDEO, camera("alice")), start(AUDIO, voice("alice")))
        await bench.until(CaptureStarted, AUDIO)


async def test_a_fault_that_is_counted_runs_out(tmp_path: Path) -> None:
    plane = simulated(tmp_path, "video.start=refuse*1")
    async with running(plane) as bench:
        bench.send(start(VIDEO), start(VIDEO))
        await bench.until(CaptureFailed)
        await bench.until(CaptureStarted)

    assert plane.faults == Faults()


async def test_a_start_that_hangs_is_never_answered(tmp_path: Path) -> None:
    async with running(simulated(tmp_path, "video.start=hang*1")) as bench:
        bench.send(start(VIDEO, camera("alice")), ResumeCapture(VIDEO, ()))
        await bench.until(CaptureFailed)  # asked what became of it, it was never running

    assert not [fact for fact in bench.heard if isinstance(fact, CaptureStarted)]


async def test_a_mute_start_writes_all_the_same(tmp_path: Path) -> None:
    async with running(simulated(tmp_path, "video.start=mute")) as bench:
        bench.send(start(VIDEO, camera("alice")), StopCapture(VIDEO))
        stopped = await bench.until(CaptureStopped)

    assert users(stopped.files) == ["alice"]
    assert bench.heard == [stopped]


async def test_a_late_start_holds_up_its_own_medium_alone(tmp_path: Path) -> None:
    async with running(simulated(tmp_path, "video.start=late:2")) as bench:
        bench.send(start(VIDEO, camera("alice")), StopCapture(VIDEO))
        bench.send(start(AUDIO, voice("alice")))
        facts = [await bench.next() for _ in range(3)]

    assert [(type(fact), getattr(fact, "capture", None)) for fact in facts] == [
        (CaptureStarted, AUDIO),
        (CaptureStarted, VIDEO),
        (CaptureStopped, VIDEO),
    ]


async def test_a_refused_stop_goes_on_writing(tmp_path: Path) -> None:
    async with running(simulated(tmp_path, "video.stop=refuse*1")) as bench:
        await bench.start(VIDEO, camera("alice"))
        bench.send(StopCapture(VIDEO), PublishTrack(ROOM, camera("bob")), StopCapture(VIDEO))
        stopped = await bench.until(CaptureStopped)

    assert users(stopped.files) == ["alice", "bob"]


async def test_a_late_stop_comes_late(tmp_path: Path) -> None:
    async with running(simulated(tmp_path, "video.stop=late:2")) as bench:
        await bench.start(VIDEO, camera("alice"))
        await bench.start(AUDIO)
        bench.send(StopCapture(VIDEO), StopCapture(AUDIO))
        order = [(await bench.until(CaptureStopped)).capture for _ in range(2)]

    assert order == [AUDIO, VIDEO]


async def test_one_medium_can_be_lost_alone_and_comes_back(tmp_path: Path) -> None:
    async with running(simulated(tmp_path, "audio.lose=0.2*1")) as bench:
        await bench.start(VIDEO, camera("alice"))
        await bench.start(AUDIO, voice("alice"))
        lost = await bench.until(CaptureLost)
        back = await bench.until(PlaneBack)
        again = await bench.start(AUDIO, voice("alice"))
        bench.send(StopCapture(VIDEO))
        stopped = await bench.until(CaptureStopped)

    assert (lost.capture, back.medium) == (AUDIO, Medium.AUDIO)
    assert len(again.files) == 2
    assert stopped.capture == VIDEO


async def test_a_plane_that_kills_itself_loses_everything_and_returns(tmp_path: Path) -> None:
    async with running(simulated(tmp_path, "video.die=0.3*1")) as bench:
        await bench.start(VIDEO, camera("alice"))
        await bench.start(AUDIO, voice("alice"))
        lost = {(await bench.until(CaptureLost)).capture for _ in range(2)}
        back = {(await bench.until(PlaneBack)).medium for _ in range(2)}
        await bench.start(VIDEO, camera("alice"))

    assert lost == {VIDEO, AUDIO}
    assert back == set(Medium)


async def test_a_frozen_plane_answers_after_it_has_thawed(tmp_path: Path) -> None:
    plane = simulated(tmp_path)
    async with running(plane) as bench:
        await bench.start(AUDIO)
        plane.set_faults(Faults.parse("freeze=0.6"))
        before = asyncio.get_running_loop().time()
        bench.send(StopCapture(AUDIO))
        stopped = await bench.until(CaptureStopped)
        took_s = asyncio.get_running_loop().time() - before

    assert took_s >= 0.6
    assert on_disk(tmp_path, stopped.files[0]).stat().st_size > 44


async def test_a_start_told_while_the_plane_is_dead_is_carried_out_by_the_next(
    tmp_path: Path,
) -> None:
    plane = simulated(tmp_path, "video.die=0.1*1")
    async with running(plane) as bench:
        await bench.start(VIDEO, camera("alice"))
        while plane.child_pid is not None:  # noqa: ASYNC110 - it tells nobody when it dies
            await asyncio.sleep(0.01)
        await bench.start(AUDIO, voice("alice"))

    assert not [fact for fact in bench.heard if isinstance(fact, CaptureFailed)]


async def test_a_disk_that_takes_no_more_loses_the_capture_and_not_the_plane(
    tmp_path: Path,
) -> None:
    plane = simulated(tmp_path)
    async with running(plane) as bench:
        await bench.start(VIDEO, camera("alice"))
        await bench.start(AUDIO, voice("alice"))
        assert plane.child_pid is not None
        resource.prlimit(plane.child_pid, resource.RLIMIT_FSIZE, (1500, 1500))
        lost = [await bench.until(CaptureLost), await bench.until(CaptureLost)]
        bench.send(StopCapture(VIDEO), start(VIDEO))
        await bench.until(CaptureStopped)
        await bench.until(CaptureStarted)

    assert {fact.capture for fact in lost} == {VIDEO, AUDIO}
    for fact in lost:
        assert "File too large" in fact.message
        file = fact.files[0]
        assert file.stopped_ms is not None
        assert file.started_ms <= file.stopped_ms <= fact.stopped_ms


async def test_a_file_that_cannot_be_opened_in_mid_segment_loses_the_capture(
    tmp_path: Path,
) -> None:
    async with running(simulated(tmp_path)) as bench:
        await bench.start(VIDEO, camera("alice"))
        block(tmp_path / "raw" / ROOM)
        bench.send(PublishTrack(ROOM, camera("bob")))
        lost = await bench.until(CaptureLost)

    assert "room-1" in lost.message


async def test_of_a_start_that_fails_half_way_nothing_is_left(tmp_path: Path) -> None:
    async with running(simulated(tmp_path)) as bench:
        too_long = camera("x" * 256)
        bench.send(start(VIDEO, camera("alice"), too_long))
        await bench.until(CaptureFailed)

    assert films_in(tmp_path) == []


async def test_a_journal_that_cannot_be_read_names_the_files_that_were_known(
    tmp_path: Path,
) -> None:
    known = RawFile("/room-1/a.mjr", Stream.CAMERA, 1)
    block(tmp_path / "raw" / ".simulated" / "room-1-1-video.jsonl", folder=True)
    async with running(simulated(tmp_path)) as bench:
        bench.send(ResumeCapture(VIDEO, (known,)), StopCapture(VIDEO))
        lost = [await bench.until(CaptureLost), await bench.until(CaptureLost)]

    assert lost[0].files == (known,)
    assert "directory" in lost[0].message


async def test_a_child_that_stands_still_does_not_hold_up_the_closing(tmp_path: Path) -> None:
    plane = simulated(tmp_path)
    async with running(plane) as bench:
        await bench.start(AUDIO, voice("alice"))
        assert plane.child_pid is not None
        os.kill(plane.child_pid, signal.SIGSTOP)
        async with asyncio.timeout(20):
            await plane.close()

    assert plane.child_pid is None


async def test_a_plane_whose_run_is_cancelled_leaves_no_child(tmp_path: Path) -> None:
    plane = simulated(tmp_path)
    run = asyncio.create_task(plane.run())
    bench = Bench(plane)
    started = await bench.start(AUDIO, voice("alice"))
    run.cancel()
    await asyncio.wait([run])
    await plane.close()

    assert plane.child_pid is None
    mix = wav.parse(on_disk(tmp_path, started.files[0]).read_bytes())
    assert mix is not None
    assert mix.truthful
