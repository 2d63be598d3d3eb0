"""Folder for Asterisk's mixes, with its path as we and as Asterisk see it.

The state of a mix is read from its file. Until Asterisk closes it, the lengths in its header are 0,
and data arrives in blocks of 32 KiB, one every two seconds. So a file is whole once its header is
true, and being written while it grows. Each room has its own folder, so a room that reuses the
conference of an earlier one neither writes to nor adopts the earlier room's files.

The folder may be on another machine and hang. Every file operation runs in a thread with a
deadline; one that misses it counts as failed.
"""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import takewhile
from pathlib import Path
from stat import S_ISREG
from struct import Struct
from typing import Final, TypeVar

from sfu_wrapper.adapters.os.beneath import UnsafeFile, open_plain
from sfu_wrapper.adapters.os.threads import BoundedThreadPool
from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.core.media_plane import CaptureRef
from sfu_wrapper.formats.wav import HEADER_BYTES
from sfu_wrapper.model.errors import Misconfigured, Unavailable
from sfu_wrapper.model.identity import ConfbridgeId

BYTES_PER_S: Final = 16_000  # mono, 16 bit, 8000 Hz
GROWS_WITHIN_S: Final = 3.0
LOOK_WITHIN_S: Final = 2.0
_LOOKS: Final = 32  # concurrent file operations
_BACKOFF: Final = Backoff(0.01, 0.08)  # between checks of one file
_SIZES: Final = Struct("<4sI32sI")  # "RIFF", size, …, size of the audio
_FURTHER_LIMIT: Final = 10_000  # files of one segment
_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_FOLDER: Final = re.compile(r"/[^,\r\n\x00]*")

T = TypeVar("T")


class Fate(StrEnum):
    """State of a file."""

    MISSING = "missing"
    WHOLE = "whole"  # closed by Asterisk
    WRITTEN = "written"  # it grows
    ABANDONED = "abandoned"  # neither closed nor growing


@dataclass(frozen=True, slots=True)
class _State:
    """State of a file at one moment; ``size`` in bytes."""

    fate: Fate
    size: int


_UNSEEN: Final = _State(Fate.ABANDONED, 0)


