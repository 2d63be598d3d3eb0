"""Bridges of a real Janus: each belongs to one call, and a recording that stops is detected."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from sfu_wrapper.adapters.janus import watch
from sfu_wrapper.adapters.janus.audiobridge import AudioBridge
from sfu_wrapper.adapters.janus.room import JanusRoom, tag
from sfu_wrapper.adapters.janus.session import AUDIO_BRIDGE, VIDEO_ROOM, Handle, Json, open_session
from sfu_wrapper.adapters.janus.videoroom import VideoRoom
from sfu_wrapper.core.media_plane import (
    CaptureFailed,
    CaptureLost,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    CloseMediaRoom,
    OpenMediaRoom,
    RoomFound,
    StartCapture,
    StopCapture,
    TracksCarried,
)
from sfu_wrapper.formats.wav import parse
from sfu_wrapper.model.identity import ConfbridgeId, RoomUuid, SegmentNo
from sfu_wrapper.model.media import Medium, RawFile
from tests.helpers.calls import events_of, mixes, report
from tests.helpers.janus import ADMIN_KEY, JanusServer, running_janus
from tests.helpers.januscalls import is_recording, is_written, real_call
from tests.helpers.live import DOMAIN
from tests.helpers.peopled import janus_plane, janus_settings
from tests.helpers.planes import Bench, running
from tests.helpers.publishers import Camera, Person, Tone, person
from tests.helpers.wait import until

pytestmark = pytest.mark.system
SHARED = ConfbridgeId("one-for-both")
SOON_S = 5.0
_numbers = count(1)


@pytest.fixture(scope="module")
def janus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JanusServer]:
    with running_janus(tmp_path_factory.mktemp("janus") / "server") as server:
        yield server


class Rooms:
    """Plane with rooms that share one confbridgeId, and a speaker in them."""

    def __init__(self, janus: JanusServer, folder: Path, bench: Bench, people: Person) -> None:
        self.janus, self.folder, self.bench, self.people = janus, folder, bench, people
        self.opened: list[RoomUuid] = []

    def new(self) -> RoomUuid:
        """Return a name that no room has used."""
        return RoomUuid(f"apart-{next(_numbers)}")

    async def open(self) -> RoomUuid:
        """Create a room at Janus."""
        room = self.new()
        self.opened.append(room)
        self.bench.send(OpenMediaRoom(room, SHARED))
        assert {(await self.bench.until(TracksCarried)).room for _ in Medium} == {room}
        return room

    async def start(self, room: RoomUuid, medium: Medium = Medium.AUDIO) -> CaptureRef:
        capture = CaptureRef(room, SegmentNo(1), medium)
        self.bench.send(StartCapture(capture, SHARED, ()))
        await self.bench.until(CaptureStarted, capture)
        return capture

    async def stop(self, capture: CaptureRef) -> tuple[RawFile, ...]:
        self.bench.send(StopCapture(capture))
        return (await self.bench.until(CaptureStopped, capture)).files

    def path(self, file: RawFile) -> Path:
        return self.folder / "audio" / file.filename

    def ours(self, room: RoomUuid, kind: type[JanusRoom] = AudioBridge) -> JanusRoom:
        """Return the room as a client with its secret sees it."""
        return kind(room, janus_settings(self.janus, self.folder))


@pytest.fixture
async def rooms(janus: JanusServer, tmp_path: Path) -> AsyncIterator[Rooms]:
    async with (
        running(janus_plane(janus, tmp_path)) as bench,
        person(janus.address) as people,
    ):
        found = Rooms(janus, tmp_path, bench, people)
        yield found
        for room in found.opened:
            bench.send(CloseMediaRoom(room))
            await until(partial(_is_gone, janus, room))


async def _is_gone(janus: JanusServer, room: str) -> bool:
    return await is_recording(janus, room) == []


@asynccontextmanager
async def handle_at(janus: JanusServer, plugin: str) -> AsyncIterator[Handle]:
    async with open_session(janus.address) as session:
        yield await session.attach(plugin)


async def test_two_rooms_of_one_confbridge_id_have_bridges_of_their_own(rooms: Rooms) -> None:
    first, second = await rooms.open(), await rooms.open()
    await rooms.people.speak(first, "p-alice", Tone(440))
    heard = await rooms.bench.until(TracksCarried)
    kept = await rooms.start(first)
    other = await rooms.start(second)
    (others,) = await rooms.stop(other)
    rooms.bench.send(CloseMediaRoom(second))
    await until(lambda: _is_gone(rooms.janus, second))
    said_ms = time.time() * 1000
    await asyncio.sleep(0.3)
    (mix,) = await rooms.stop(kept)

    assert heard.room == first
    assert mix.stopped_ms is not None
    assert mix.stopped_ms > said_ms, "the other room has stopped it"
    assert rooms.path(mix) != rooms.path(others)
    assert rooms.path(mix).name.startswith(f"recording-{SHARED}-1-")


async def test_naming_a_confbridge_id_gives_no_access_to_the_audio_of_a_call(
    janus: JanusServer, tmp_path: Path
) -> None:
    async with real_call(janus, tmp_path) as real:
        room = real.call.room
        await real.call.started()
        mallory = await real.controller.client("mallory")
        wish = {"kind": "meeting", "confbridgeId": room}
        refused = await mallory.refused("createRoom", wish)
        whose = {"owner": "mallory", "domain": DOMAIN, "confbridgeId": room.upper()}
        taken = await real.call.service.refused("createRoom", wish | whose)
        own = (await mallory.ok("createRoom", {"kind": "meeting"}))["room"]
        media = (await mallory.ok("joinRoom", {"room": own}))["media"]
        await mallory.ok("endRoom", {"room": own})
        await until(lambda: _is_gone(janus, media["audioRoom"]))
        still = await is_recording(janus, room)
        asked_us = time.time_ns() // 1000
        await until(lambda: is_written(tmp_path / "raw", asked_us, 2))
        await real.call.stopped()
        (info,) = await report(real.controller.broker, 1, room)

    assert (refused, taken) == ("FORBIDDEN", "ROOM_EXISTS")
    assert (media["audioRoom"], media["videoRoom"]) == (own, own)
    assert still == [True, True]
    assert (info["incomplete"], info["missing"]) == (False, [])


async def test_clients_are_notified_when_another_client_stops_the_audio_and_when_it_resumes(
    janus: JanusServer, tmp_path: Path
) -> None:
    async with real_call(janus, tmp_path) as real:
        await real.call.started()
        settings = janus_settings(janus, tmp_path / "audio")
        async with handle_at(janus, AUDIO_BRIDGE) as handle:
            await AudioBridge(real.call.room, settings).stop_recording(handle, None)
        async with asyncio.timeout(SOON_S):
            lost = await real.call.other.event("roomRecordingChanged")
        shown = (await real.call.shown())["segments"][-1]
        since = len(real.call.other.received)
        while events_of(real.call.other, "roomRecordingChanged", real.call.room)[-1]["missing"]:
            await real.call.other.event("roomRecordingChanged", since=since)
        await real.call.stopped()
        (info,) = await report(real.controller.broker, 1, real.call.room)

    assert (lost["segment"], lost["missing"]) == (1, ["audio"])
    assert shown["missing"] == ["audio"]
    assert (info["incomplete"], info["missing"], len(mixes(info))) == (True, [], 2)


async def test_rooms_without_participants_are_not_created_at_janus(
    janus: JanusServer, tmp_path: Path
) -> None:
    async with real_call(janus, tmp_path) as real:
        service = real.call.service
        names = [f"never-joined-{number}" for number in range(10)]
        for name in names:
            wish = {"id": name, "uuid": name, "kind": "meeting", "owner": "alice"}
            await service.ok("createRoom", wish | {"domain": DOMAIN})
        await service.ok("createRoom", wish | {"id": "later", "uuid": "later", "domain": DOMAIN})
        await service.ok("joinRoom", {"room": "later", "user": "alice"})
        await until(lambda: is_there(janus, "later"))
        found = [await is_recording(janus, name) for name in names]
        await service.ok("endRoom", {"room": "later"})
        await until(lambda: _is_gone(janus, "later"))

    assert found == [[]] * 10


async def is_there(janus: JanusServer, room: str) -> bool:
    return await is_recording(janus, room) == [False, False]


@pytest.mark.parametrize("secret", [{}, {"secret": "of somebody else"}], ids=["none", "another"])
@pytest.mark.parametrize(
    ("plugin", "medium"), [(AUDIO_BRIDGE, Medium.AUDIO), (VIDEO_ROOM, Medium.VIDEO)]
)
async def test_a_foreign_room_under_our_name_is_neither_entered_nor_destroyed(
    plugin: str, medium: Medium, secret: dict[str, str], rooms: Rooms
) -> None:
    room = rooms.new()
    async with handle_at(rooms.janus, plugin) as handle:
        made: Json = {"request": "create", "room": room, "admin_key": ADMIN_KEY}
        await handle.request(made | tag(room) | secret)
        capture = CaptureRef(room, SegmentNo(1), medium)
        rooms.bench.send(OpenMediaRoom(room, SHARED), StartCapture(capture, SHARED, ()))
        failed = await rooms.bench.until(CaptureFailed, capture)
        rooms.bench.send(CloseMediaRoom(room), StopCapture(capture))
        await rooms.bench.until(CaptureStopped, capture)
        there = await handle.request({"request": "listparticipants", "room": room})
        destroy: Json = {"request": "destroy", "room": room}
        await handle.request(destroy | secret)

    assert (
        "wrong secret" in failed.message or "another client of Janus created it" in failed.message
    )
    assert there["participants"] == []


async def test_reusing_a_confbridge_id_at_once_loses_no_audio(rooms: Rooms) -> None:
    found = []
    for number in range(12):
        room = rooms.new()
        rooms.bench.send(OpenMediaRoom(room, SHARED))
        found.append(await _spoken_in(rooms, room, f"alice{number}"))
        rooms.bench.send(CloseMediaRoom(room))

    assert len(set(found)) == 12
    for mix in found:
        wav = parse(mix.read_bytes())
        assert wav is not None
        assert wav.duration_ms > 100
        assert any(mix.read_bytes()[wav.data_start :]), "silence"


async def _spoken_in(rooms: Rooms, room: RoomUuid, user: str) -> Path:
    """Record a speaker in a room that is about to be created."""
    capture = await rooms.start(room)
    await rooms.people.speak(room, f"p-{user}", Tone(440))
    await asyncio.sleep(0.4)
    (mix,) = await rooms.stop(capture)
    return rooms.path(mix)


async def test_a_bridge_of_the_previous_version_is_destroyed_with_its_call(rooms: Rooms) -> None:
    room = await rooms.open()
    older = AudioBridge(f"bridge-of-{room}", janus_settings(rooms.janus, rooms.folder), room)
    async with handle_at(rooms.janus, AUDIO_BRIDGE) as handle:
        await older.make(handle)
    async with running(janus_plane(rooms.janus, rooms.folder)) as restarted:
        found = {(await restarted.until(RoomFound)).room for _ in Medium}
        restarted.send(CloseMediaRoom(room))
        await until(lambda: _is_gone(rooms.janus, older.room))

    assert found == {room}


@pytest.mark.parametrize(
    ("kind", "plugin", "medium"),
    [(AudioBridge, AUDIO_BRIDGE, Medium.AUDIO), (VideoRoom, VIDEO_ROOM, Medium.VIDEO)],
)
async def test_a_recording_stopped_by_another_client_is_detected_and_can_be_restarted(
    kind: type[JanusRoom], plugin: str, medium: Medium, rooms: Rooms
) -> None:
    room = await rooms.open()
    await rooms.people.send_video(room, "p-alice", Camera((90, 90, 220)))
    await rooms.bench.until(TracksCarried)
    capture = await rooms.start(room, medium)
    async with handle_at(rooms.janus, plugin) as handle:
        await rooms.ours(room, kind).stop_recording(handle, None)
    async with asyncio.timeout(SOON_S):
        lost = await rooms.bench.until(CaptureLost, capture)
    await rooms.start(room, medium)
    files = await rooms.stop(capture)

    assert lost.message == watch.SWITCHED_OFF
    assert len(files) == 2


async def test_video_redirected_to_another_folder_is_detected(rooms: Rooms) -> None:
    room = await rooms.open()
    capture = await rooms.start(room, Medium.VIDEO)
    async with handle_at(rooms.janus, VIDEO_ROOM) as handle:
        theirs = CaptureRef(rooms.new(), SegmentNo(1), Medium.VIDEO)
        await rooms.ours(room, VideoRoom).record(handle, theirs)
    async with asyncio.timeout(SOON_S):
        lost = await rooms.bench.until(CaptureLost, capture)

    assert lost.message == watch.SWITCHED_OFF


async def test_a_mix_redirected_to_another_file_is_detected(rooms: Rooms) -> None:
    room = await rooms.open()
    capture = await rooms.start(room)
    async with handle_at(rooms.janus, AUDIO_BRIDGE) as handle:
        theirs = CaptureRef(rooms.new(), SegmentNo(1), Medium.AUDIO)
        await rooms.ours(room).record(handle, theirs)
    async with asyncio.timeout(SOON_S):
        lost = await rooms.bench.until(CaptureLost, capture)

    assert lost.message == watch.NOT_GROWING


@pytest.mark.parametrize("request_name", ["kick", "kick_all"])
async def test_the_mix_continues_when_the_monitor_is_removed(
    request_name: str, rooms: Rooms
) -> None:
    room = await rooms.open()
    capture = await rooms.start(room)
    async with handle_at(rooms.janus, AUDIO_BRIDGE) as handle:
        (monitor,) = before = await people_in(handle, room)
        await handle.request(rooms.ours(room)._secured(request_name, id=monitor))

        async def back() -> bool:
            return await people_in(handle, room) not in ([], before)

        await until(back)
    put_out_ms = time.time() * 1000
    await asyncio.sleep(0.5)
    (mix,) = await rooms.stop(capture)

    assert mix.stopped_ms is not None
    assert mix.stopped_ms > put_out_ms


async def people_in(handle: Handle, room: RoomUuid) -> list[str]:
    answer = await handle.request({"request": "listparticipants", "room": room})
    people = answer["participants"]
    assert isinstance(people, list)
    return [each["id"] for each in people]


async def test_no_requests_are_sent_while_nothing_is_recorded(
    janus: JanusServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = asyncio.Semaphore(0)
    listed: list[str] = []

    def recording(of: watch.RecordingWatch) -> dict[watch.Watched, CaptureStarted]:
        looks.release()
        return before(of)

    def noted(address: object) -> object:
        listed.append("asked")
        return open_session(address)  # type: ignore[arg-type]

    before = watch.RecordingWatch._recording
    monkeypatch.setattr(watch, "PERIOD_S", 0.01)
    monkeypatch.setattr(watch.RecordingWatch, "_recording", recording)
    monkeypatch.setattr(watch, "open_session", noted)
    async with running(janus_plane(janus, tmp_path)) as bench:
        room = RoomUuid(f"idle-{next(_numbers)}")
        bench.send(OpenMediaRoom(room, SHARED))
        await bench.until(TracksCarried)
        for _ in range(20):
            await looks.acquire()
        bench.send(CloseMediaRoom(room))
        await until(lambda: _is_gone(janus, room))

    assert listed == []
