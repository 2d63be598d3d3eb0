"""Janus as the media plane for one medium: video from VideoRooms, or audio from AudioBridges.

``send`` puts a request into the queue of its room (``room_queue``), which carries it out over the
current connection and reports facts. The plane keeps that connection (``keep_connected``), hands it
to every queue, and after each connection reports two more kinds of facts: ``PlaneBack`` once every
queue has checked its room, and ``RoomFound`` for rooms that an earlier controller left at Janus. A
queue removes itself from the plane once its room is closed and no request is left.

``keep_connected`` is the loop below all of this, shared with the media lines of browsers: it opens
a session, passes it on, and after its loss opens the next one, with increasing pauses.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final, assert_never

from sfu_wrapper.adapters.janus.audiobridge import AudioBridge
from sfu_wrapper.adapters.janus.errors import JanusRefused
from sfu_wrapper.adapters.janus.room import JanusRoom, TaggedRooms, tagged_rooms
from sfu_wrapper.adapters.janus.room_queue import RoomQueue
from sfu_wrapper.adapters.janus.session import (
    AUDIO_BRIDGE,
    VIDEO_ROOM,
    JanusAddress,
    JanusSession,
    open_session,
)
from sfu_wrapper.adapters.janus.settings import JanusSettings
from sfu_wrapper.adapters.janus.videoroom import VideoRoom
from sfu_wrapper.adapters.janus.watch import RecordingWatch
from sfu_wrapper.adapters.planes.fact_queue import FactQueue
from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.core.media_plane import (
    CloseMediaRoom,
    OpenMediaRoom,
    PlaneBack,
    PlaneFact,
    PlaneRequest,
    PublishTrack,
    ResumeCapture,
    RoomFound,
    StartCapture,
    StopCapture,
    UnpublishTrack,
)
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.model.media import Medium

log = logging.getLogger(__name__)

BACKOFF: Final = Backoff(0.1, 5.0, factor=3.0)
_STABLE_AFTER_S: Final = 10.0  # a session that lasted longer resets the back-off


async def keep_connected(
    address: JanusAddress,
    serve: Callable[[JanusSession], Awaitable[None]],
    *,
    backoff: Backoff = BACKOFF,
) -> None:
    """Open sessions one after another and pass each to ``serve``, until cancelled.

    Args:
        address: Address and credentials of Janus.
        serve: Returns once the session is lost. Unavailable and JanusRefused end the session too.
        backoff: Pauses between attempts.
    """
    loop = asyncio.get_running_loop()
    pauses_s, failed_before = iter(backoff), False
    while True:
        opened_s: float | None = None
        try:
            async with open_session(address) as session:
                opened_s = loop.time()
                log.info("janus.connected", extra={"url": address.url})
                await serve(session)
            error = "the connection is lost"
        except (Unavailable, JanusRefused) as refused:
            error = refused.detail
        if opened_s is not None and loop.time() - opened_s > _STABLE_AFTER_S:
            pauses_s = iter(backoff)
        if opened_s is not None or not failed_before:
            log.warning("janus.disconnected", extra={"url": address.url, "error": error})
        await asyncio.sleep(next(pauses_s))
        failed_before = True


_SETTLED_WITHIN_S: Final = 10.0
_OVERDUE_S: Final = 3.0
_SHUTDOWN_WITHIN_S: Final = 3.0

MakeRoom = Callable[[str, RoomUuid], JanusRoom]


class _Closed(Exception):
    """Signal to end the plane's task group."""


