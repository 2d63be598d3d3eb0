"""AudioBridge room: the audio of all participants as one mix, one file per start.

The mixer writes only while the room has a member. A muted monitor without media is therefore a
member all the time, and silence is written as silence. Janus opens and closes a file shortly after
it has answered, and continues the old file if a start follows too soon. ``record`` and
``stop_recording`` therefore wait until the change shows on disk.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from sfu_wrapper.adapters.janus.files import (
    has_mix,
    is_closed,
    mix_files,
    newest_bytes,
    repair_headers,
)
from sfu_wrapper.adapters.janus.room import JanusRoom, NotWritten, RoomChange
from sfu_wrapper.adapters.janus.session import AUDIO_BRIDGE, Handle, Json
from sfu_wrapper.core.media_plane import CaptureRef
from sfu_wrapper.core.publisher_ids import track_of
from sfu_wrapper.model.media import Medium, RawFile, Track

log = logging.getLogger(__name__)

_OPENED_WITHIN_S: Final = 1.0
_CLOSED_WITHIN_S: Final = 1.5
_POLL_S: Final = 0.02
_TICKS_S: Final = 0.06  # three mixer ticks: Janus has carried out by then what it answered


class AudioBridge(JanusRoom):
    """``JanusRoom`` of the AudioBridge plugin."""

    plugin = AUDIO_BRIDGE
    medium = Medium.AUDIO
    _audible: frozenset[str] = frozenset()
    _monitor: str = ""

    @property
    def tracks(self) -> tuple[Track, ...]:
        """See ``JanusRoom``."""
        found = (track_of(each, Medium.AUDIO) for each in sorted(self._audible))
        return tuple(dict.fromkeys(track for track in found if track is not None))

    async def watch(self, handle: Handle) -> None:
        """See ``JanusRoom``."""
        self._monitor = f"monitor~{secrets.token_hex(4)}"
        joined = await handle.request(
            {"request": "join", "room": self.room, "id": self._monitor, "muted": True}
        )
        self._audible = frozenset()
        self.handle_event(joined)

    def handle_event(self, data: Json) -> RoomChange:
        """See ``JanusRoom``."""
        before = self._audible
        participants = data.get("participants")
        for participant in participants if isinstance(participants, list) else []:
            name = str(participant.get("id"))
            is_audible = participant.get("setup") is True and participant.get("muted") is not True
            self._audible = self._audible - {name} | ({name} if is_audible else set())
        for key in ("leaving", "kicked"):
            self._audible -= {str(data.get(key))}
        removed = data.get("kicked") == self._monitor or "kicked_all" in data
        if removed or data.get("audiobridge") == "destroyed":
            return RoomChange.GONE
        return RoomChange.TRACKS if before != self._audible else RoomChange.NOTHING

    async def record(self, handle: Handle, capture: CaptureRef) -> int:
        """See ``JanusRoom``."""
        await self._switch_off(handle)
        await asyncio.sleep(_TICKS_S)
        started_ms = time.time_ns() // 1_000_000
        path = await self._switch_on(handle, capture, started_ms)
        if not await self._poll(lambda: has_mix(path.parent, path.name), _OPENED_WITHIN_S):
            await self._switch_off(handle)
            raise NotWritten(
                f"Janus opened no file in {self._settings.folder.at_janus(capture)}, which the "
                f"controller sees as {path.parent}: check that Janus can write there and that "
                "both are the same folder"
            )
        return started_ms

    async def continue_recording(self, handle: Handle, capture: CaptureRef) -> None:
        """See ``JanusRoom``; Janus uses the new file name only if it was not writing already."""
        await self._switch_on(handle, capture, time.time_ns() // 1_000_000)

    async def finish_warm_up(self, handle: Handle) -> None:
        """See ``JanusRoom``; audio has no key frames, so there is nothing to do."""

    async def stop_recording(self, handle: Handle, capture: CaptureRef | None) -> None:
        """See ``JanusRoom``; Janus answers before it closes the file."""
        await self._switch_off(handle)
        await asyncio.sleep(_TICKS_S)
        if capture is None:
            return
        folder = self._settings.folder.of(capture)
        if not await self._poll(lambda: is_closed(folder), _CLOSED_WITHIN_S):
            log.warning("janus.mixNotClosed", extra={"room": capture.room})
        with suppress(OSError):  # ``files`` reports a folder that cannot be read
            await self._settings.folder.work(repair_headers, folder)

    def written_bytes(self, capture: CaptureRef) -> int | None:
        """See ``JanusRoom``; silence is written too, so the mix always grows."""
        return newest_bytes(self._settings.folder.of(capture))

    def _read(self, capture: CaptureRef, *, running: bool) -> tuple[RawFile, ...]:
        settings = self._settings
        below = f"{capture.room}/{capture.segment}"
        return mix_files(settings.folder.of(capture), below, settings.delay_ms, running=running)

    @property
    def _room_properties(self) -> Json:
        return {"is_private": True, "sampling_rate": self._settings.sampling_rate}

    async def _switch_on(self, handle: Handle, capture: CaptureRef, started_ms: int) -> Path:
        name = f"recording-{self.mixed_as}-{capture.segment}-{started_ms}.wav"
        folder = self._settings.folder
        await self._switch(handle, on=True, record_dir=folder.at_janus(capture), record_file=name)
        return folder.of(capture) / name

    async def _poll(self, condition: Callable[[], bool], within_s: float) -> bool:
        give_up_s = time.monotonic() + within_s
        while time.monotonic() < give_up_s:
            with suppress(OSError):
                if await self._settings.folder.work(condition):
                    return True
            await asyncio.sleep(_POLL_S)
        return False
