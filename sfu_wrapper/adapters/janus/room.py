"""One room at one plugin of Janus: how it is made, watched and recorded, request by request.

What the two plugins have in common, as ``line`` sees it. Nothing here waits for a turn, repeats
anything or survives a connection; methods that take a handle raise Unavailable (the connection is
lost) and JanusRefused, whatever else is said with them.
"""

from abc import ABC, abstractmethod
from enum import Enum, auto
from typing import ClassVar, Final

from sfu_wrapper.adapters.janus.errors import ForeignRoom, JanusRefused, Trouble
from sfu_wrapper.adapters.janus.ownership import tag
from sfu_wrapper.adapters.janus.session import Handle, Json
from sfu_wrapper.adapters.janus.settings import JanusSettings
from sfu_wrapper.core.facts import CaptureRef
from sfu_wrapper.model.errors import RecordingError
from sfu_wrapper.model.ids import RoomUuid
from sfu_wrapper.model.media import Medium, RawFile, Track

RUN_IN_S: Final = 2.5
_WRONG: Final = "none of ours"


class NotWritten(RecordingError):
    """Janus said yes to a recording and opened no file."""


class RoomChange(Enum):
    """What an event was about."""

    NOTHING = auto()
    TRACKS = auto()  # who publishes, or publishes what, may have changed
    GONE = auto()  # the room is gone, or the monitor was put out of it


class JanusRoom(ABC):
    """See the module.

    room: its id at the plugin, which is the uuid of the room of ours that it is for.
    uuid: the same, where it is for one.
    mixed_as: what the mixer's file names call it.
    """

    plugin: ClassVar[str]
    medium: ClassVar[Medium]

    def __init__(self, room: str, settings: JanusSettings, uuid: RoomUuid | None = None) -> None:
        self.room = room
        self.mixed_as = room
        self._settings = settings
        self._marked = tag(uuid) if uuid is not None else {}

    async def make(self, handle: Handle) -> bool:
        """Let it be there; True where it was not. Raises ForeignRoom where others made it."""
        try:
            wanted = self._settings.to_make_rooms | self._made_as | self._marked
            await handle.ask(self._secured("create") | wanted)
        except JanusRefused as refused:
            if refused.trouble is not Trouble.ROOM_EXISTS:
                raise
        else:
            return True
        await self._require_ours(handle)
        return False

    async def destroy(self, handle: Handle) -> None:
        """Let it be gone."""
        try:
            await handle.ask(self._secured("destroy"))
        except JanusRefused as refused:
            if refused.trouble is not Trouble.NO_SUCH_ROOM:
                raise

    async def is_ours(self, handle: Handle) -> bool:
        """Return whether it is there, made by this installation."""
        try:
            await self._require_ours(handle)
        except ForeignRoom:
            return False
        except JanusRefused as refused:
            if refused.trouble in (Trouble.NO_SUCH_ROOM, Trouble.UNAUTHORIZED):
                return False
            raise
        return True

    @property
    @abstractmethod
    def tracks(self) -> tuple[Track, ...]:
        """Who publishes what now, as far as was heard."""

    @abstractmethod
    async def watch(self, handle: Handle) -> None:
        """Come in to hear who publishes, without publishing."""

    @abstractmethod
    def hear(self, data: Json) -> RoomChange:
        """Take in an event of the plugin."""

    @abstractmethod
    async def record(self, handle: Handle, capture: CaptureRef) -> int:
        """Begin to write into the capture's folder; returns when, epoch ms.

        Raises:
            NotWritten: no file was opened; nothing is written.
        """

    @abstractmethod
    async def go_on(self, handle: Handle, capture: CaptureRef) -> None:
        """Take up a capture that an earlier controller began and Janus may still write."""

    @abstractmethod
    async def run_in(self, handle: Handle) -> None:
        """A recording has been under way for ``RUN_IN_S``."""

    @abstractmethod
    async def cease(self, handle: Handle, capture: CaptureRef | None) -> None:
        """Write no more; returns once the files of ``capture`` are closed. No room, no writing."""

    async def files(self, capture: CaptureRef, *, running: bool) -> tuple[RawFile, ...]:
        """What the disk holds of a capture. Raises OSError."""
        return await self._settings.folder.work(self._read, capture, running=running)

    def is_recorded(self, listed: Json, capture: CaptureRef) -> bool:
        """Return whether Janus says that the room records, given its entry in the list."""
        return listed.get("record") is True

    def written_bytes(self, capture: CaptureRef) -> int | None:
        """Return the size of the file that must grow; None where none must. Raises OSError."""
        return None

    @abstractmethod
    def _read(self, capture: CaptureRef, *, running: bool) -> tuple[RawFile, ...]:
        """``files``, which takes its time. Raises OSError."""

    @property
    @abstractmethod
    def _made_as(self) -> Json:
        """What a new room is like."""

    async def _require_ours(self, handle: Handle) -> None:
        """Require that the room has the secret that this installation alone derives from its uuid.

        Its description would prove nothing, since anybody who makes a room can write one. A room
        without any secret takes every one, so a wrong one is tried too.

        Raises:
            JanusRefused: others made it, or it is not there.
        """
        await handle.ask(self._secured("edit"))
        try:
            await handle.ask(self._secured("edit", secret=_WRONG))
        except JanusRefused as refused:
            if refused.trouble is Trouble.UNAUTHORIZED:
                return
            raise
        raise ForeignRoom(self.room)

    def _secured(self, request: str, **more: object) -> Json:
        """A request about this room with its secret."""
        secret = self._settings.secret_of(self.plugin, self.room)
        return {"request": request, "room": self.room, "secret": secret} | more

    async def _switch(self, handle: Handle, *, on: bool, **more: object) -> None:
        await handle.ask(self._secured("enable_recording", record=on) | more)

    async def _switch_off(self, handle: Handle) -> None:
        """Whether or not it was on, and whether or not there is such a room."""
        try:
            await self._switch(handle, on=False)
        except JanusRefused as refused:
            if refused.trouble is not Trouble.NO_SUCH_ROOM:
                raise


def last_written_ms(files: tuple[RawFile, ...]) -> int:
    """When the last of them ended that hold anything; 0 where none has."""
    return max((file.stopped_ms or 0 for file in files if file.holds_media), default=0)