class JanusPlane:
    """``MediaPlane`` over one plugin of Janus; see ``video_plane`` and ``audio_plane``.

    Args:
        settings: Address, folder and properties of new rooms.
        medium: Medium that this plane carries.
        plugin: Janus plugin with the rooms.
        make_room: Factory from the room's id at the plugin and our uuid.
    """

    def __init__(
        self, settings: JanusSettings, medium: Medium, plugin: str, make_room: MakeRoom
    ) -> None:
        self._address = settings.address
        self._medium = medium
        self._make_room = make_room
        self._find_rooms = partial(tagged_rooms, settings, plugin)
        self._watch = RecordingWatch(settings, plugin, lambda: tuple(self._queues.values()))
        self._found: TaggedRooms = {}
        self._connected = asyncio.Event()
        self._queues: dict[RoomUuid, RoomQueue] = {}
        self._new_queues: asyncio.Queue[RoomQueue] = asyncio.Queue()
        self._facts: FactQueue[PlaneFact] = FactQueue()
        self._session: JanusSession | None = None
        self._was_connected = False
        self._closed = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()

    def is_available(self, medium: Medium) -> bool:
        """See ``MediaPlane``."""
        session = self._session
        return session is not None and session.overdue_s < _OVERDUE_S and medium is self._medium

    def send(self, request: PlaneRequest) -> None:
        """See ``MediaPlane``."""
        match request:
            case OpenMediaRoom(room=room) | CloseMediaRoom(room=room):
                self._queue(room).send(request)
            case StartCapture(capture=ref) | StopCapture(capture=ref) | ResumeCapture(capture=ref):
                self._queue(ref.room).send(request)
            case PublishTrack() | UnpublishTrack():
                pass  # Janus itself reports who publishes
            case _:
                assert_never(request)

    async def run(self) -> None:
        """See ``MediaPlane``; returns once the plane is closed."""
        self._ended.clear()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(keep_connected(self._address, self._serve))
                tasks.create_task(self._run_queues(tasks))
                tasks.create_task(self._report_found())
                tasks.create_task(self._watch.run())
                tasks.create_task(self._wait_until_closed())
        except* _Closed:
            pass
        finally:
            self._ended.set()

    def facts(self) -> AsyncIterator[PlaneFact]:
        """See ``MediaPlane``; ends once the plane is closed and every fact has been read."""
        return self._facts.read()

    async def close(self) -> None:
        """See ``MediaPlane``; the rooms at Janus stay, because their calls may continue."""
        self._closed.set()
        await self._ended.wait()
        self._facts.close()

    def _queue(self, room: RoomUuid) -> RoomQueue:
        queue = self._queues.get(room)
        if queue is None:
            own, older = self._make_room(room, room), partial(self._older, room)
            queue = RoomQueue(room, own, older, self._facts.put, self._retire)
            if self._session is not None:
                queue.connected(self._session)
            self._queues[room] = queue
            self._new_queues.put_nowait(queue)
        return queue

    def _older(self, room: RoomUuid) -> Iterator[JanusRoom]:
        """Yield bridges that 0.1.0 created for the room, named after its confbridgeId."""
        names = (name for name in self._found.get(room, ()) if name != room)
        return (self._make_room(name, room) for name in names)

    def _retire(self, room: RoomUuid) -> None:
        self._queues.pop(room, None)

    async def _run_queues(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            queue = await self._new_queues.get()
            tasks.create_task(queue.run())

    async def _serve(self, session: JanusSession) -> None:
        """Connect every queue to a session and wait until the session is lost."""
        queues = tuple(self._queues.values())
        self._session = session
        self._connected.set()
        for queue in queues:
            queue.connected(session)
        try:
            if self._was_connected:
                await self._wait_until_settled(queues)
                if not session.lost.is_set():
                    await self._facts.put(PlaneBack(self._medium))
            self._was_connected = True
            await session.lost.wait()
        finally:
            self._session = None
            for queue in self._queues.values():
                queue.disconnected()

    async def _report_found(self) -> None:
        """Report, after each connection, tagged rooms at Janus for which there is no queue."""
        while True:
            await self._connected.wait()
            self._connected.clear()
            try:
                found = await self._find_rooms()
            except (Unavailable, JanusRefused) as error:
                log.warning("janus.listFailed", extra={"error": error.detail})
                continue
            self._found = found
            for room in [each for each in found if each not in self._queues]:
                await self._facts.put(RoomFound(room, self._medium))

    async def _wait_until_settled(self, queues: tuple[RoomQueue, ...]) -> None:
        """Wait until every queue has reported the state of its room, up to a limit."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLED_WITHIN_S):
                for queue in queues:
                    await queue.settled.wait()

    async def _wait_until_closed(self) -> None:
        await self._closed.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(_SHUTDOWN_WITHIN_S):
                await asyncio.gather(*(queue.shut_down() for queue in self._queues.values()))
        raise _Closed


def video_plane(settings: JanusSettings) -> JanusPlane:
    """Return the plane for video; each VideoRoom is named after the room's uuid."""
    return JanusPlane(
        settings, Medium.VIDEO, VIDEO_ROOM, lambda name, uuid: VideoRoom(name, settings, uuid)
    )


def audio_plane(settings: JanusSettings) -> JanusPlane:
    """Return the plane for audio; each AudioBridge room is named after the room's uuid."""
    return JanusPlane(
        settings, Medium.AUDIO, AUDIO_BRIDGE, lambda name, uuid: AudioBridge(name, settings, uuid)
    )
