"""What every media plane promises: the fake, the simulated one, ``none``, a pair, and real Janus.

At Janus each publisher of a test publishes, through WebRTC (``helpers.peopled``).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sfu_wrapper.adapters.memory.plane import MemoryPlane
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.planes.composite_plane import NoPlane, PairedPlane
from sfu_wrapper.core.media_plane import (
    CaptureChanged,
    CaptureLost,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    CloseMediaRoom,
    OpenMediaRoom,
    PlaneBack,
    PublishTrack,
    ResumeCapture,
    StartCapture,
    StopCapture,
    UnpublishTrack,
)
from sfu_wrapper.model.identity import RoomUuid, SegmentNo
from sfu_wrapper.model.media import Medium, RawFile, Stream
from sfu_wrapper.ports.media_plane import MediaPlane
from tests.helpers.ami import asterisk
from tests.helpers.janus import JanusServer, running_janus
from tests.helpers.peopled import peopled
from tests.helpers.planes import (
    AUDIO,
    BRIDGE,
    ROOM,
    VIDEO,
    Bench,
    asterisk_plane,
    bridge_of,
    camera,
    running,
    screen,
    simulated,
    start,
    users,
    voice,
)

REAL = pytest.param("janus", marks=pytest.mark.system)
WRITERS = ("memory", "simulated", "paired", "asterisk", REAL)  # those that write files
EVERY = (*WRITERS, "none")


@pytest.fixture
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    if request.param == "asterisk":
        async with beside_asterisk(tmp_path) as bench:
            yield bench
        return
    if request.param == "janus":
        janus: JanusServer = request.getfixturevalue("janus")
        async with running(peopled(janus, tmp_path)) as bench:
            yield bench
        return
    async with running(plane_called(request.param, tmp_path)) as bench:
        yield bench


@asynccontextmanager
async def beside_asterisk(folder: Path) -> AsyncIterator[Bench]:
    """Asterisk as the mixer, in whose conferences somebody is; the fake one as the SFU."""
    async with asterisk(folder) as server:
        for room in (ROOM, RoomUuid("room-2")):
            server.enter(bridge_of(room))
        mixer = asterisk_plane(server.settings, folder)
        async with running(PairedPlane(video=MemoryPlane(), audio=mixer)) as bench:
            await bench.until(PlaneBack)
            yield bench


@pytest.fixture(scope="module")
def janus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JanusServer]:
    with running_janus(tmp_path_factory.mktemp("janus") / "server") as server:
        yield server


def plane_called(name: str, folder: Path) -> MediaPlane:
    match name:
        case "memory":
            return MemoryPlane()
        case "none":
            return NoPlane(SystemClock())
        case "paired":
            return PairedPlane(video=MemoryPlane(), audio=MemoryPlane())
        case _:
            return simulated(folder)


every_plane = pytest.mark.parametrize("bench", EVERY, indirect=True)
writing_planes = pytest.mark.parametrize("bench", WRITERS, indirect=True)


@every_plane
async def test_a_start_and_a_stop_are_confirmed(bench: Bench) -> None:
    bench.send(OpenMediaRoom(ROOM, BRIDGE))
    started = await bench.start(VIDEO, camera("alice"), voice("alice"))
    bench.send(StopCapture(VIDEO))
    stopped = await bench.until(CaptureStopped)

    assert started.capture == stopped.capture == VIDEO
    assert 0 < started.started_ms <= stopped.stopped_ms


@every_plane
async def test_a_repeated_start_is_confirmed_again(bench: Bench) -> None:
    first = await bench.start(AUDIO, voice("alice"))
    second = await bench.start(AUDIO, voice("alice"))

    assert second == first


@every_plane
async def test_a_repeated_stop_is_answered_again_with_the_same_files(bench: Bench) -> None:
    await bench.start(VIDEO, camera("alice"))
    bench.send(StopCapture(VIDEO), StopCapture(VIDEO))
    first = await bench.until(CaptureStopped)
    second = await bench.until(CaptureStopped)

    assert first.files == second.files


@every_plane
async def test_a_stop_of_what_never_ran_names_no_files(bench: Bench) -> None:
    bench.send(StopCapture(VIDEO))
    stopped = await bench.until(CaptureStopped)

    assert stopped.capture == VIDEO
    assert stopped.files == ()


@every_plane
async def test_a_closed_room_has_its_captures_stopped(bench: Bench) -> None:
    await bench.start(VIDEO, camera("alice"))
    await bench.start(AUDIO, voice("alice"))
    bench.send(CloseMediaRoom(ROOM))
    stopped = [await bench.until(CaptureStopped), await bench.until(CaptureStopped)]

    assert {fact.capture for fact in stopped} == {VIDEO, AUDIO}


@every_plane
async def test_a_room_of_which_nothing_is_known_can_be_closed(bench: Bench) -> None:
    await bench.start(VIDEO, camera("alice"))
    bench.send(CloseMediaRoom(RoomUuid("left-by-a-dead-controller")))
    bench.send(StopCapture(VIDEO))

    assert (await bench.until(CaptureStopped)).capture == VIDEO


@every_plane
async def test_a_closed_room_leaves_the_others_alone(bench: Bench) -> None:
    elsewhere = CaptureRef(RoomUuid("room-2"), SegmentNo(1), Medium.AUDIO)
    first = await bench.start(elsewhere)
    await bench.start(AUDIO)
    bench.send(CloseMediaRoom(ROOM))
    stopped = await bench.until(CaptureStopped)
    again = await bench.start(elsewhere)

    assert stopped.capture == AUDIO
    assert again == first  # it runs since then


@every_plane
async def test_a_running_capture_is_resumed(bench: Bench) -> None:
    started = await bench.start(AUDIO, voice("alice"))
    bench.send(ResumeCapture(AUDIO, started.files))

    assert await bench.next() == started


@every_plane
async def test_the_facts_end_once_the_plane_is_closed(bench: Bench) -> None:
    facts = bench.plane.facts()
    await bench.plane.close()

    async with asyncio.timeout(bench.deadline_s):
        assert [fact async for fact in facts] == []


@writing_planes
async def test_a_confirmed_video_capture_has_a_file_for_each_camera_and_screen(
    bench: Bench,
) -> None:
    started = await bench.start(VIDEO, camera("alice"), voice("alice"), screen("bob"))

    assert {(file.user, file.stream) for file in started.files} == {
        ("alice", Stream.CAMERA),
        ("bob", Stream.SCREEN),
    }
    assert all(file.stopped_ms is None for file in started.files)


@writing_planes
async def test_a_confirmed_audio_capture_has_one_mix(bench: Bench) -> None:
    started = await bench.start(AUDIO, camera("alice"), voice("alice"), voice("bob"))

    (mix,) = started.files
    assert (mix.user, mix.stream) == (None, Stream.AUDIO)
    assert mix.mixer in ("simulated", "asterisk", "audiobridge")


@writing_planes
async def test_a_stop_closes_every_file(bench: Bench) -> None:
    await bench.start(VIDEO, camera("alice"), camera("bob"))
    bench.send(StopCapture(VIDEO))
    stopped = await bench.until(CaptureStopped)

    assert set(users(stopped.files)) == {"alice", "bob"}
    for file in stopped.files:
        assert file.stopped_ms is not None
        assert file.started_ms <= file.stopped_ms <= stopped.stopped_ms


@writing_planes
async def test_a_track_published_during_the_capture_gets_a_file(bench: Bench) -> None:
    await bench.start(VIDEO, camera("alice"))
    bench.send(PublishTrack(ROOM, camera("bob")))
    changed = await bench.until(CaptureChanged)

    assert users(changed.files) == ["alice", "bob"]


@writing_planes
async def test_a_track_published_twice_gets_one_file(bench: Bench) -> None:
    await bench.start(VIDEO, camera("alice"))
    bench.send(PublishTrack(ROOM, camera("alice")), StopCapture(VIDEO))
    stopped = await bench.until(CaptureStopped)

    assert users(stopped.files) == ["alice"]


@writing_planes
async def test_an_unpublished_track_has_its_file_closed(bench: Bench) -> None:
    await bench.start(VIDEO, camera("alice"), camera("bob"))
    bench.send(UnpublishTrack(ROOM, camera("bob")))
    changed = await bench.until(CaptureChanged)

    assert {file.user: file.stopped_ms is None for file in changed.files} == {
        "alice": True,
        "bob": False,
    }


@writing_planes
async def test_who_publishes_again_gets_a_second_file(bench: Bench) -> None:
    await bench.start(VIDEO, camera("alice"))
    bench.send(UnpublishTrack(ROOM, camera("alice")), PublishTrack(ROOM, camera("alice")))
    await bench.until(CaptureChanged)
    changed = await bench.until(CaptureChanged)

    assert users(changed.files) == ["alice", "alice"]
    assert len({file.filename for file in changed.files}) == 2


@writing_planes
async def test_a_track_of_another_room_changes_nothing(bench: Bench) -> None:
    await bench.start(VIDEO, camera("alice"))
    bench.send(PublishTrack(RoomUuid("room-2"), camera("bob")), StopCapture(VIDEO))

    assert isinstance(await bench.next(), CaptureStopped)


@writing_planes
async def test_two_segments_share_no_file(bench: Bench) -> None:
    second = CaptureRef(ROOM, SegmentNo(2), Medium.AUDIO)
    bench.send(start(AUDIO), StopCapture(AUDIO), start(second), StopCapture(second))
    stopped = [await bench.until(CaptureStopped), await bench.until(CaptureStopped)]

    names = [file.filename for fact in stopped for file in fact.files]
    assert len(set(names)) == 2


@writing_planes
async def test_a_confbridge_id_that_is_used_again_has_files_of_its_own(
    bench: Bench,
) -> None:
    second = CaptureRef(RoomUuid("room-2"), SegmentNo(1), Medium.AUDIO)
    bench.send(OpenMediaRoom(ROOM, BRIDGE), start(AUDIO), StopCapture(AUDIO), CloseMediaRoom(ROOM))
    bench.send(OpenMediaRoom(second.room, BRIDGE), StartCapture(second, BRIDGE, ()))
    before = await bench.until(CaptureStopped, AUDIO)
    bench.send(StopCapture(second))
    after = await bench.until(CaptureStopped, second)

    names = [file.filename for fact in (before, after) for file in fact.files]
    assert len(set(names)) == len(names) == 2


@writing_planes
async def test_the_end_of_a_room_that_was_never_opened_leaves_nothing(bench: Bench) -> None:
    bench.send(CloseMediaRoom(ROOM), ResumeCapture(AUDIO, ()))
    lost = await bench.until(CaptureLost)
    bench.send(StopCapture(AUDIO))

    assert lost.files == (await bench.until(CaptureStopped)).files == ()


@writing_planes
async def test_a_capture_that_is_not_written_is_not_resumed(bench: Bench) -> None:
    bench.send(ResumeCapture(VIDEO, ()))
    lost = await bench.until(CaptureLost)

    assert (lost.capture, lost.files) == (VIDEO, ())


@pytest.mark.parametrize("bench", ["none"], indirect=True)
async def test_the_plane_none_names_no_files_and_resumes_whatever_is_asked(bench: Bench) -> None:
    known = RawFile("/room-1/elsewhere.mjr", Stream.CAMERA, started_ms=1)
    bench.send(ResumeCapture(VIDEO, (known,)))
    resumed = await bench.until(CaptureStarted)

    assert resumed.files == ()
