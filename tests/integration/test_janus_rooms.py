"""Publishers in a real VideoRoom and AudioBridge, and the recordings of them."""

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from sfu_wrapper.adapters.janus import room_capture, room_queue, videoroom
from sfu_wrapper.adapters.janus.audiobridge import AudioBridge
from sfu_wrapper.adapters.janus.plane import video_plane
from sfu_wrapper.adapters.janus.session import AUDIO_BRIDGE, VIDEO_ROOM, open_session
from sfu_wrapper.adapters.janus.videoroom import VideoRoom
from sfu_wrapper.core.media_plane import (
    CaptureChanged,
    CaptureFailed,
    CaptureLost,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    CloseMediaRoom,
    OpenMediaRoom,
    ResumeCapture,
    RoomFound,
    StartCapture,
    StopCapture,
    TracksCarried,
)
from sfu_wrapper.formats.wav import parse
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import ConfbridgeId, RoomUuid, SegmentNo
from sfu_wrapper.model.media import Medium, Stream
from tests.helpers.janus import ADMIN_KEY, WS_PORT, JanusServer, running_janus
from tests.helpers.januscalls import is_written, plane_at
from tests.helpers.peopled import janus_settings
from tests.helpers.planes import Bench, camera, running, screen, users, voice
from tests.helpers.publishers import Camera, Person, Tone, person
from tests.helpers.wait import until
from tests.helpers.wire import wire

pytestmark = pytest.mark.system
RED, GREY = (90, 90, 220), (120, 128, 128)
_numbers = count(1)


@pytest.fixture(scope="module")
def janus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JanusServer]:
    with running_janus(tmp_path_factory.mktemp("janus") / "server") as server:
        yield server


class RecordedRoom:
    """Room at Janus, a publisher in it, and the plane that records it."""

    def __init__(self, server: JanusServer, folder: Path, bench: Bench, people: Person) -> None:
        self.server, self.folder, self.bench, self.people = server, folder, bench, people
        number = next(_numbers)
        self.room, self.bridge = RoomUuid(f"studio-{number}"), ConfbridgeId(f"bridge-{number}")

    def capture(self, medium: Medium, segment: int = 1) -> CaptureRef:
        return CaptureRef(self.room, SegmentNo(segment), medium)

    async def opened(self) -> None:
        self.bench.send(OpenMediaRoom(self.room, self.bridge))
        heard = {(await self.bench.until(TracksCarried)).medium for _ in Medium}
        assert heard == set(Medium)

    async def start(self, medium: Medium, segment: int = 1) -> CaptureRef:
        capture = self.capture(medium, segment)
        self.bench.send(StartCapture(capture, self.bridge, ()))
        await self.bench.until(CaptureStarted, capture)
        return capture

    async def stop(self, capture: CaptureRef) -> CaptureStopped:
        self.bench.send(StopCapture(capture))
        return await self.bench.until(CaptureStopped, capture)


@pytest.fixture
async def recorded(janus: JanusServer, tmp_path: Path) -> AsyncIterator[RecordedRoom]:
    async with recorded_room(janus, tmp_path) as recorded:
        yield recorded


@asynccontextmanager
async def recorded_room(
    janus: JanusServer, folder: Path, url: str | None = None, deadline_s: float = 15
) -> AsyncIterator[RecordedRoom]:
    """Run a plane that reaches Janus at ``url`` and waits ``deadline_s`` for answers."""
    address = replace(janus.address, url=url or janus.url, deadline_s=deadline_s)
    plane = plane_at(janus, address, folder)
    async with running(plane) as bench, person(janus.address) as people:
        recorded = RecordedRoom(janus, folder, bench, people)
        await recorded.opened()
        yield recorded


def now_ms() -> float:
    return time.time() * 1000


async def written(recorded: RecordedRoom, count: int, since_ms: float = 0) -> None:
    """Wait until that many videos hold packets received after a time."""
    await until(lambda: is_written(recorded.folder / "raw", round(since_ms * 1000), count))


