"""Room at one plugin of Janus: the requests that create, watch, record and destroy it.

``JanusRoom`` is what ``VideoRoom`` and ``AudioBridge`` have in common. ``room_capture`` calls it
with the handle of the current connection; nothing here queues, retries or outlives that. Every
method with a handle may raise Unavailable (the connection is lost) and JanusRefused, besides the
exceptions in its own docstring. ``doctor`` uses the same requests to try a room.

Rules of this file
    1. Rooms of other clients are never changed. A room is ours if it has the secret that only this
       installation derives from its id.
    2. A controller that is killed before it destroys a Janus room leaves that room behind. So each
       room carries the uuid of our room as a tag in its description, by which the next controller
       finds it (``tagged_rooms``).
"""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import Enum, auto
from typing import ClassVar, Final

from sfu_wrapper.adapters.janus.errors import ForeignRoom, JanusRefused, Trouble
from sfu_wrapper.adapters.janus.session import Handle, JanusAddress, Json, open_session
from sfu_wrapper.adapters.janus.settings import JanusSettings
from sfu_wrapper.core.media_plane import CaptureRef
from sfu_wrapper.model.errors import RecordingError
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.model.media import Medium, RawFile, Track

_TAG: Final = "sfu-wrapper "
LIST_BYTES: Final = 67_108_864  # of 100,000 rooms
WARM_UP_S: Final = 2.5  # after the start of a recording
_WRONG_SECRET: Final = "none of ours"  # noqa: S105  (a probe, no password)


def tag(uuid: RoomUuid) -> Json:
    """Return the ``create`` fields that mark a Janus room as belonging to our room."""
    return {"description": f"{_TAG}{uuid}"}


TaggedRooms = dict[RoomUuid, tuple[str, ...]]
"""Our rooms, each with the ids of the plugin rooms that carry its tag."""


async def tagged_rooms(settings: JanusSettings, plugin: str) -> TaggedRooms:
    """Return the rooms of a plugin that carry one of our tags.

    The list has its own connection, because the answer may be large and must not delay other
    requests. Our rooms are private: Janus lists them only for clients with the admin key.

    Raises:
        Unavailable, JanusRefused: The rooms cannot be listed.
    """
    async with open_session(replace(settings.address, max_bytes=LIST_BYTES)) as session:
        handle = await session.attach(plugin)
        answer = await handle.request({"request": "list"} | settings.admin_fields)
    found: TaggedRooms = {}
    for uuid, name in _tagged(answer.get("list")):
        found[uuid] = (*found.get(uuid, ()), name)
    return found


def _tagged(rooms: object) -> Iterator[tuple[RoomUuid, str]]:
    for room in rooms if isinstance(rooms, list) else ():
        match room:
            case {"room": str(name), "description": str(text)} if text.startswith(_TAG):
                yield RoomUuid(text.removeprefix(_TAG)), name


class NotWritten(RecordingError):
    """Janus accepted a recording and opened no file."""


class RoomChange(Enum):
    """Meaning of a plugin event for the capture."""

    NOTHING = auto()
    TRACKS = auto()  # the set of published tracks may have changed
    GONE = auto()  # the room is gone, or the monitor was removed from it


