"""What publishers do in a real VideoRoom and AudioBridge, and what is recorded of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest

from sfu_wrapper.adapters.janus import line
from sfu_wrapper.adapters.janus.audiobridge import AudioBridge
from sfu_wrapper.adapters.janus.session import AUDIO_BRIDGE, VIDEO_ROOM, open_session
from sfu_wrapper.adapters.janus.videoroom import VideoRoom
from sfu_wrapper.core.facts import (
    CaptureChanged,
    CaptureFailed,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    TracksCarried,
)
from sfu_wrapper.core.requests import CloseMediaRoom, OpenMediaRoom, StartCapture, StopCapture
from sfu_wrapper.formats.wav import parse
from sfu_wrapper.model.ids import ConfbridgeId, RoomUuid, SegmentNo
from sfu_wrapper.model.media import Medium, Stream
from tests.helpers.calls import until
from tests.helpers.janus import ADMIN_KEY, JanusServer, running_janus
from tests.helpers.peopled import janus_plane, janus_settings
from tests.helpers.planes import Bench, camera, running, screen, users, voice
from tests.helpers.publishers import Camera, Person, Tone, person

pytestmark = pytest.mark.system
RED, GREY = (90, 90, 220), (120, 128, 128)
_numbers = count(1)


@pytest.fixture(scope="module")
def janus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JanusServer]:
    with running_janus(tmp_path_factory.mktemp("janus") / "server") as server:
        yield server


class Studio:
    """A room at Janus, somebody who publishes, and the plane that records."""

    def __init__(self, server: JanusServer, folder: Path, bench: Bench, people: Person) -> None:
        self.server, self.folder, self.bench, self.people = server, folder, bench, people
        number = next(_numbers)
        self.room, self.bridge = RoomUuid(f"studio-{number}"), ConfbridgeId(f"bridge-{number}")

    def capture(self, medium: Medium, segment: int = 1) -> CaptureRef:
        return CaptureRef(self.room, SegmentNo(segment), medium)

    async def opened(self) -> None:
        self.bench.tell(OpenMediaRoom(self.room, self.bridge))
        heard = {(await self.bench.until(TracksCarried)).medium for _ in Medium}
        assert heard == set(Medium)

    async def start(self, medium: Medium) -> CaptureRef:
        capture = self.capture(medium)
        self.bench.tell(StartCapture(capture, self.bridge, ()))
        await self.bench.until(CaptureStarted, capture)
        return capture

    async def stop(self, capture: CaptureRef) -> CaptureStopped:
        self.bench.tell(StopCapture(capture))
        return await self.bench.until(CaptureStopped, capture)


@pytest.fixture
async def studio(janus: JanusServer, tmp_path: Path) -> AsyncIterator[Studio]:
    async with in_studio(janus, tmp_path) as studio:
        yield studio


@asynccontextmanager
async def in_studio(janus: JanusServer, folder: Path) -> AsyncIterator[Studio]:
    plane = janus_plane(janus, folder)
    async with running(plane) as bench, person(janus.address) as people:
        studio = Studio(janus, folder, bench, people)
        await studio.opened()
        yield studio


async def video_room(studio: Studio) -> dict[str, object]:
    """What Janus says of the room."""
    async with open_session(studio.server.address) as session:
        handle = await session.attach(VIDEO_ROOM)
        answer = await handle.ask({"request": "list", "admin_key": ADMIN_KEY})
    rooms = answer["list"]
    assert isinstance(rooms, list)
    (room,) = [each for each in rooms if each["room"] == studio.room]
    return dict(room)


async def test_who_publishes_what_is_told(studio: Studio) -> None:
    await studio.people.film(studio.room, "p-alice", Camera(RED))
    await studio.people.film(studio.room, "s-alice", Camera(GREY), "H264")
    await studio.people.speak(studio.bridge, "p-alice", Tone(440))
    told = [await studio.bench.until(TracksCarried) for _ in range(3)]
    await studio.people.leave("s-alice")
    after = await studio.bench.until(TracksCarried)

    assert [fact.tracks for fact in told] == [
        (camera("alice"),),
        (camera("alice"), screen("alice")),
        (voice("alice"),),
    ]
    assert after.tracks == (camera("alice"),)


async def test_camera_and_screen_are_told_apart_whatever_their_codec(studio: Studio) -> None:
    await studio.people.film(studio.room, "p-al.ice@a+b:c~tab1", Camera(RED))
    await studio.people.film(studio.room, "s-al.ice@a+b:c", Camera(GREY), "H264")
    capture = await studio.start(Medium.VIDEO)
    await asyncio.sleep(0.5)
    stopped = await studio.stop(capture)

    assert {file.stream for file in stopped.files} == {Stream.CAMERA, Stream.SCREEN}
    assert set(users(stopped.files)) == {"al.ice@a+b:c"}
    for file in stopped.files:
        assert file.stopped_ms is not None
        assert 200 < file.stopped_ms - file.started_ms < 1_500


async def test_sound_that_comes_along_is_not_kept(studio: Studio) -> None:
    await studio.people.film(studio.room, "p-alice", Camera(RED), sound=Tone(440))
    capture = await studio.start(Medium.VIDEO)
    await asyncio.sleep(0.3)
    written = {path.name.split("-")[-2] for path in studio.folder.rglob("*.mjr")}
    await studio.stop(capture)
    kept = {path.name.split("-")[-2] for path in studio.folder.rglob("*.mjr")}

    assert (written, kept) == ({"audio", "video"}, {"video"})


async def test_a_publisher_cannot_stop_its_own_recording(studio: Studio) -> None:
    await studio.people.film(studio.room, "p-alice", Camera(RED))
    capture = await studio.start(Medium.VIDEO)
    await studio.people.say("p-alice", {"request": "configure", "record": False})
    await asyncio.sleep(0.6)
    (file,) = (await studio.stop(capture)).files

    assert file.stopped_ms is not None
    assert file.stopped_ms - file.started_ms > 400


async def test_somebody_with_an_id_of_another_kind_is_in_no_event(studio: Studio) -> None:
    await studio.people.film(studio.room, "p-alice", Camera(RED))
    await studio.people.film(studio.room, "rogue", Camera(GREY))
    capture = await studio.start(Medium.VIDEO)
    stopped = await studio.stop(capture)

    assert users(stopped.files) == ["alice"]


async def test_whoever_comes_back_within_a_segment_has_a_second_file(studio: Studio) -> None:
    await studio.people.film(studio.room, "p-alice", Camera(RED))
    capture = await studio.start(Medium.VIDEO)
    await asyncio.sleep(0.3)
    await studio.people.leave("p-alice")
    left = await studio.bench.until(CaptureChanged)
    await studio.people.film(studio.room, "p-alice~2", Camera(RED))
    await studio.bench.until(CaptureChanged)
    await asyncio.sleep(0.3)
    first, second = (await studio.stop(capture)).files

    assert left.files == (first,)
    assert first.stopped_ms is not None
    assert first.stopped_ms <= second.started_ms
    assert first.holds_media
    assert second.holds_media


async def test_who_sends_nothing_has_a_file_that_holds_nothing(studio: Studio) -> None:
    await studio.people.film(studio.room, "p-alice", Camera(RED))
    capture = await studio.start(Medium.VIDEO)
    (file,) = (await studio.stop(capture)).files  # before the next picture is due

    path = studio.folder / "raw" / file.filename.lstrip("/")
    assert file.holds_media == (path.stat().st_size > 8)


async def test_silence_is_written_where_nobody_is_heard(studio: Studio) -> None:
    capture = await studio.start(Medium.AUDIO)
    await asyncio.sleep(0.7)
    (mix,) = (await studio.stop(capture)).files
    wav = parse((studio.folder / "audio" / mix.filename).read_bytes())

    assert wav is not None
    assert wav.truthful, "Janus leaves the lengths wrong"
    assert 600 < wav.duration_ms < 1_500
    assert mix.stopped_ms == mix.started_ms + wav.duration_ms
    assert (mix.mixer, mix.delay_ms) == ("audiobridge", 120)


async def test_key_frames_are_asked_for_often_at_first(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "RUN_IN_S", 0.3)
    await studio.start(Medium.VIDEO)
    assert (await video_room(studio))["fir_freq"] == 1

    async def asked_rarely() -> bool:
        return (await video_room(studio))["fir_freq"] == 10

    await until(asked_rarely)


async def test_a_room_is_destroyed_with_the_call(studio: Studio) -> None:
    studio.bench.tell(CloseMediaRoom(studio.room))
    settings = janus_settings(studio.server, studio.folder)
    async with open_session(studio.server.address) as session:
        video, audio = await session.attach(VIDEO_ROOM), await session.attach(AUDIO_BRIDGE)
        await until(lambda: VideoRoom(studio.room, settings).make(video))
        await until(lambda: AudioBridge(studio.bridge, settings).make(audio))


async def test_a_room_that_somebody_else_made_is_not_recorded(studio: Studio) -> None:
    async with open_session(studio.server.address) as session:
        handle = await session.attach(VIDEO_ROOM)
        secret = {"secret": "of somebody else", "admin_key": ADMIN_KEY}
        await handle.ask({"request": "create", "room": "foreign", **secret})
        capture = CaptureRef(RoomUuid("foreign"), SegmentNo(1), Medium.VIDEO)
        studio.bench.tell(StartCapture(capture, ConfbridgeId("foreign"), ()))
        failed = await studio.bench.until(CaptureFailed, capture)

    assert "wrong secret" in failed.message
