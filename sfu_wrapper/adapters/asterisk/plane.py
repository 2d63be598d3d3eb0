"""Asterisk's ConfBridge as the mixer: the audio half of a media plane, and the trunk's calls.

Each request goes into the queue of its room (``conference``), which carries it out in turn; rooms
do not wait for each other. ``_listen`` reads events and link marks from ``ami``: events go to the
conferences that they name and to the trunk (``trunk``); a link mark makes every conference check
its files. Facts and call news leave through one queue each.

Asterisk sends no event if another client ends the recording channel or its MixMonitor, or if the
disk is full: the file is closed or stops growing. So all files are checked once a second, while
anything is recorded, in one operation that sends one ping: while Asterisk hangs, no file grows and
the check is skipped.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Final, assert_never

from sfu_wrapper.adapters.asterisk.ami import (
    Ami,
    AmiSettings,
    Declined,
    LinkUp,
    Message,
    Reminder,
)
from sfu_wrapper.adapters.asterisk.conference import (
    NOT_WRITTEN,
    Conference,
    ConferenceContext,
    Nudge,
)
from sfu_wrapper.adapters.asterisk.folder import Folder, Size
from sfu_wrapper.adapters.asterisk.trunk import TrunkLine
from sfu_wrapper.adapters.planes.fact_queue import FactQueue
from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.core.media_plane import (
    CaptureFailed,
    CaptureLost,
    CaptureStopped,
    CloseMediaRoom,
    OpenMediaRoom,
    PlaneBack,
    PlaneFact,
    PlaneRequest,
    PublishTrack,
    ResumeCapture,
    StartCapture,
    StopCapture,
    UnpublishTrack,
)
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import ConfbridgeId, RoomUuid
from sfu_wrapper.model.media import Medium
from sfu_wrapper.ports.media_plane import CallNews
from sfu_wrapper.ports.system import Clock

PERIOD_S: Final = 1.0
CLOSED_S: Final = 0.9  # the event of a regular end comes long before
STALLED_S: Final = 3.4  # Asterisk writes every 2.05 s
_PROMPT_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class _Seen:
    """Size of a file, and the loop time at which it last changed."""

    size: Size
    at_s: float


class FileWatch:
    """Periodic check of the files of all recordings.

    Args:
        ami: Client of the manager interface.
        folder: Folder for the mixes.
        conferences: Returns all conferences.
    """

    def __init__(
        self, ami: Ami, folder: Folder, conferences: Callable[[], Iterable[Conference]]
    ) -> None:
        self._ami = ami
        self._folder = folder
        self._conferences = conferences
        self._seen: dict[str, _Seen] = {}

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_S)
            if self._folder.ours is not None:
                await self._check()

    async def _check(self) -> None:
        pairs = ((each.written, each) for each in self._conferences())
        written = {name: each for name, each in pairs if name is not None}
        if not written or not await self._is_awake():
            self._seen = {}
            return
        now_s = asyncio.get_running_loop().time()
        sizes = await self._folder.sizes(tuple(written))
        self._seen = {name: self._noted(name, size, now_s) for name, size in sizes.items()}
        for name, seen in self._seen.items():
            limit_s = CLOSED_S if seen.size.whole else STALLED_S
            if now_s - seen.at_s >= limit_s:
                written[name].put(Nudge.STALLED)

    def _noted(self, name: str, size: Size, now_s: float) -> _Seen:
        before = self._seen.get(name)
        return before if before is not None and before.size == size else _Seen(size, now_s)

    async def _is_awake(self) -> bool:
        try:
            async with asyncio.timeout(_PROMPT_S):
                await self._ami.act("Ping")
        except (TimeoutError, Unavailable, Declined):
            return False
        return True


log = logging.getLogger(__name__)

_QUEUE: Final = 10_000
_WAITING: Final = 1_000  # queued orders of one room
_CLOSE_S: Final = 4.0
_LIST_BACKOFF: Final = Backoff(0.5, 60.0)
_NO_VIDEO: Final = "Asterisk records audio only"


@dataclass(frozen=True, slots=True)
class AsteriskSettings:
    """Settings of the plane.

    Attributes:
        ami: Address and login.
        folder: Folder for the mixes.
        delay_ms: Time by which audio lags behind video.
        trunk_context: Dialplan context that answers the trunk's calls; None without a trunk.
    """

    ami: AmiSettings
    folder: Folder
    delay_ms: int = 0
    trunk_context: str | None = None


class AsteriskPlane:
    """``MediaPlane`` for audio, and ``Trunk``, over one Asterisk."""

    def __init__(self, settings: AsteriskSettings, clock: Clock) -> None:
        self._ami = Ami(settings.ami)
        context = settings.trunk_context
        self._trunk = TrunkLine(context) if context is not None else None
        self._now_ms: Callable[[], int] = lambda: clock.now().wall_ms
        self._facts: FactQueue[PlaneFact] = FactQueue()
        self._context = ConferenceContext(
            self._ami, settings.folder, settings.delay_ms, self._now_ms, self._facts.put
        )
        self._rooms: dict[RoomUuid, Conference] = {}
        self._named: dict[str, dict[Conference, None]] = {}
        self._watch = FileWatch(
            self._ami, settings.folder, lambda: tuple(chain.from_iterable(self._named.values()))
        )
        self._emptied = asyncio.Event()
        self._fresh: asyncio.Queue[Conference] = asyncio.Queue()  # at most one a room
        self._calls: FactQueue[CallNews] = FactQueue()
        self._list_pauses = iter(_LIST_BACKOFF)
        self._to_hang_up: asyncio.Queue[str] = asyncio.Queue(_QUEUE)
        self._closed = asyncio.Event()

    def is_available(self, medium: Medium) -> bool:
        """See ``MediaPlane``."""
        return self._ami.up

    async def run(self) -> None:
        """See ``MediaPlane``; returns once the plane is closed."""
        async with asyncio.TaskGroup() as tasks:
            work = [
                tasks.create_task(self._ami.run()),
                tasks.create_task(self._listen()),
                tasks.create_task(self._hang_up_calls()),
                tasks.create_task(self._serve_rooms()),
                tasks.create_task(self._watch.run()),
            ]
            await self._closed.wait()
            for task in work:
                task.cancel()

    def send(self, request: PlaneRequest) -> None:
        """See ``MediaPlane``."""
        match request:
            case OpenMediaRoom(room=room, confbridge_id=name):
                self._conference(room, name)
            case StartCapture() | StopCapture() | ResumeCapture():
                self._order(request)
            case CloseMediaRoom(room=room):
                conference = self._living(room)
                if conference is not None:
                    conference.put(request)
            case PublishTrack() | UnpublishTrack():
                pass  # Asterisk mixes every member of the conference
            case _:
                assert_never(request)

    def facts(self) -> AsyncIterator[PlaneFact]:
        """See ``MediaPlane``; ends once the plane is closed and every fact has been read."""
        return self._facts.read()

    def calls(self) -> AsyncIterator[CallNews]:
        """See ``Trunk``; ends once the plane is closed."""
        return self._calls.read()

    def hang_up(self, call_id: str) -> None:
        """See ``Trunk``. A request lost here is repeated after the next loss of the link."""
        with suppress(asyncio.QueueFull):
            self._to_hang_up.put_nowait(call_id)

    async def close(self) -> None:
        """See ``MediaPlane``."""
        for conference in tuple(self._rooms.values()):
            conference.put(CloseMediaRoom(conference.room))
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                while self._ami.up and self._rooms:
                    self._emptied.clear()
                    await self._emptied.wait()
        self._closed.set()
        self._facts.close()
        self._calls.close()

    def _order(self, request: StartCapture | StopCapture | ResumeCapture) -> None:
        """Pass a request to its conference, or answer at once if there is none."""
        capture = request.capture
        if isinstance(request, StartCapture) and capture.medium is Medium.AUDIO:
            conference: Conference | None = self._conference(capture.room, request.confbridge_id)
        else:
            conference = self._living(capture.room) if capture.medium is Medium.AUDIO else None
        if conference is not None:
            conference.put(request)
            return
        match request:
            case StartCapture():
                self._facts.put_at_once(CaptureFailed(capture, _NO_VIDEO))
            case StopCapture():
                self._facts.put_at_once(CaptureStopped(capture, self._now_ms(), ()))
            case ResumeCapture(files=files):
                last_ms = max((file.stopped_ms or 0 for file in files), default=0)
                self._facts.put_at_once(CaptureLost(capture, last_ms, files, NOT_WRITTEN))
            case _:
                assert_never(request)

    def _living(self, room: RoomUuid) -> Conference | None:
        conference = self._rooms.get(room)
        if conference is None or conference.over:
            return None
        if conference.waiting >= _WAITING:
            raise Unavailable("too many requests of one room wait for Asterisk; try again")
        return conference

    def _conference(self, room: RoomUuid, name: ConfbridgeId) -> Conference:
        conference = self._living(room)
        if conference is None:
            conference = self._rooms[room] = Conference(self._context, room, name, self._before)
            self._named.setdefault(_key(name), {})[conference] = None
            self._fresh.put_nowait(conference)
        return conference

    def _before(self, conference: Conference) -> Conference | None:
        """Return the room that has used this conference longest; None if it is the same one."""
        first = next(iter(self._named.get(_key(conference.name), ())), conference)
        return None if first is conference else first

    async def _serve_rooms(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._serve(await self._fresh.get()))

    async def _serve(self, conference: Conference) -> None:
        try:
            await conference.run()
        finally:
            if self._rooms.get(conference.room) is conference:
                del self._rooms[conference.room]
            self._forget_name(conference)
            conference.done.set()
            self._emptied.set()

    async def _listen(self) -> None:
        async for news in self._ami.news():
            if isinstance(news, Message):
                await self._handle_event(news)
                continue
            if not isinstance(news, Reminder):
                for conference in tuple(self._rooms.values()):
                    conference.put(Nudge.LINK)
            if isinstance(news, LinkUp):
                await self._facts.put(PlaneBack(Medium.AUDIO))
                self._list_pauses = iter(_LIST_BACKOFF)
            if isinstance(news, LinkUp | Reminder) and self._trunk is not None:
                await self._list_calls(self._trunk)

    async def _list_calls(self, trunk: TrunkLine) -> None:
        """Report the present calls, in order with events; try again later where it fails."""
        present = await trunk.present_calls(self._ami)
        if present is not None:
            await self._calls.put(present)
            return
        self._ami.remind(next(self._list_pauses))

    async def _handle_event(self, message: Message) -> None:
        for conference in tuple(self._named.get(_key(message.get("Conference")), ())):
            conference.handle_event(message)
        for call_news in self._trunk.handle_event(message) if self._trunk is not None else ():
            await self._calls.put(call_news)

    def _forget_name(self, conference: Conference) -> None:
        same = self._named.get(_key(conference.name), {})
        same.pop(conference, None)
        if not same:
            self._named.pop(_key(conference.name), None)

    async def _hang_up_calls(self) -> None:
        while True:
            call_id = await self._to_hang_up.get()
            channel = self._trunk.channel(call_id) if self._trunk is not None else None
            if channel is None:
                continue
            try:
                await self._ami.act("Hangup", ("Channel", channel))
            except (Declined, Unavailable) as error:
                log.warning("asterisk.hangupFailed", extra={"error": error.detail})


def _key(name: str) -> str:
    """Return the name of a conference as Asterisk compares it, without case."""
    return name.lower()