@dataclass(frozen=True, slots=True)
class Size:
    """Size of a file in bytes; ``whole`` is True once Asterisk has closed it."""

    size: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Folder:
    """Names and files of mixes.

    Attributes:
        ours: Path as this process sees it; None if the folder is not shared.
        theirs: Path as Asterisk sees it.

    Raises:
        Misconfigured: Asterisk would misread the path.
    """

    ours: Path | None
    theirs: str
    _threads: BoundedThreadPool = field(
        default_factory=lambda: BoundedThreadPool(_LOOKS), init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        # Asterisk reads "file,options,command" and executes the command.
        if not _FOLDER.fullmatch(self.theirs) or ".." in Path(self.theirs).parts:
            raise Misconfigured(
                f"asterisk.audioPath = {self.theirs}: must be an absolute path "
                "without commas and without .."
            )

    def record_file(self, name: str) -> str:
        """Return the path of a file as Asterisk sees it."""
        return f"{self.theirs.rstrip('/')}/{name}"

    async def fresh_name(
        self, capture: CaptureRef, conference: ConfbridgeId, taken: set[str]
    ) -> str | None:
        """Return the next unused name for a capture; Asterisk would append to an existing file.

        Args:
            capture: The capture.
            conference: Name of the conference, which is part of the file name.
            taken: Names that are used already.

        Returns:
            None if the id of the room or conference is not allowed in a file name.

        Raises:
            Unavailable: The folder does not answer, so used names are unknown.
        """
        if not is_safe(conference) or not is_safe(capture.room):
            return None
        names = (name for name in _names(capture, conference) if name not in taken)
        ours = self.ours
        if ours is None:
            return next(names, None)
        free = (name for name in names if not _is_taken(ours / name))
        try:
            return await self._threads.run(LOOK_WITHIN_S, next, free, None)
        except TimeoutError:
            raise Unavailable(f"{ours} does not answer: check its file server") from None

    async def found(self, capture: CaptureRef, conference: ConfbridgeId) -> tuple[str, ...]:
        """Return the existing files of a capture, in order."""
        ours = self.ours
        if ours is None or not is_safe(conference) or not is_safe(capture.room):
            return ()
        there = takewhile(lambda name: _is_file(ours / name), _names(capture, conference))
        return await self._run(lambda: tuple(there), ())

    async def holds(self, name: str) -> bool:
        """Return True if a file of that name is visible."""
        return await self._check_file(name, _is_file, otherwise=False)

    async def audio_ms(self, name: str) -> int:
        """Return the duration of the audio in a file, ms."""
        return await self._check_file(name, _audio_ms, otherwise=0)

    async def began_ms(self, name: str) -> int:
        """Return the start of a file's audio by size and last change, epoch ms; 0 if unknown."""
        return await self._check_file(name, _began_ms, otherwise=0)

    async def ended_ms(self, name: str, began_ms: int) -> int:
        """Return the end of a file's audio, epoch ms, given its start."""
        return began_ms + await self.audio_ms(name)

    async def becomes_whole(self, name: str, within_s: float) -> bool:
        """Wait until Asterisk has closed a file; its event comes a few ms early.

        Returns True at once if the folder is not shared.
        """

        async def is_whole() -> bool:
            state = await self._check_file(name, _state, otherwise=None)
            return state is not None and state.fate is Fate.WHOLE

        return self.ours is None or await _until(is_whole, within_s)

    async def appears(self, name: str, within_s: float) -> bool:
        """Wait until a file exists. Returns True at once if the folder is not shared."""
        return self.ours is None or await _until(lambda: self.holds(name), within_s)

    async def sizes(self, names: Iterable[str]) -> dict[str, Size]:
        """Return the sizes of files, read in one operation; empty if the folder is not shared."""
        ours = self.ours
        if ours is None:
            return {}
        return await self._run(lambda: dict(_sizes(ours, names)), {})

    async def fate(self, name: str) -> Fate:
        """Return the state of a file, once it is certain; WRITTEN if the folder is not shared."""
        if self.ours is None:
            return Fate.WRITTEN
        first = await self._check_file(name, _state, otherwise=_UNSEEN)
        last = first

        async def is_sure() -> bool:
            nonlocal last
            last = await self._check_file(name, _state, otherwise=_UNSEEN)
            return last.fate is not Fate.ABANDONED or last.size > first.size

        if first.fate is not Fate.ABANDONED or first is _UNSEEN:
            return first.fate
        await _until(is_sure, GROWS_WITHIN_S)
        grows = last.fate is Fate.ABANDONED and last.size > first.size
        return Fate.WRITTEN if grows else last.fate

    async def _check_file(self, name: str, check: Callable[[Path], T], *, otherwise: T) -> T:
        if self.ours is None:
            return otherwise
        return await self._run(partial(check, self.ours / name), otherwise)

    async def _run(self, check: Callable[[], T], otherwise: T) -> T:
        """Run a file operation; return ``otherwise`` if it fails or hangs."""
        with suppress(OSError):
            return await self._threads.run(LOOK_WITHIN_S, check)
        return otherwise


def is_safe(conference: str) -> bool:
    """Return True if the id is allowed in a file name and in a request."""
    return _ID.fullmatch(conference) is not None


def _names(capture: CaptureRef, conference: ConfbridgeId) -> Iterator[str]:
    """Yield the regular name, then names for further files of the same segment."""
    stem = f"{capture.room}/recording-{conference}-{capture.segment}"
    yield f"{stem}.wav"
    for number in range(2, _FURTHER_LIMIT):
        yield f"{stem}.{number}.wav"


def _sizes(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, Size]]:
    for name in names:
        with suppress(OSError):
            state = _state(folder / name)
            yield name, Size(state.size, state.fate is Fate.WHOLE)


def _is_taken(path: Path) -> bool:
    """Return True if the path exists, even as a broken link: Asterisk would follow it."""
    return os.path.lexists(path)


def _is_file(path: Path) -> bool:
    with suppress(OSError):
        return S_ISREG(path.lstat().st_mode)
    return False


def _audio_ms(path: Path) -> int:
    return _length_ms(path.lstat().st_size)


def _began_ms(path: Path) -> int:
    seen = path.lstat()
    return max(0, seen.st_mtime_ns // 1_000_000 - _length_ms(seen.st_size))


def _length_ms(size: int) -> int:
    return max(0, size - HEADER_BYTES) * 1000 // BYTES_PER_S


def _state(path: Path) -> _State:
    """Return the state of a file; an open one counts as abandoned until it is seen to grow."""
    try:
        with os.fdopen(open_plain(path), "rb") as file:
            head, size = file.read(HEADER_BYTES), os.fstat(file.fileno()).st_size
    except (FileNotFoundError, UnsafeFile):
        return _State(Fate.MISSING, 0)
    return _State(Fate.WHOLE if _is_true(head, size) else Fate.ABANDONED, size)


def _is_true(head: bytes, size: int) -> bool:
    """Return True if the lengths in the header match the size of the file."""
    if len(head) < HEADER_BYTES:
        return False
    _, riff, _, audio = _SIZES.unpack(head)
    return bool(riff == size - 8 and audio == size - HEADER_BYTES)


async def _until(true: Callable[[], Awaitable[bool]], within_s: float) -> bool:
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    pauses_s = iter(_BACKOFF)
    while not await true():
        if loop.time() >= end:
            return False
        await asyncio.sleep(next(pauses_s))
    return True
