"""VideoRoom: cameras and screens, one file per publisher, one folder per segment.

Janus names the files itself and accepts a recording even if it can open no file, so the folder is
read to find the files. Janus also records audio of publishers that send it to the VideoRoom;
``stop_recording`` removes those files.
"""

import asyncio
import logging
import secrets
import time
from contextlib import suppress
from typing import Final

from sfu_wrapper.adapters.janus.files import (
    Publishing,
    clock_ahead_ms,
    finish_names,
    publishers_in,
    remove_audio,
    video_files,
)
from sfu_wrapper.adapters.janus.room import JanusRoom, NotWritten, RoomChange
from sfu_wrapper.adapters.janus.session import VIDEO_ROOM, Handle, Json
from sfu_wrapper.adapters.janus.settings import JanusSettings
from sfu_wrapper.core.media_plane import CaptureRef
from sfu_wrapper.core.publisher_ids import track_of
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.model.media import Medium, RawFile, Track

log = logging.getLogger(__name__)

_OPENED_WITHIN_S: Final = 1.0
_POLL_S: Final = 0.02
_KEY_FRAMES_AT_FIRST_S: Final = 1
"""Interval of key frame requests during the warm-up. Janus requests a key frame when it opens a
file, but browsers ignore that right after another one: the file would not be decodable."""
_KEY_FRAMES_S: Final = 10
"""Interval afterwards: without subscribers no client requests a key frame after packet loss."""


class VideoRoom(JanusRoom):
    """``JanusRoom`` of the VideoRoom plugin."""

    plugin = VIDEO_ROOM
    medium = Medium.VIDEO

    def __init__(self, room: str, settings: JanusSettings, uuid: RoomUuid | None = None) -> None:
        super().__init__(room, settings, uuid)
        self._publishing = frozenset[str]()
        self._stopped: frozenset[str] | None = None  # published when the recording stopped
        self._ended_ms: dict[str, list[int]] = {}  # unpublished during the recording
        self._ahead_ms = 0  # clock of Janus, at the begin of the recording

    @property
    def tracks(self) -> tuple[Track, ...]:
        """See ``JanusRoom``."""
        found = (track_of(each, Medium.VIDEO) for each in sorted(self._publishing))
        return tuple(dict.fromkeys(track for track in found if track is not None))

    async def watch(self, handle: Handle) -> None:
        """See ``JanusRoom``."""
        joined = await handle.request(
            {
                "request": "join",
                "ptype": "publisher",
                "room": self.room,
                "id": f"monitor~{secrets.token_hex(4)}",
            }
        )
        self._publishing = frozenset()
        self.handle_event(joined)

    def handle_event(self, data: Json) -> RoomChange:
        """See ``JanusRoom``."""
        before = self._publishing
        for publisher in _list(data.get("publishers")):
            name = str(publisher.get("id"))
            self._publishing = self._publishing - {name} | (
                {name} if _sends_video(publisher) else set()
            )
        for key in ("unpublished", "leaving", "kicked"):
            self._publishing -= {str(data.get(key))}
        for name in before - self._publishing:
            self._ended_ms.setdefault(name, []).append(time.time_ns() // 1_000_000)
        removed = data.get("leaving") == "ok"  # Janus informs a publisher of its own removal
        if removed or data.get("videoroom") == "destroyed":
            return RoomChange.GONE
        return RoomChange.TRACKS if before != self._publishing else RoomChange.NOTHING

    async def record(self, handle: Handle, capture: CaptureRef) -> int:
        """See ``JanusRoom``."""
        await self._switch(handle, on=False)  # Janus takes a new folder only while recording is off
        folder = self._settings.folder
        key_frames = {"new_fir_freq": _KEY_FRAMES_AT_FIRST_S}
        await handle.request(
            self._secured("edit", new_rec_dir=folder.at_janus(capture), **key_frames)
        )
        started_ms = time.time_ns() // 1_000_000
        self._stopped, self._ended_ms, self._ahead_ms = None, {}, 0
        await self._switch(handle, on=True)
        at_first = self._publishing
        missing = await self._publishers_without_file(capture)
        if missing:
            await self._switch_off(handle)
            raise NotWritten(
                f"Janus opened no file for {', '.join(sorted(missing))} in "
                f"{folder.at_janus(capture)}, which the controller sees as {folder.of(capture)}: "
                "check that Janus can write there, that protected_folders does not name it, and "
                "that both are the same folder"
            )
        await self._compare_clocks(capture, at_first, started_ms)
        return started_ms

    async def _compare_clocks(
        self, capture: CaptureRef, publishers: frozenset[str], began_ms: int
    ) -> None:
        folder = self._settings.folder
        with suppress(OSError):  # ``files`` reports a folder that cannot be read
            self._ahead_ms = await folder.work(
                clock_ahead_ms, folder.of(capture), capture.room, publishers, began_ms
            )
        if self._ahead_ms:
            off = {"room": capture.room, "seconds": self._ahead_ms / 1000}
            log.warning("janus.clockDiffers", extra=off)

    async def continue_recording(self, handle: Handle, capture: CaptureRef) -> None:
        """See ``JanusRoom``; Janus keeps writing files that are open."""
        folder = self._settings.folder.at_janus(capture)
        await handle.request(self._secured("edit", new_rec_dir=folder))
        self._stopped = None
        await self._switch(handle, on=True)

    async def finish_warm_up(self, handle: Handle) -> None:
        """See ``JanusRoom``."""
        await handle.request(self._secured("edit", new_fir_freq=_KEY_FRAMES_S))

    async def stop_recording(self, handle: Handle, capture: CaptureRef | None) -> None:
        """See ``JanusRoom``; the files are closed when Janus answers."""
        await self._switch_off(handle)
        if self._stopped is None:  # a stop may be repeated
            self._stopped = self._publishing
        if capture is not None:
            with suppress(OSError):  # ``files`` reports a folder that cannot be read
                folder = self._settings.folder
                await folder.work(remove_audio, folder.of(capture), capture.room)

    def is_recorded(self, listed: Json, capture: CaptureRef) -> bool:
        """See ``JanusRoom``."""
        folder = self._settings.folder.at_janus(capture)
        return super().is_recorded(listed, capture) and listed.get("rec_dir") == folder

    def _read(self, capture: CaptureRef, *, running: bool) -> tuple[RawFile, ...]:
        below = f"/{capture.room}/{capture.segment}"
        publishing = Publishing(
            open=self._publishing if running else frozenset(),
            stopped=(not running and self._stopped) or frozenset(),
            ended_ms=self._ended_ms,
            over=not running,
            ahead_ms=self._ahead_ms,
        )
        folder = self._settings.folder.of(capture)
        if not running:  # a lost capture never went through ``stop_recording``
            remove_audio(folder, capture.room)
            finish_names(folder)
        return video_files(folder, capture.room, below, publishing)

    @property
    def _room_properties(self) -> Json:
        settings = self._settings
        return {
            "is_private": True,
            "lock_record": True,  # publishers cannot switch their own recording off
            "publishers": settings.publishers,
            "bitrate": settings.bitrate,
            "videocodec": ",".join(settings.video_codecs),
        }

    async def _publishers_without_file(self, capture: CaptureRef) -> frozenset[str]:
        """Return our publishers that still have no file after ``_OPENED_WITHIN_S``."""
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
            await asyncio.sleep(_POLL_S)


def _sends_video(publisher: Json) -> bool:
    """Return True if the publisher sends video."""
    return any(
        stream.get("type") == "video" and stream.get("disabled") is not True
        for stream in _list(publisher.get("streams"))
    )


def _list(value: object) -> list[Json]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
