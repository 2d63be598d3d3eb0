"""The folder that Asterisk writes its mixes to, seen from both ends.

A mix is unreadable while it is written: its header says 0 until it is closed, and what lies behind
comes in lumps of 32 KiB, one every two seconds. So a file is whole once its header is true, and
being written while it grows.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from struct import Struct
from typing import Final

from sfu_wrapper.formats.wav import HEADER_BYTES
from sfu_wrapper.model.errors import Misconfigured
from sfu_wrapper.model.ids import ConfbridgeId, SegmentNo

BYTES_PER_S: Final = 16_000  # mono, 16 bit, 8000 Hz
GROWS_WITHIN_S: Final = 3.0
_LOOK_S: Final = 0.01
_SIZES: Final = Struct("<4sI32sI")  # "RIFF", size, …, size of the sound
_FURTHER_LIMIT: Final = 10_000  # files of one segment
_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_FOLDER: Final = re.compile(r"/[^,\r\n\x00]*")


class Fate(StrEnum):
    """What has become of a file."""

    MISSING = "missing"
    WHOLE = "whole"  # closed by Asterisk
    WRITTEN = "written"  # it grows
    ABANDONED = "abandoned"  # neither closed nor growing


@dataclass(frozen=True, slots=True)
class Folder:
    """Names and files of mixes.

    ours: the folder as this process sees it; None where it does not. theirs: as Asterisk does.

    Raises:
        Misconfigured: Asterisk would take the folder's name for something else.
    """

    ours: Path | None
    theirs: str

    def __post_init__(self) -> None:
        # Asterisk takes "file,options,command" for a file, and carries the command out.
        if not _FOLDER.fullmatch(self.theirs) or ".." in Path(self.theirs).parts:
            raise Misconfigured(
                f"asterisk.audioPath = {self.theirs}: must be an absolute path "
                "without commas and without .."
            )

    def record_file(self, name: str) -> str:
        """What to call that file towards Asterisk."""
        return f"{self.theirs.rstrip('/')}/{name}"

    def fresh_name(
        self, conference: ConfbridgeId, segment: SegmentNo, taken: set[str]
    ) -> str | None:
        """The next name of that segment under which nothing stands: Asterisk would append to it.

        None where the conference's id is none that may stand in a file name.
        """
        if not is_safe(conference):
            return None
        names = _names(conference, segment)
        return next((name for name in names if name not in taken and not self.holds(name)), None)

    def found(self, conference: ConfbridgeId, segment: SegmentNo) -> tuple[str, ...]:
        """The files of that segment that are there, in order."""
        if self.ours is None or not is_safe(conference):
            return ()
        found = []
        for name in _names(conference, segment):
            if not self.holds(name):
                break
            found.append(name)
        return tuple(found)

    def holds(self, name: str) -> bool:
        """Whether a file of that name can be seen."""
        try:
            return self.ours is not None and self._path(name).is_file()
        except OSError:  # the folder is closed to us, or its server is gone
            return False

    def sound_ms(self, name: str) -> int:
        """How much sound the file holds."""
        return max(0, self._size(name) - HEADER_BYTES) * 1000 // BYTES_PER_S

    def began_ms(self, name: str) -> int:
        """When its sound begins, as far as it tells; epoch ms."""
        return max(0, self.written_ms(name) - self.sound_ms(name))

    def ended_ms(self, name: str, began_ms: int) -> int:
        """When its sound ends, given when it began; epoch ms."""
        return began_ms + self.sound_ms(name)

    def written_ms(self, name: str) -> int:
        """When it was last written to, epoch ms; 0 where that cannot be seen."""
        try:
            return (self._path(name).stat().st_mtime_ns // 1_000_000) if self.ours else 0
        except OSError:
            return 0

    def is_whole(self, name: str) -> bool:
        """Whether Asterisk has closed it. Nothing speaks against it where it cannot be seen."""
        if self.ours is None:
            return True
        try:
            with self._path(name).open("rb") as file:
                head = file.read(HEADER_BYTES)
        except OSError:
            return False
        if len(head) < HEADER_BYTES:
            return False
        _, riff, _, sound = _SIZES.unpack(head)
        size = self._size(name)
        return bool(riff == size - 8 and sound == size - HEADER_BYTES)

    async def becomes_whole(self, name: str, within_s: float) -> bool:
        """Wait until it is closed: Asterisk says so a few ms too early."""
        return await _until(lambda: self.is_whole(name), within_s)

    async def appears(self, name: str, within_s: float) -> bool:
        """Wait until it is there. Nothing speaks against it where the folder cannot be seen."""
        return self.ours is None or await _until(lambda: self.holds(name), within_s)

    async def fate(self, name: str) -> Fate:
        """Look for as long as it takes to be sure. Where nothing is seen, it is believed in."""
        if self.ours is None:
            return Fate.WRITTEN
        if not self.holds(name):
            return Fate.MISSING if self._is_known_missing(name) else Fate.ABANDONED
        size = self._size(name)
        await _until(lambda: self.is_whole(name) or self._size(name) > size, GROWS_WITHIN_S)
        if self.is_whole(name):
            return Fate.WHOLE
        return Fate.WRITTEN if self._size(name) > size else Fate.ABANDONED

    def _is_known_missing(self, name: str) -> bool:
        try:
            self._path(name).stat()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True  # no file, whatever else it is

    def _path(self, name: str) -> Path:
        return (self.ours or Path()) / name

    def _size(self, name: str) -> int:
        try:
            return self._path(name).stat().st_size
        except OSError:
            return 0


def is_safe(conference: str) -> bool:
    """Whether it may stand in a file name and in a request."""
    return _ID.fullmatch(conference) is not None


def _names(conference: ConfbridgeId, segment: SegmentNo) -> Iterator[str]:
    """The first is what one expects; others where the conference began again in the segment."""
    yield f"recording-{conference}-{segment}.wav"
    for number in range(2, _FURTHER_LIMIT):
        yield f"recording-{conference}-{segment}.{number}.wav"


async def _until(true: Callable[[], bool], within_s: float) -> bool:
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while not true():
        if loop.time() >= end:
            return False
        await asyncio.sleep(_LOOK_S)
    return True
