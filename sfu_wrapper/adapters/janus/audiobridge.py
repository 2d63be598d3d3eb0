"""An AudioBridge room: everybody's sound as one mix, a file for each start.

The mixer writes while somebody is in the room, so a muted monitor without media is always in: what
is silent is written as silence. It opens and closes files a moment after it has answered, and goes
on with the old file where a start follows too soon, so both are waited for.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from sfu_wrapper.adapters.janus.audiobridge_files import is_closed, mend, mixes, newest_bytes
from sfu_wrapper.adapters.janus.room import JanusRoom, NotWritten, RoomChange
from sfu_wrapper.adapters.janus.session import AUDIO_BRIDGE, Handle, Json
from sfu_wrapper.core.facts import CaptureRef
from sfu_wrapper.core.publishers import track_of
from sfu_wrapper.model.media import Medium, RawFile, Track

log = logging.getLogger(__name__)

_OPENED_WITHIN_S: Final = 1.0
_CLOSED_WITHIN_S: Final = 1.5
_LOOK_S: Final = 0.02
_TICKS_S: Final = 0.06  # three turns of the mixer: what was answered has been done by then


class AudioBridge(JanusRoom):
    """See the module."""

    plugin = AUDIO_BRIDGE
    medium = Medium.AUDIO
    _heard: frozenset[str] = frozenset()
    _monitor: str = ""

    @property
    def tracks(self) -> tuple[Track, ...]:
        """See ``JanusRoom``."""
        found = (track_of(each, Medium.AUDIO) for each in sorted(self._heard))
        return tuple(dict.fromkeys(track for track in found if track is not None))

    async def watch(self, handle: Handle) -> None:
        """See ``JanusRoom``."""
        self._monitor = f"monitor~{secrets.token_hex(4)}"
        joined = await handle.ask(
            {"request": "join", "room": self.room, "id": self._monitor, "muted": True}
        )
        self._heard = frozenset()
        self.hear(joined)

    def hear(self, data: Json) -> RoomChange:
        """See ``JanusRoom``."""
        before = self._heard
        people = data.get("participants")
        for participant in people if isinstance(people, list) else []:
            name = str(participant.get("id"))
            is_heard = participant.get("setup") is True and participant.get("muted") is not True
            self._heard = self._heard - {name} | ({name} if is_heard else set())
        for key in ("leaving", "kicked"):
            self._heard -= {str(data.get(key))}
        put_out = data.get("kicked") == self._monitor or "kicked_all" in data
        if put_out or data.get("audiobridge") == "destroyed":
            return RoomChange.GONE
        return RoomChange.TRACKS if before != self._heard else RoomChange.NOTHING

    async def record(self, handle: Handle, capture: CaptureRef) -> int:
        """See ``JanusRoom``."""
        await self._switch_off(handle)
        await asyncio.sleep(_TICKS_S)
        started_ms = time.time_ns() // 1_000_000
        path = await self._begin(handle, capture, started_ms)
        if not await self._comes_true(path.exists, _OPENED_WITHIN_S):
            await self._switch_off(handle)
            raise NotWritten(
                f"Janus opened no file in {self._settings.folder.at_janus(capture)}, which we see "
                f"as {path.parent}: it may not be writable for Janus, or not be the same folder"
            )
        return started_ms

    async def go_on(self, handle: Handle, capture: CaptureRef) -> None:
        """See ``JanusRoom``; the new name counts only where nothing was being written."""
        await self._begin(handle, capture, time.time_ns() // 1_000_000)

    async def run_in(self, handle: Handle) -> None:
        """See ``JanusRoom``; sound needs no care."""

    async def cease(self, handle: Handle, capture: CaptureRef | None) -> None:
        """See ``JanusRoom``; Janus answers before it closes the file."""
        await self._switch_off(handle)
        await asyncio.sleep(_TICKS_S)
        if capture is None:
            return
        folder = self._settings.folder.of(capture)
        if not await self._comes_true(lambda: is_closed(folder), _CLOSED_WITHIN_S):
            log.warning("janus.mixNotClosed", extra={"room": capture.room})
        with suppress(OSError):  # a folder that cannot be read is told of by ``files``
            await self._settings.folder.work(mend, folder)

    def written_bytes(self, capture: CaptureRef) -> int | None:
        """See ``JanusRoom``; silence is written too, so the mix always grows."""
        return newest_bytes(self._settings.folder.of(capture))

    def _read(self, capture: CaptureRef, *, running: bool) -> tuple[RawFile, ...]:
        settings = self._settings
        below = f"{capture.room}/{capture.segment}"
        return mixes(settings.folder.of(capture), below, settings.delay_ms, running=running)

    @property
    def _made_as(self) -> Json:
        return {"is_private": True, "sampling_rate": self._settings.sampling_rate}

    async def _begin(self, handle: Handle, capture: CaptureRef, started_ms: int) -> Path:
        name = f"recording-{self.mixed_as}-{capture.segment}-{started_ms}.wav"
        folder = self._settings.folder
        await self._switch(handle, on=True, record_dir=folder.at_janus(capture), record_file=name)
        return folder.of(capture) / name

    async def _comes_true(self, question: Callable[[], bool], within_s: float) -> bool:
        give_up_s = time.monotonic() + within_s
        while time.monotonic() < give_up_s:
            with suppress(OSError):
                if await self._settings.folder.work(question):
                    return True
            await asyncio.sleep(_LOOK_S)
        return False
