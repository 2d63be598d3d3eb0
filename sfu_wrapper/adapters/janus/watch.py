"""Watch for recordings that end at Janus without our request.

Another client may switch a recording off, point it at another folder or destroy the room. A disk
may fill up, which Janus does not report: the only sign is a mix that no longer grows.

One check covers every room of a plugin, over its own connection: a ``list`` request returns all
rooms with their recording state, so a check costs Janus one request however many rooms there are.
There are no checks while nothing is recorded. Without the admin key Janus does not list private
rooms, and only file sizes are checked.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Final, Protocol

from sfu_wrapper.adapters.janus.errors import JanusRefused
from sfu_wrapper.adapters.janus.room import LIST_BYTES
from sfu_wrapper.adapters.janus.session import Handle, Json, open_session
from sfu_wrapper.adapters.janus.settings import JanusSettings
from sfu_wrapper.core.media_plane import CaptureRef, CaptureStarted
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import RoomUuid

log = logging.getLogger(__name__)

PERIOD_S: Final = 1.2
SWITCHED_OFF: Final = "another client stopped the recording at Janus"
NOT_GROWING: Final = "Janus stopped writing the mix: check the free space of its disk"
_PAUSES: Final = 20  # rest after a check, in multiples of its duration
_PROMPT_S: Final = 1.0  # a slower answer: Janus hung, and could not write either
_STALLS: Final = 2  # consecutive checks without growth


class Watched(Protocol):
    """Room that may record; ``RoomQueue`` implements it."""

    @property
    def uuid(self) -> RoomUuid:
        """Uuid of our room."""
        ...

    @property
    def recording(self) -> CaptureStarted | None:
        """Running capture as far as known; the same object for as long as it runs."""
        ...

    def is_recorded(self, listed: Json, capture: CaptureRef) -> bool:
        """Return True if the room's entry in the list shows that it records the capture."""
        ...

    def written_bytes(self, capture: CaptureRef) -> int | None:
        """Return the size of the file that must grow; None if no file must. Raises OSError."""
        ...

    def mark_ended(self, recording: CaptureStarted, why: str) -> None:
        """Note that this recording seems to have ended."""
        ...

    def mark_gone(self) -> None:
        """Note that the room may be gone."""
        ...


class RecordingWatch:
    """Periodic check of all recordings of one plugin.

    Args:
        settings: Address, admin key and folder.
        plugin: Janus plugin to check.
        rooms: Returns all rooms.
    """

    def __init__(
        self, settings: JanusSettings, plugin: str, rooms: Callable[[], Iterable[Watched]]
    ) -> None:
        self._settings = settings
        self._plugin = plugin
        self._rooms = rooms
        self._sizes: dict[CaptureRef, int] = {}
        self._stalls: dict[CaptureRef, int] = {}

    async def run(self) -> None:
        """Check until cancelled."""
        address = replace(self._settings.address, max_bytes=LIST_BYTES)
        while True:
            await asyncio.sleep(PERIOD_S)
            if not self._recording():
                continue
            try:
                async with open_session(address) as session:
                    await self._watch(await session.attach(self._plugin))
            except (Unavailable, JanusRefused) as error:  # ``reconnect`` logs outages as warnings
                log.debug("janus.watchFailed", extra={"error": error.detail})

    def _recording(self) -> dict[Watched, CaptureStarted]:
        pairs = ((room, room.recording) for room in self._rooms())
        return {room: recording for room, recording in pairs if recording is not None}

    async def _watch(self, handle: Handle) -> None:
        while recording := self._recording():
            sent_s = time.monotonic()
            answer = await handle.request({"request": "list"} | self._settings.admin_fields)
            took_s = time.monotonic() - sent_s
            if self._settings.admin_key is not None:
                _compare(recording, {room.get("room"): room for room in _dicts(answer.get("list"))})
            await self._measure(recording, prompt=took_s < _PROMPT_S)
            await asyncio.sleep(max(PERIOD_S, _PAUSES * took_s))

    async def _measure(self, recording: dict[Watched, CaptureStarted], *, prompt: bool) -> None:
        sizes: dict[CaptureRef, int] = {}
        with suppress(OSError):  # an unreadable folder proves nothing
            sizes = await self._settings.folder.work(lambda: dict(_sizes(recording)))
        before, self._sizes = self._sizes, sizes
        stalls, self._stalls = self._stalls, {}
        for room, started in recording.items():
            capture = started.capture
            if not prompt or capture not in before or before[capture] != sizes.get(capture):
                continue
            self._stalls[capture] = stalls.get(capture, 0) + 1
            if self._stalls[capture] >= _STALLS:
                room.mark_ended(started, NOT_GROWING)


def _compare(recording: dict[Watched, CaptureStarted], listed: dict[object, Json]) -> None:
    for room, started in recording.items():
        found = listed.get(room.uuid)
        if found is None:
            room.mark_gone()
        elif not room.is_recorded(found, started.capture):
            room.mark_ended(started, SWITCHED_OFF)


def _sizes(recording: dict[Watched, CaptureStarted]) -> Iterator[tuple[CaptureRef, int]]:
    for room, started in recording.items():
        size = room.written_bytes(started.capture)
        if size is not None:
            yield started.capture, size


def _dicts(value: object) -> list[Json]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
