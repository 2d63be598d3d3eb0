"""A VideoRoom: cameras and screens, each publisher a file, a folder for each segment.

Janus names the files itself and says yes to a recording even where it can open none; so what there
is is read from the folder. Sound that a publisher sends along is written too, and removed.
"""

import asyncio
import secrets
import time
from contextlib import suppress
from typing import Final

from sfu_wrapper.adapters.janus.room import JanusRoom, NotWritten, RoomChange
from sfu_wrapper.adapters.janus.session import VIDEO_ROOM, Handle, Json
from sfu_wrapper.adapters.janus.videoroom_files import publishers_in, remove_sound, tapes
from sfu_wrapper.core.facts import CaptureRef
from sfu_wrapper.core.publishers import track_of
from sfu_wrapper.model.media import Medium, RawFile, Track

_OPENED_WITHIN_S: Final = 1.0
_LOOK_S: Final = 0.02
_KEY_FRAMES_AT_FIRST_S: Final = 1
"""Janus asks for a key frame when it begins a file, and browsers pass over that where they have
just sent one: then the file would begin with pictures that nobody can decode, and go on so."""
_KEY_FRAMES_S: Final = 10
"""Afterwards: where a packet is lost and nobody watches, nobody else asks for one."""


class VideoRoom(JanusRoom):
    """See the module."""

    plugin = VIDEO_ROOM
    medium = Medium.VIDEO
    _publishing: frozenset[str] = frozenset()

    @property
    def tracks(self) -> tuple[Track, ...]:
        """See ``JanusRoom``."""
        found = (track_of(each, Medium.VIDEO) for each in sorted(self._publishing))
        return tuple(dict.fromkeys(track for track in found if track is not None))

    async def watch(self, handle: Handle) -> None:
        """See ``JanusRoom``."""
        joined = await handle.ask(
            {
                "request": "join",
                "ptype": "publisher",
                "room": self.room,
                "id": f"monitor~{secrets.token_hex(4)}",
            }
        )
        self._publishing = frozenset()
        self.hear(joined)

    def hear(self, data: Json) -> RoomChange:
        """See ``JanusRoom``."""
        before = self._publishing
        for publisher in _list(data.get("publishers")):
            name = str(publisher.get("id"))
            self._publishing = self._publishing - {name} | ({name} if _films(publisher) else set())
        for key in ("unpublished", "leaving", "kicked"):
            self._publishing -= {str(data.get(key))}
        put_out = data.get("leaving") == "ok"  # said of a publisher to itself
        if put_out or data.get("videoroom") == "destroyed":
            return RoomChange.GONE
        return RoomChange.TRACKS if before != self._publishing else RoomChange.NOTHING

    async def record(self, handle: Handle, capture: CaptureRef) -> int:
        """See ``JanusRoom``."""
        await self._switch(handle, on=False)  # while it is on, another folder would count later
        folder = self._settings.folder
        key_frames = {"new_fir_freq": _KEY_FRAMES_AT_FIRST_S}
        await handle.ask(self._secured("edit", new_rec_dir=folder.at_janus(capture), **key_frames))
        started_ms = time.time_ns() // 1_000_000
        await self._switch(handle, on=True)
        missing = await self._without_file(capture)
        if missing:
            await self._switch_off(handle)
            raise NotWritten(
                f"Janus opened no file for {', '.join(sorted(missing))} in "
                f"{folder.at_janus(capture)}, which we see as {folder.of(capture)}: it may not be "
                "writable for Janus, be among its protected_folders, or not be the same folder"
            )
        return started_ms

    async def go_on(self, handle: Handle, capture: CaptureRef) -> None:
        """See ``JanusRoom``; what is being written already just goes on."""
        folder = self._settings.folder.at_janus(capture)
        await handle.ask(self._secured("edit", new_rec_dir=folder))
        await self._switch(handle, on=True)

    async def run_in(self, handle: Handle) -> None:
        """See ``JanusRoom``."""
        await handle.ask(self._secured("edit", new_fir_freq=_KEY_FRAMES_S))

    async def cease(self, handle: Handle, capture: CaptureRef | None) -> None:
        """See ``JanusRoom``; the files are closed when Janus answers."""
        await self._switch_off(handle)
        if capture is not None:
            with suppress(OSError):  # a folder that cannot be read is told of by ``files``
                folder = self._settings.folder
                await folder.work(remove_sound, folder.of(capture), capture.room)

    def is_recorded(self, listed: Json, capture: CaptureRef) -> bool:
        """See ``JanusRoom``."""
        folder = self._settings.folder.at_janus(capture)
        return super().is_recorded(listed, capture) and listed.get("rec_dir") == folder

    def _read(self, capture: CaptureRef, *, running: bool) -> tuple[RawFile, ...]:
        below = f"/{capture.room}/{capture.segment}"
        publishing = self._publishing if running else frozenset()
        folder = self._settings.folder.of(capture)
        if not running:  # one that was lost has seen no ``cease``
            remove_sound(folder, capture.room)
        return tapes(folder, capture.room, below, open_for=publishing)

    @property
    def _made_as(self) -> Json:
        settings = self._settings
        return {
            "is_private": True,
            "lock_record": True,  # a publisher cannot stop what is recorded of it
            "publishers": settings.publishers,
            "bitrate": settings.bitrate,
            "videocodec": ",".join(settings.video_codecs),
        }

    async def _without_file(self, capture: CaptureRef) -> frozenset[str]:
        """Publishers of ours for whom no file is open after a while."""
        folder = self._settings.folder
        give_up_s = time.monotonic() + _OPENED_WITHIN_S
        while True:
            written: frozenset[str] = frozenset()
            with suppress(OSError):
                written = await folder.work(publishers_in, folder.of(capture), capture.room)
            ours = {each for each in self._publishing if track_of(each, Medium.VIDEO)}
            missing = frozenset(ours - written)
            if not missing or time.monotonic() > give_up_s:
                return missing
            await asyncio.sleep(_LOOK_S)


def _films(publisher: Json) -> bool:
    """Whether it sends pictures."""
    return any(
        stream.get("type") == "video" and stream.get("disabled") is not True
        for stream in _list(publisher.get("streams"))
    )


def _list(value: object) -> list[Json]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
