"""The plane in memory does what a test tells it to."""

import pytest

from sfu_wrapper.adapters.memory.plane import Behaviour, MemoryPlane
from sfu_wrapper.adapters.os.clock import ManualClock
from sfu_wrapper.adapters.planes.composite_plane import NoPlane
from sfu_wrapper.core.media_plane import (
    CaptureFailed,
    CaptureLost,
    CaptureStarted,
    CaptureStopped,
    PlaneBack,
    ResumeCapture,
    StopCapture,
    UnpublishTrack,
)
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.media import Medium, RawFile, Stream
from tests.helpers.planes import (
    AUDIO,
    ROOM,
    VIDEO,
    Bench,
    camera,
    running,
    send_repeatedly,
    start,
    users,
    voice,
)


async def facts_of(plane: MemoryPlane) -> list[object]:
    """Everything that it has said."""
    await plane.close()
    return [fact async for fact in plane.facts()]


async def test_a_held_start_is_confirmed_on_demand() -> None:
    plane = MemoryPlane()
    plane.behave(Medium.VIDEO, "start", Behaviour.HOLD)
    plane.send(start(VIDEO, camera("alice")))
    before = plane.running
    plane.release()

    assert (before, plane.running) == ((), (VIDEO,))
    assert [type(fact) for fact in await facts_of(plane)] == [CaptureStarted]


async def test_a_refused_start_is_answered_and_a_refused_stop_is_not() -> None:
    plane = MemoryPlane()
    plane.behave(Medium.VIDEO, "start", Behaviour.REFUSE)
    plane.behave(Medium.AUDIO, "stop", Behaviour.REFUSE)
    for request in (start(VIDEO), start(AUDIO), StopCapture(AUDIO)):
        plane.send(request)

    assert plane.running == (AUDIO,)
    assert [type(fact) for fact in await facts_of(plane)] == [CaptureFailed, CaptureStarted]


@pytest.mark.parametrize(("way", "runs"), [(Behaviour.HANG, False), (Behaviour.MUTE, True)])
async def test_a_start_without_an_answer(way: Behaviour, runs: bool) -> None:
    plane = MemoryPlane()
    plane.behave(Medium.VIDEO, "start", way)
    plane.send(start(VIDEO))

    assert (plane.running == (VIDEO,)) is runs
    assert await facts_of(plane) == []


async def test_a_mute_stop_is_carried_out() -> None:
    plane = MemoryPlane()
    plane.behave(Medium.VIDEO, "stop", Behaviour.MUTE)
    plane.send(start(VIDEO))
    plane.send(StopCapture(VIDEO))

    assert plane.running == ()


async def test_a_death_loses_every_capture() -> None:
    async with running(MemoryPlane()) as bench:
        plane = bench.plane
        assert isinstance(plane, MemoryPlane)
        await bench.start(VIDEO, camera("alice"))
        await bench.start(AUDIO, voice("alice"))
        plane.lose()
        plane.back()
        lost = [await bench.until(CaptureLost) for _ in range(2)]
        back = [(await bench.until(PlaneBack)).medium for _ in range(2)]

    assert [users(fact.files) for fact in lost] == [["alice"], [None]]
    assert back == list(Medium)


async def test_what_is_resumed_after_a_restart_is_lost_with_the_files_that_were_known() -> None:
    known = RawFile("/room-1/a.mjr", Stream.CAMERA, 1)
    bench = Bench(MemoryPlane(now_ms=5))
    bench.send(ResumeCapture(VIDEO, (known,)))
    lost = await bench.until(CaptureLost)

    assert [(file.filename, file.stopped_ms) for file in lost.files] == [(known.filename, 6)]


async def test_a_track_that_was_never_published_cannot_end() -> None:
    bench = Bench(MemoryPlane())
    await bench.start(VIDEO, camera("alice"))
    bench.send(UnpublishTrack(ROOM, camera("bob")), StopCapture(VIDEO))

    assert isinstance(await bench.next(), CaptureStopped)


async def test_it_keeps_what_it_was_asked_and_can_be_full() -> None:
    plane = MemoryPlane()
    plane.send(start(VIDEO))
    plane.full = True

    with pytest.raises(Unavailable):
        plane.send(StopCapture(VIDEO))
    assert plane.asked == [start(VIDEO)]


def test_none_says_when_nobody_reads_its_facts() -> None:
    plane = NoPlane(ManualClock())

    with pytest.raises(Unavailable, match="queue of facts"):
        send_repeatedly(plane, StopCapture(VIDEO))