class JanusRoom(ABC):
    """Room at a plugin; ``VideoRoom`` and ``AudioBridge`` implement it.

    Args:
        room: Id at the plugin: our room's uuid, or the confbridgeId for bridges of 0.1.0.
        settings: Secrets, folder and properties of new rooms.
        uuid: Our room's uuid for the ownership tag; None for a room without one.

    Attributes:
        mixed_as: Name of the room in the mixer's file names.
    """

    plugin: ClassVar[str]
    medium: ClassVar[Medium]

    def __init__(self, room: str, settings: JanusSettings, uuid: RoomUuid | None = None) -> None:
        self.room = room
        self.mixed_as = room
        self._settings = settings
        self._tag = tag(uuid) if uuid is not None else {}

    async def make(self, handle: Handle) -> bool:
        """Create the room unless it exists. Returns True if it was created.

        Raises:
            ForeignRoom: Another client created it.
        """
        try:
            wanted = self._settings.admin_fields | self._room_properties | self._tag
            await handle.request(self._secured("create") | wanted)
        except JanusRefused as refused:
            if refused.trouble is not Trouble.ROOM_EXISTS:
                raise
        else:
            return True
        await self._require_ours(handle)
        return False

    async def destroy(self, handle: Handle) -> None:
        """Destroy the room if it exists."""
        try:
            await handle.request(self._secured("destroy"))
        except JanusRefused as refused:
            if refused.trouble is not Trouble.NO_SUCH_ROOM:
                raise

    async def is_ours(self, handle: Handle) -> bool:
        """Return True if the room exists and this installation created it."""
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
        """Tracks published now, according to the events so far."""

    @abstractmethod
    async def watch(self, handle: Handle) -> None:
        """Join as a monitor that publishes nothing, to get events about publishers."""

    @abstractmethod
    def handle_event(self, data: Json) -> RoomChange:
        """Apply an event of the plugin and return its meaning."""

    @abstractmethod
    async def record(self, handle: Handle, capture: CaptureRef) -> int:
        """Start writing into the capture's folder. Returns the start, epoch ms.

        Raises:
            NotWritten: Janus opened no file and writes nothing.
        """

    @abstractmethod
    async def continue_recording(self, handle: Handle, capture: CaptureRef) -> None:
        """Continue a capture of an earlier controller that Janus may still be writing."""

    @abstractmethod
    async def finish_warm_up(self, handle: Handle) -> None:
        """Apply the steady-state settings; called ``WARM_UP_S`` after a recording began."""

    @abstractmethod
    async def stop_recording(self, handle: Handle, capture: CaptureRef | None) -> None:
        """Stop writing; return once the files of ``capture`` are closed. A missing room is fine."""

    async def files(self, capture: CaptureRef, *, running: bool) -> tuple[RawFile, ...]:
        """Return the files of a capture on disk. Raises OSError."""
        return await self._settings.folder.work(self._read, capture, running=running)

    def is_recorded(self, listed: Json, capture: CaptureRef) -> bool:
        """Return True if the room's entry in the list shows that it records the capture."""
        return listed.get("record") is True

    def written_bytes(self, capture: CaptureRef) -> int | None:
        """Return the size of the file that must grow; None if no file must. Raises OSError."""
        return None

    @abstractmethod
    def _read(self, capture: CaptureRef, *, running: bool) -> tuple[RawFile, ...]:
        """Read the capture's files from disk; blocks. Raises OSError."""

    @property
    @abstractmethod
    def _room_properties(self) -> Json:
        """Plugin-specific properties of a new room."""

    async def _require_ours(self, handle: Handle) -> None:
        """Require that the room has the secret that only this installation derives from its id.

        The description proves nothing, because any client can write one. A room without a secret
        accepts every secret, so a wrong one is tried as well.

        Raises:
            ForeignRoom: The room has no secret.
            JanusRefused: The room has another secret, or does not exist.
        """
        await handle.request(self._secured("edit"))
        try:
            await handle.request(self._secured("edit", secret=_WRONG_SECRET))
        except JanusRefused as refused:
            if refused.trouble is Trouble.UNAUTHORIZED:
                return
            raise
        raise ForeignRoom(self.room)

    def _secured(self, request: str, **more: object) -> Json:
        """Return a request about this room, with its secret."""
        secret = self._settings.secret_of(self.plugin, self.room)
        return {"request": request, "room": self.room, "secret": secret} | more

    async def _switch(self, handle: Handle, *, on: bool, **more: object) -> None:
        await handle.request(self._secured("enable_recording", record=on) | more)

    async def _switch_off(self, handle: Handle) -> None:
        """Stop recording; a room that is missing or not recording is no error."""
        try:
            await self._switch(handle, on=False)
        except JanusRefused as refused:
            if refused.trouble is not Trouble.NO_SUCH_ROOM:
                raise


def last_written_ms(files: tuple[RawFile, ...]) -> int:
    """Return the end of the last file with media, epoch ms; 0 if no file has any."""
    return max((file.stopped_ms or 0 for file in files if file.holds_media), default=0)


MakeRoom = Callable[[str], JanusRoom]


async def version(address: JanusAddress) -> str:
    """Return the version of Janus. Raises Unavailable, JanusRefused."""
    async with open_session(address) as session:
        answer = await session.server_info()
    return str(answer.get("version_string", ""))


async def try_room(address: JanusAddress, make_room: MakeRoom) -> None:
    """Create a room as for a call, enter it and destroy it. Raises Unavailable, JanusRefused."""
    room = make_room(f"doctor-{secrets.token_hex(8)}")
    async with open_session(address) as session:
        handle = await session.attach(room.plugin)
        await room.make(handle)
        try:
            await room.watch(handle)
        finally:
            await room.destroy(handle)
