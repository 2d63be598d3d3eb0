"""A real Janus as a media plane with people in its rooms.

Each publisher that a request names publishes before the plane hears of the request, so that
tests of any plane can be run on it as they stand.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from sfu_wrapper.adapters.janus.audiobridge import AudioBridge
from sfu_wrapper.adapters.janus.plane import audio_plane, video_plane
from sfu_wrapper.adapters.janus.session import AUDIO_BRIDGE, VIDEO_ROOM, open_session
from sfu_wrapper.adapters.janus.settings import Folder, JanusSettings
from sfu_wrapper.adapters.janus.videoroom import VideoRoom
from sfu_wrapper.adapters.planes.composite_plane import PairedPlane
from sfu_wrapper.core.media_plane import (
    CloseMediaRoom,
    OpenMediaRoom,
    PlaneFact,
    PlaneRequest,
    PublishTrack,
    StartCapture,
    TracksCarried,
    UnpublishTrack,
)
from sfu_wrapper.core.publisher_ids import publisher_id
from sfu_wrapper.model.identity import ConfbridgeId, RoomUuid
from sfu_wrapper.model.media import Medium, Stream, Track
from tests.helpers.janus import ADMIN_KEY, JanusServer
from tests.helpers.publishers import Camera, Person, Tone, person

DEADLINE_S = 30.0
ROOM_SECRET = "secret-of-the-rooms-of-tests"


def janus_settings(server: JanusServer, folder: Path) -> JanusSettings:
    """Rooms of this server that write below ``folder``."""
    return JanusSettings(server.address, Folder(folder, folder), ROOM_SECRET, ADMIN_KEY)


def janus_plane(server: JanusServer, folder: Path) -> PairedPlane:
    """VideoRoom and AudioBridge of this server, writing below ``folder``."""
    return PairedPlane(
        video=video_plane(janus_settings(server, folder / "raw")),
        audio=audio_plane(janus_settings(server, folder / "audio")),
    )


class Peopled:
    """A ``MediaPlane``; see the module."""

    def __init__(self, server: JanusServer, folder: Path) -> None:
        self._server = server
        self._plane = janus_plane(server, folder)
        self._requests: asyncio.Queue[PlaneRequest] = asyncio.Queue()
        self._facts: asyncio.Queue[PlaneFact | None] = asyncio.Queue()
        self._rooms: set[RoomUuid] = set()
        self._carried: dict[tuple[RoomUuid, Medium], tuple[Track, ...]] = {}
        self._news = asyncio.Condition()
        self._published: set[tuple[RoomUuid, Track]] = set()
        self._closing = asyncio.Event()

    def is_available(self, medium: Medium) -> bool:
        """See ``MediaPlane``."""
        return self._plane.is_available(medium)

    def send(self, request: PlaneRequest) -> None:
        """See ``MediaPlane``."""
        self._requests.put_nowait(request)

    async def run(self) -> None:
        """See ``MediaPlane``."""
        async with person(self._server.address) as people, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._plane.run())
            tasks.create_task(self._listen())
            playing = tasks.create_task(self._play(people))
            await self._closing.wait()
            playing.cancel()
            await self._plane.close()
        await self._destroy_rooms()

    async def facts(self) -> AsyncIterator[PlaneFact]:
        """See ``MediaPlane``; who publishes is no news here."""
        while (fact := await self._facts.get()) is not None:
            yield fact

    async def close(self) -> None:
        """See ``MediaPlane``."""
        self._closing.set()

    async def _listen(self) -> None:
        async for fact in self._plane.facts():
            if isinstance(fact, TracksCarried):
                async with self._news:
                    self._carried[fact.room, fact.medium] = fact.tracks
                    self._news.notify_all()
            else:
                self._facts.put_nowait(fact)
        self._facts.put_nowait(None)

    async def _play(self, people: Person) -> None:
        while True:
            request = await self._requests.get()
            match request:
                case StartCapture(capture=capture, confbridge_id=bridge, tracks=tracks):
                    await self._open(capture.room, bridge)
                    for track in tracks:
                        await self._publish(people, capture.room, track)
                case PublishTrack(room=room, track=track) if room in self._rooms:
                    await self._publish(people, room, track)
                case UnpublishTrack(room=room, track=track):
                    self._published.discard((room, track))
                    await people.leave(_name(room, track))
                    await self._until(room, track, carried=False)
                case CloseMediaRoom(room=room):
                    self._rooms.discard(room)
                case OpenMediaRoom(room=room):
                    self._rooms.add(room)
            self._plane.send(request)

    async def _open(self, room: RoomUuid, bridge: ConfbridgeId) -> None:
        if room not in self._rooms:
            self._rooms.add(room)
            self._plane.send(OpenMediaRoom(room, bridge))

    async def _publish(self, people: Person, room: RoomUuid, track: Track) -> None:
        if (room, track) in self._published:
            return
        self._published.add((room, track))
        name, publisher = _name(room, track), publisher_id(track)
        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(lambda: (room, track.stream.medium) in self._carried)
        if track.stream is Stream.AUDIO:
            await people.speak(room, publisher, Tone(440), name)
        else:
            await people.send_video(room, publisher, Camera((120, 90, 200)), name=name)
        await self._until(room, track, carried=True)

    async def _until(self, room: RoomUuid, track: Track, *, carried: bool) -> None:
        key = room, track.stream.medium
        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(lambda: (track in self._carried.get(key, ())) == carried)

    async def _destroy_rooms(self) -> None:
        """Let none outlive the test."""
        settings = janus_settings(self._server, Path())
        async with open_session(self._server.address) as session:
            video, audio = await session.attach(VIDEO_ROOM), await session.attach(AUDIO_BRIDGE)
            for room in self._rooms:
                await VideoRoom(room, settings).destroy(video)
                await AudioBridge(room, settings).destroy(audio)


def peopled(server: JanusServer, folder: Path) -> Peopled:
    """Both media at this server."""
    return Peopled(server, folder)


def _name(room: RoomUuid, track: Track) -> str:
    return f"{room} {track.user} {track.stream}"