async def video_room(recorded: RecordedRoom) -> dict[str, object]:
    """Return the room's entry in the list of Janus."""
    async with open_session(recorded.server.address) as session:
        handle = await session.attach(VIDEO_ROOM)
        answer = await handle.request({"request": "list", "admin_key": ADMIN_KEY})
    rooms = answer["list"]
    assert isinstance(rooms, list)
    (room,) = [each for each in rooms if each["room"] == recorded.room]
    return dict(room)


async def test_published_tracks_are_reported(recorded: RecordedRoom) -> None:
    await recorded.people.send_video(recorded.room, "p-alice", Camera(RED))
    await recorded.people.send_video(recorded.room, "s-alice", Camera(GREY), "H264")
    await recorded.people.speak(recorded.room, "p-alice", Tone(440))
    told = [await recorded.bench.until(TracksCarried) for _ in range(3)]
    await recorded.people.leave("s-alice")
    after = await recorded.bench.until(TracksCarried)

    assert [fact.tracks for fact in told] == [
        (camera("alice"),),
        (camera("alice"), screen("alice")),
        (voice("alice"),),
    ]
    assert after.tracks == (camera("alice"),)


async def test_users_of_one_name_from_two_domains_are_distinguished(recorded: RecordedRoom) -> None:
    for user in ("bob", "elsewhere=bob"):
        await recorded.people.send_video(recorded.room, f"p-{user}", Camera(RED))
        await recorded.people.speak(recorded.room, f"p-{user}", Tone(440))
    told = [await recorded.bench.until(TracksCarried) for _ in range(4)]

    last = {fact.medium: fact.tracks for fact in told}
    assert last == {
        Medium.VIDEO: (camera("bob"), camera("elsewhere/bob")),
        Medium.AUDIO: (voice("bob"), voice("elsewhere/bob")),
    }


async def test_camera_and_screen_are_distinguished_for_every_codec(recorded: RecordedRoom) -> None:
    await recorded.people.send_video(recorded.room, "p-al.ice@a+b:c~tab1", Camera(RED))
    await recorded.people.send_video(recorded.room, "s-al.ice@a+b:c", Camera(GREY), "H264")
    before_ms = now_ms()
    capture = await recorded.start(Medium.VIDEO)
    started_ms = now_ms()
    await written(recorded, 2, since_ms=started_ms)
    asked_ms = now_ms()
    stopped = await recorded.stop(capture)
    after_ms = now_ms()

    assert {file.stream for file in stopped.files} == {Stream.CAMERA, Stream.SCREEN}
    assert set(users(stopped.files)) == {"al.ice@a+b:c"}
    for file in stopped.files:
        assert before_ms < file.started_ms < asked_ms
        assert file.stopped_ms == stopped.stopped_ms < after_ms, "published until the stop"


async def test_audio_sent_to_the_videoroom_is_removed(recorded: RecordedRoom) -> None:
    await recorded.people.send_video(recorded.room, "p-alice", Camera(RED), audio=Tone(440))
    capture = await recorded.start(Medium.VIDEO)
    await written(recorded, 2)
    both = {path.name.split("-")[-2] for path in recorded.folder.rglob("*.mjr")}
    await recorded.stop(capture)
    kept = {path.name.split("-")[-2] for path in recorded.folder.rglob("*.mjr")}

    assert (both, kept) == ({"audio", "video"}, {"video"})


async def test_a_publisher_cannot_stop_its_own_recording(recorded: RecordedRoom) -> None:
    await recorded.people.send_video(recorded.room, "p-alice", Camera(RED))
    capture = await recorded.start(Medium.VIDEO)
    await recorded.people.request("p-alice", {"request": "configure", "record": False})
    said_ms = now_ms()
    await written(recorded, 1, since_ms=said_ms)
    (file,) = (await recorded.stop(capture)).files

    assert file.stopped_ms is not None
    assert file.stopped_ms > said_ms


async def test_a_publisher_with_an_unknown_kind_of_id_is_in_no_event(
    recorded: RecordedRoom,
) -> None:
    await recorded.people.send_video(recorded.room, "p-alice", Camera(RED))
    await recorded.people.send_video(recorded.room, "rogue", Camera(GREY))
    capture = await recorded.start(Medium.VIDEO)
    stopped = await recorded.stop(capture)

    assert users(stopped.files) == ["alice"]


