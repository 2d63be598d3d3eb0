"""Janus as the media plane for one medium: pictures from VideoRooms, or sound from AudioBridges.

Holds the connection and a line for each room (``line``); what is asked of a room is done there.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final, assert_never

from sfu_wrapper.adapters.janus.audiobridge import AudioBridge
from sfu_wrapper.adapters.janus.errors import JanusRefused
from sfu_wrapper.adapters.janus.ownership import Marked, marked_rooms
from sfu_wrapper.adapters.janus.reconnect import keep_connected
from sfu_wrapper.adapters.janus.room import JanusRoom
from sfu_wrapper.adapters.janus.room_queue import RoomQueue
from sfu_wrapper.adapters.janus.session import (
    AUDIO_BRIDGE,
    VIDEO_ROOM,
    JanusSession,
)
from sfu_wrapper.adapters.janus.settings import JanusSettings
from sfu_wrapper.adapters.janus.videoroom import VideoRoom
from sfu_wrapper.adapters.janus.watch import RecordingWatch
from sfu_wrapper.adapters.planes.fact_queue import FactQueue
from sfu_wrapper.core.facts import PlaneBack, PlaneFact, RoomFound
from sfu_wrapper.core.requests import (
    CloseMediaRoom,
    OpenMediaRoom,
    PlaneRequest,
    PublishTrack,
    ResumeCapture,
    StartCapture,
    StopCapture,
    UnpublishTrack,
)
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.ids import RoomUuid
from sfu_wrapper.model.media import Medium

log = logging.getLogger(__name__)

_SETTLED_WITHIN_S: Final = 10.0
_OVERDUE_S: Final = 3.0
_SHUT_WITHIN_S: Final = 3.0

MakeRoom = Callable[[str, RoomUuid], JanusRoom]


class _Closed(Exception):
    """The plane is to end."""


class JanusPlane:
    """A ``MediaPlane``; see ``video_plane`` and ``audio_plane``.

    make_room: from its name at the plugin and its uuid.
    """

    def __init__(
        self, settings: JanusSettings, medium: Medium, plugin: str, make_room: MakeRoom
    ) -> None:
        self._address = settings.address
        self._medium = medium
        self._make_room = make_room
        self._find_rooms = partial(marked_rooms, settings, plugin)
        self._watch = RecordingWatch(settings, plugin, lambda: tuple(self._lines.values()))
        self._found: Marked = {}
        self._connected = asyncio.Event()
        self._lines: dict[RoomUuid, RoomQueue] = {}
        self._fresh: asyncio.Queue[RoomQueue] = asyncio.Queue()
        self._facts: FactQueue[PlaneFact] = FactQueue()
        self._session: JanusSession | None = None
        self._was_there = False
        self._closed = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()

    def is_there(self, medium: Medium) -> bool:
        """See ``MediaPlane``."""
        session = self._session
        return session is not None and session.overdue_s < _OVERDUE_S and medium is self._medium

    def tell(self, request: PlaneRequest) -> None:
        """See ``MediaPlane``."""
        match request:
            case OpenMediaRoom(room=room) | CloseMediaRoom(room=room):
                self._line(room).tell(request)
            case StartCapture(capture=ref) | StopCapture(capture=ref) | ResumeCapture(capture=ref):
                self._line(ref.room).tell(request)
            case PublishTrack() | UnpublishTrack():
                pass  # Janus knows by itself
            case _:
                assert_never(request)

    async def run(self) -> None:
        """See ``MediaPlane``; returns once the plane is closed."""
        self._ended.clear()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(keep_connected(self._address, self._serve))
                tasks.create_task(self._run_lines(tasks))
                tasks.create_task(self._tell_found())
                tasks.create_task(self._watch.run())
                tasks.create_task(self._until_closed())
        except* _Closed:
            pass
        finally:
            self._ended.set()

    def facts(self) -> AsyncIterator[PlaneFact]:
        """See ``MediaPlane``; ends once the plane is closed and everything was read."""
        return self._facts.read()

    async def close(self) -> None:
        """See ``MediaPlane``; the rooms stay, since calls may go on."""
        self._closed.set()
        await self._ended.wait()
        self._facts.close()

    def _line(self, room: RoomUuid) -> RoomQueue:
        line = self._lines.get(room)
        if line is None:
            own, older = self._make_room(room, room), partial(self._older, room)
            line = RoomQueue(room, own, older, self._facts.put, self._retire)
            if self._session is not None:
                line.connected(self._session)
            self._lines[room] = line
            self._fresh.put_nowait(line)
        return line

    def _older(self, room: RoomUuid) -> Iterator[JanusRoom]:
        """Bridges that 0.1.0 made for it, which were named as its confbridgeId."""
        names = (name for name in self._found.get(room, ()) if name != room)
        return (self._make_room(name, room) for name in names)

    def _retire(self, room: RoomUuid) -> None:
        self._lines.pop(room, None)

    async def _run_lines(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            line = await self._fresh.get()
            tasks.create_task(line.run())

    async def _serve(self, session: JanusSession) -> None:
        """While there is a connection."""
        lines = tuple(self._lines.values())
        self._session = session
        self._connected.set()
        for line in lines:
            line.connected(session)
        try:
            if self._was_there:
                await self._settle(lines)
                if not session.lost.is_set():
                    await self._facts.put(PlaneBack(self._medium))
            self._was_there = True
            await session.lost.wait()
        finally:
            self._session = None
            for line in self._lines.values():
                line.disconnected()

    async def _tell_found(self) -> None:
        """After each connection, of the rooms there that nobody has asked for."""
        while True:
            await self._connected.wait()
            self._connected.clear()
            try:
                found = await self._find_rooms()
            except (Unavailable, JanusRefused) as error:
                log.warning("janus.notListed", extra={"error": error.detail})
                continue
            self._found = found
            for room in [each for each in found if each not in self._lines]:
                await self._facts.put(RoomFound(room, self._medium))

    async def _settle(self, lines: tuple[RoomQueue, ...]) -> None:
        """Until the fate of every room is told."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLED_WITHIN_S):
                for line in lines:
                    await line.settled.wait()

    async def _until_closed(self) -> None:
        await self._closed.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(_SHUT_WITHIN_S):
                await asyncio.gather(*(line.shut() for line in self._lines.values()))
        raise _Closed


def video_plane(settings: JanusSettings) -> JanusPlane:
    """Pictures, from a VideoRoom named as the room's uuid."""
    return JanusPlane(
        settings, Medium.VIDEO, VIDEO_ROOM, lambda name, uuid: VideoRoom(name, settings, uuid)
    )


def audio_plane(settings: JanusSettings) -> JanusPlane:
    """Sound, from an AudioBridge room named as the room's uuid."""
    return JanusPlane(
        settings, Medium.AUDIO, AUDIO_BRIDGE, lambda name, uuid: AudioBridge(name, settings, uuid)
    )
