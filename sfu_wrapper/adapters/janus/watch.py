"""Notice recordings that end at Janus without our having asked.

Somebody may switch a recording off, point it at another folder or destroy the room, and a disk may
be full, of which Janus says nothing: a mix that does not grow any more is the only sign.

One look serves every room of a plugin, over a connection of its own: ``list`` names them all with
what they record. So a look costs Janus one request however many rooms there are, and there is none
while nothing is recorded. Without the admin key private rooms are not listed; then files alone are
looked at.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Final, Protocol

from sfu_wrapper.adapters.janus.errors import JanusRefused
from sfu_wrapper.adapters.janus.ownership import LIST_BYTES
from sfu_wrapper.adapters.janus.session import Handle, Json, open_session
from sfu_wrapper.adapters.janus.settings import JanusSettings
from sfu_wrapper.core.facts import CaptureRef, CaptureStarted
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.ids import RoomUuid

log = logging.getLogger(__name__)

PERIOD_S: Final = 1.2
SWITCHED_OFF: Final = "somebody else stopped the recording at Janus"
NOT_GROWING: Final = "Janus does not write the mix any more: is its disk full?"
_PAUSES: Final = 20  # a look that takes long is followed by so many times its length of rest
_PROMPT_S: Final = 1.0  # an answer that took longer: Janus hung, and wrote nothing meanwhile
_STALLS: Final = 2  # looks in a row at a file that has not grown


class Watched(Protocol):
    """A room that may record."""

    @property
    def uuid(self) -> RoomUuid:
        """Of the room."""
        ...

    @property
    def recording(self) -> CaptureStarted | None:
        """What it records, as far as is known; the same object for as long as it does."""
        ...

    def is_recorded(self, listed: Json, capture: CaptureRef) -> bool:
        """Return whether Janus says that the room records this capture."""
        ...

    def written_bytes(self, capture: CaptureRef) -> int | None:
        """Return the size of the file that must grow; None where none must. Raises OSError."""
        ...

    def doubt(self, recording: CaptureStarted, why: str) -> None:
        """Take note that this recording has ended, unless it was stopped meanwhile."""
        ...

    def doubt_room(self) -> None:
        """Take note that the room may be gone."""
        ...


class RecordingWatch:
    """Looks again and again while anything is recorded. rooms: every room that there is."""

    def __init__(
        self, settings: JanusSettings, plugin: str, rooms: Callable[[], Iterable[Watched]]
    ) -> None:
        self._settings = settings
        self._plugin = plugin
        self._rooms = rooms
        self._sizes: dict[CaptureRef, int] = {}
        self._stalls: dict[CaptureRef, int] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        address = replace(self._settings.address, max_bytes=LIST_BYTES)
        while True:
            await asyncio.sleep(PERIOD_S)
            if not self._recording():
                continue
            try:
                async with open_session(address) as session:
                    await self._watch(await session.attach(self._plugin))
            except (Unavailable, JanusRefused) as error:  # the rooms' own connection says more
                log.debug("janus.notWatched", extra={"error": error.detail})

    def _recording(self) -> dict[Watched, CaptureStarted]:
        pairs = ((room, room.recording) for room in self._rooms())
        return {room: recording for room, recording in pairs if recording is not None}

    async def _watch(self, handle: Handle) -> None:
        while recording := self._recording():
            asked_s = time.monotonic()
            answer = await handle.ask({"request": "list"} | self._settings.to_make_rooms)
            took_s = time.monotonic() - asked_s
            if self._settings.admin_key is not None:
                _compare(recording, {room.get("room"): room for room in _dicts(answer.get("list"))})
            await self._measure(recording, prompt=took_s < _PROMPT_S)
            await asyncio.sleep(max(PERIOD_S, _PAUSES * took_s))

    async def _measure(self, recording: dict[Watched, CaptureStarted], *, prompt: bool) -> None:
        sizes: dict[CaptureRef, int] = {}
        with suppress(OSError):  # a folder that cannot be read proves nothing
            sizes = await self._settings.folder.work(lambda: dict(_sizes(recording)))
        before, self._sizes = self._sizes, sizes
        stalls, self._stalls = self._stalls, {}
        for room, started in recording.items():
            capture = started.capture
            if not prompt or capture not in before or before[capture] != sizes.get(capture):
                continue
            self._stalls[capture] = stalls.get(capture, 0) + 1
            if self._stalls[capture] >= _STALLS:
                room.doubt(started, NOT_GROWING)


def _compare(recording: dict[Watched, CaptureStarted], listed: dict[object, Json]) -> None:
    for room, started in recording.items():
        found = listed.get(room.uuid)
        if found is None:
            room.doubt_room()
        elif not room.is_recorded(found, started.capture):
            room.doubt(started, SWITCHED_OFF)


def _sizes(recording: dict[Watched, CaptureStarted]) -> Iterator[tuple[CaptureRef, int]]:
    for room, started in recording.items():
        size = room.written_bytes(started.capture)
        if size is not None:
            yield started.capture, size


def _dicts(value: object) -> list[Json]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