async def test_a_publisher_that_reconnects_within_a_segment_has_a_second_file(
    recorded: RecordedRoom,
) -> None:
    await recorded.people.send_video(recorded.room, "p-alice", Camera(RED))
    capture = await recorded.start(Medium.VIDEO)
    await written(recorded, 1)
    left_ms = int(now_ms())
    await recorded.people.leave("p-alice")
    left = await recorded.bench.until(CaptureChanged)
    await recorded.people.send_video(recorded.room, "p-alice~2", Camera(RED))
    await recorded.bench.until(CaptureChanged)
    await written(recorded, 2)
    first, second = (await recorded.stop(capture)).files

    assert left.files == (first,)
    assert first.stopped_ms is not None
    assert left_ms <= first.stopped_ms
    assert first.stopped_ms <= second.started_ms
    assert first.holds_media
    assert second.holds_media


async def test_a_publisher_that_sends_nothing_has_a_file_without_media(
    recorded: RecordedRoom,
) -> None:
    await recorded.people.send_video(recorded.room, "p-alice", Camera(RED))
    capture = await recorded.start(Medium.VIDEO)
    (file,) = (await recorded.stop(capture)).files  # before the next frame is due

    path = recorded.folder / "raw" / file.filename.lstrip("/")
    assert file.holds_media == (path.stat().st_size > 8)


async def test_silence_is_written_while_no_participant_is_audible(recorded: RecordedRoom) -> None:
    before_ms = now_ms()
    capture = await recorded.start(Medium.AUDIO)
    started_ms = now_ms()
    await asyncio.sleep(0.7)
    asked_ms = now_ms()
    (mix,) = (await recorded.stop(capture)).files
    after_ms = now_ms()
    wav = parse((recorded.folder / "audio" / mix.filename).read_bytes())

    assert wav is not None
    assert wav.truthful, "Janus leaves the lengths wrong"
    assert asked_ms - started_ms - 100 < wav.duration_ms < after_ms - before_ms
    assert mix.stopped_ms == mix.started_ms + wav.duration_ms
    assert (mix.mixer, mix.delay_ms) == ("audiobridge", 120)


async def test_key_frames_are_requested_often_at_first(
    recorded: RecordedRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_capture, "WARM_UP_S", 600)
    capture = await recorded.start(Medium.VIDEO)
    assert (await video_room(recorded))["fir_freq"] == 1

    await recorded.stop(capture)
    monkeypatch.setattr(room_capture, "WARM_UP_S", 0.3)
    await recorded.start(Medium.VIDEO, 2)

    async def asked_rarely() -> bool:
        return (await video_room(recorded))["fir_freq"] == 10

    await until(asked_rarely)


async def test_a_room_is_destroyed_with_the_call(recorded: RecordedRoom) -> None:
    recorded.bench.send(CloseMediaRoom(recorded.room))
    settings = janus_settings(recorded.server, recorded.folder)
    async with open_session(recorded.server.address) as session:
        video, audio = await session.attach(VIDEO_ROOM), await session.attach(AUDIO_BRIDGE)
        await until(lambda: VideoRoom(recorded.room, settings).make(video))
        await until(lambda: AudioBridge(recorded.room, settings).make(audio))


async def test_rooms_that_an_earlier_controller_left_are_found_and_can_be_closed(
    janus: JanusServer, tmp_path: Path
) -> None:
    async with recorded_room(janus, tmp_path) as before:
        room = before.room
    async with recorded_room(janus, tmp_path) as after:
        found: set[Medium] = set()
        while len(found) < len(Medium):
            fact = await after.bench.until(RoomFound)
            found |= {fact.medium} if fact.room == room else set()
        after.bench.send(CloseMediaRoom(room))
        settings = janus_settings(janus, tmp_path)
        async with open_session(janus.address) as session:
            video, audio = await session.attach(VIDEO_ROOM), await session.attach(AUDIO_BRIDGE)
            await until(lambda: VideoRoom(room, settings).make(video))
            await until(lambda: AudioBridge(room, settings).make(audio))


async def test_a_failed_list_of_rooms_is_logged_and_affects_nothing_else(
    janus: JanusServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = replace(janus_settings(janus, tmp_path), admin_key="guessed")
    async with running(video_plane(settings)):
        await until(lambda: has_logged(caplog, "janus.listFailed"))


async def test_a_room_created_by_another_client_is_not_recorded(recorded: RecordedRoom) -> None:
    async with open_session(recorded.server.address) as session:
        handle = await session.attach(VIDEO_ROOM)
        secret = {"secret": "of somebody else", "admin_key": ADMIN_KEY}
        await handle.request({"request": "create", "room": "foreign", **secret})
        capture = CaptureRef(RoomUuid("foreign"), SegmentNo(1), Medium.VIDEO)
        recorded.bench.send(StartCapture(capture, ConfbridgeId("foreign"), ()))
        failed = await recorded.bench.until(CaptureFailed, capture)

    assert "wrong secret" in failed.message


async def test_without_the_admin_key_every_request_fails_with_the_reason(
    janus: JanusServer, tmp_path: Path
) -> None:
    settings = replace(janus_settings(janus, tmp_path), admin_key="guessed")
    capture = CaptureRef(RoomUuid("keyless"), SegmentNo(1), Medium.VIDEO)
    async with running(video_plane(settings)) as bench:
        bench.send(OpenMediaRoom(capture.room, ConfbridgeId("keyless")))
        bench.send(StartCapture(capture, ConfbridgeId("keyless"), ()), ResumeCapture(capture, ()))
        failed = await bench.until(CaptureFailed)
        lost = await bench.until(CaptureLost)
        bench.send(StopCapture(capture))
        stopped = await bench.until(CaptureStopped)

    assert "Unauthorized" in failed.message
    assert failed.message == lost.message
    assert stopped.files == ()


async def test_a_room_destroyed_by_another_client_is_created_again(recorded: RecordedRoom) -> None:
    await recorded.people.send_video(recorded.room, "p-alice", Camera(RED))
    capture = await recorded.start(Medium.VIDEO)
    await written(recorded, 1)
    async with open_session(recorded.server.address) as session:
        settings = janus_settings(recorded.server, recorded.folder)
        await VideoRoom(recorded.room, settings).destroy(await session.attach(VIDEO_ROOM))
    lost = await recorded.bench.until(CaptureLost, capture)
    again = await recorded.start(Medium.VIDEO)

    assert users(lost.files) == ["alice"]
    assert lost.stopped_ms > 0
    assert users((await recorded.stop(again)).files) == ["alice"], "what was written stays"


async def test_a_start_with_a_lost_connection_is_repeated_over_the_next_one(
    janus: JanusServer, tmp_path: Path
) -> None:
    async with wire(WS_PORT) as between, recorded_room(janus, tmp_path, between.url) as recorded:
        await recorded.people.send_video(recorded.room, "p-alice", Camera(RED))
        await recorded.bench.until(TracksCarried)
        capture = recorded.capture(Medium.VIDEO)
        janus.freeze()
        recorded.bench.send(StartCapture(capture, recorded.bridge, ()))
        await asyncio.sleep(0.2)
        between.cut()
        janus.thaw()
        await recorded.bench.until(CaptureStarted, capture)
        stopped = await recorded.stop(capture)

    assert set(users(stopped.files)) == {"alice"}


async def test_a_stop_is_repeated_once_a_hung_janus_answers(
    janus: JanusServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with recorded_room(janus, tmp_path, deadline_s=3) as recorded:
        await recorded.people.send_video(recorded.room, "p-alice", Camera(RED))
        capture = await recorded.start(Medium.VIDEO)
        await written(recorded, 1)
        janus.freeze()
        recorded.bench.send(StopCapture(capture))
        await until(lambda: has_logged(caplog, "janus.connectionDropped"))
        janus.thaw()
        stopped = await recorded.bench.until(CaptureStopped, capture)
        room = await video_room(recorded)

    assert users(stopped.files) == ["alice"]
    assert room["record"] is False


async def test_a_late_start_is_refused_and_its_recording_is_stopped(
    janus: JanusServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wire(WS_PORT) as between, recorded_room(janus, tmp_path, between.url) as recorded:
        await recorded.people.send_video(recorded.room, "p-alice", Camera(RED))
        await recorded.bench.until(TracksCarried)
        monkeypatch.setattr(room_queue, "START_WAITS_S", 0.5)
        capture = recorded.capture(Medium.VIDEO)
        janus.freeze()
        recorded.bench.send(StartCapture(capture, recorded.bridge, ()))
        await asyncio.sleep(0.2)
        between.closed = True
        between.cut()
        janus.thaw()
        failed = await recorded.bench.until(CaptureFailed, capture)
        between.closed = False
        await recorded.bench.until(CaptureStopped, capture)
        room = await video_room(recorded)

    assert failed.message == room_capture.UNREACHABLE
    assert room["record"] is False


async def test_files_that_cannot_be_read_at_the_stop_are_reported_as_last_known(
    recorded: RecordedRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    await recorded.people.send_video(recorded.room, "p-alice", Camera(RED))
    capture = await recorded.start(Medium.VIDEO)
    monkeypatch.setattr(videoroom, "video_files", unreadable)
    recorded.bench.send(StopCapture(capture))
    lost = await recorded.bench.until(CaptureLost, capture)

    assert users(lost.files) == ["alice"]
    assert lost.message == "cannot read the recordings: Stale file handle"


def unreadable(*_: object, **__: object) -> None:
    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))


async def test_a_bug_in_one_room_is_logged_and_the_room_continues(
    recorded: RecordedRoom, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(VideoRoom, "record", None)
        recorded.bench.send(StartCapture(recorded.capture(Medium.VIDEO), recorded.bridge, ()))
        await until(lambda: has_logged(caplog, "janus.roomFailed"))
    await recorded.bench.until(CaptureStarted)


async def has_logged(caplog: pytest.LogCaptureFixture, action: str) -> bool:
    return action in [record.message for record in caplog.records]


async def test_running_captures_are_stopped_when_the_plane_is_closed(
    janus: JanusServer, tmp_path: Path
) -> None:
    async with recorded_room(janus, tmp_path) as recorded:
        await recorded.start(Medium.VIDEO)
        await recorded.start(Medium.AUDIO)

    assert (await video_room(recorded))["record"] is False


async def test_the_queue_of_a_room_is_bounded(recorded: RecordedRoom) -> None:
    stops = [StopCapture(recorded.capture(Medium.VIDEO, n)) for n in range(room_queue.LIMIT + 1)]
    with pytest.raises(Unavailable):
        recorded.bench.send(*stops)


async def test_a_capture_has_no_files_before_its_room_is_created(
    recorded: RecordedRoom,
) -> None:
    capture = CaptureRef(RoomUuid("never-heard-of"), SegmentNo(1), Medium.AUDIO)
    recorded.bench.send(ResumeCapture(capture, ()), StopCapture(capture))
    lost = await recorded.bench.until(CaptureLost, capture)
    stopped = await recorded.bench.until(CaptureStopped, capture)

    assert lost.files == stopped.files == ()


async def test_a_resume_while_janus_is_unavailable_reports_the_files_on_disk(
    janus: JanusServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with recorded_room(janus, tmp_path) as recorded:
        await recorded.people.send_video(recorded.room, "p-alice", Camera(RED))
        capture = await recorded.start(Medium.VIDEO)
        await written(recorded, 1)
    monkeypatch.setattr(room_queue, "START_WAITS_S", 0.3)
    plane = plane_at(janus, replace(janus.address, url="ws://127.0.0.1:9"), tmp_path)
    async with running(plane) as bench:
        bench.send(OpenMediaRoom(recorded.room, recorded.bridge), ResumeCapture(capture, ()))
        bench.send(ResumeCapture(capture, ()))  # one of them is enough
        lost = await bench.until(CaptureLost, capture)

    assert (users(lost.files), lost.message) == (["alice"], room_capture.UNREACHABLE)
    assert lost.stopped_ms == max(file.stopped_ms or 0 for file in lost.files)
