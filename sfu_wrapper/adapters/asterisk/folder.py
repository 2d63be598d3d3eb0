"""The folder that Asterisk writes its mixes to, seen from both ends.

A mix is unreadable while it is written: its header says 0 until it is closed, and what lies behind
comes in lumps of 32 KiB, one every two seconds. So a file is whole once its header is true, and
being written while it grows. Each room has a folder, so that one that has the conference of an
earlier room never writes to that room's files, nor takes them for its own.

The folder may lie on another machine, so that a look at it takes as long as that likes: each is
taken aside, with a deadline, and one that does not come in time counts as one that was refused.
"""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import chain, repeat, takewhile
from pathlib import Path
from stat import S_ISREG
from struct import Struct
from typing import Final, TypeVar

from sfu_wrapper.adapters.os.beneath import UnsafeFile, open_plain
from sfu_wrapper.adapters.os.threads import BoundedThreadPool
from sfu_wrapper.core.facts import CaptureRef
from sfu_wrapper.formats.wav import HEADER_BYTES
from sfu_wrapper.model.errors import Misconfigured, Unavailable
from sfu_wrapper.model.ids import ConfbridgeId

BYTES_PER_S: Final = 16_000  # mono, 16 bit, 8000 Hz
GROWS_WITHIN_S: Final = 3.0
LOOK_WITHIN_S: Final = 2.0
_LOOKS: Final = 32  # at a time
_PAUSES_S: Final = (0.01, 0.02, 0.04, 0.08)  # between looks at one file
_SIZES: Final = Struct("<4sI32sI")  # "RIFF", size, …, size of the sound
_FURTHER_LIMIT: Final = 10_000  # files of one segment
_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_FOLDER: Final = re.compile(r"/[^,\r\n\x00]*")

T = TypeVar("T")


class Fate(StrEnum):
    """What has become of a file."""

    MISSING = "missing"
    WHOLE = "whole"  # closed by Asterisk
    WRITTEN = "written"  # it grows
    ABANDONED = "abandoned"  # neither closed nor growing


@dataclass(frozen=True, slots=True)
class _State:
    """A file at one moment; size in bytes."""

    fate: Fate
    size: int


_UNSEEN: Final = _State(Fate.ABANDONED, 0)


@dataclass(frozen=True, slots=True)
class Size:
    """How much a file holds; bytes. whole: Asterisk has closed it."""

    size: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Folder:
    """Names and files of mixes.

    ours: the folder as this process sees it; None where it does not. theirs: as Asterisk does.

    Raises:
        Misconfigured: Asterisk would take the folder's name for something else.
    """

    ours: Path | None
    theirs: str
    _lane: BoundedThreadPool = field(
        default_factory=lambda: BoundedThreadPool(_LOOKS), init=False, repr=False, compare=False
    )

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

    async def fresh_name(
        self, capture: CaptureRef, conference: ConfbridgeId, taken: set[str]
    ) -> str | None:
        """The next name for that capture under which nothing stands: Asterisk would append to it.

        None where the room's or the conference's id is none that may stand in a file name.

        Raises:
            Unavailable: nobody knows what stands there, since the folder does not answer.
        """
        if not is_safe(conference) or not is_safe(capture.room):
            return None
        names = (name for name in _names(capture, conference) if name not in taken)
        ours = self.ours
        if ours is None:
            return next(names, None)
        free = (name for name in names if not _is_taken(ours / name))
        try:
            return await self._lane.run(LOOK_WITHIN_S, next, free, None)
        except TimeoutError:
            raise Unavailable(f"{ours} does not answer: is its file server away?") from None

    async def found(self, capture: CaptureRef, conference: ConfbridgeId) -> tuple[str, ...]:
        """The files of that capture that are there, in order."""
        ours = self.ours
        if ours is None or not is_safe(conference) or not is_safe(capture.room):
            return ()
        there = takewhile(lambda name: _is_there(ours / name), _names(capture, conference))
        return await self._look(lambda: tuple(there), ())

    async def holds(self, name: str) -> bool:
        """Whether a file of that name can be seen."""
        return await self._look_at(name, _is_there, otherwise=False)

    async def sound_ms(self, name: str) -> int:
        """How much sound the file holds."""
        return await self._look_at(name, _sound_ms, otherwise=0)

    async def began_ms(self, name: str) -> int:
        """When its sound begins, as far as it tells; epoch ms, 0 where that cannot be seen."""
        return await self._look_at(name, _began_ms, otherwise=0)

    async def ended_ms(self, name: str, began_ms: int) -> int:
        """When its sound ends, given when it began; epoch ms."""
        return began_ms + await self.sound_ms(name)

    async def becomes_whole(self, name: str, within_s: float) -> bool:
        """Wait until Asterisk has closed it, which it says a few ms too early.

        Nothing speaks against it where the folder cannot be seen.
        """

        async def is_whole() -> bool:
            state = await self._look_at(name, _state, otherwise=None)
            return state is not None and state.fate is Fate.WHOLE

        return self.ours is None or await _until(is_whole, within_s)

    async def appears(self, name: str, within_s: float) -> bool:
        """Wait until it is there. Nothing speaks against it where the folder cannot be seen."""
        return self.ours is None or await _until(lambda: self.holds(name), within_s)

    async def sizes(self, names: Iterable[str]) -> dict[str, Size]:
        """How much each of them holds, read in one go; nothing where that cannot be seen."""
        ours = self.ours
        if ours is None:
            return {}
        return await self._look(lambda: dict(_sizes(ours, names)), {})

    async def fate(self, name: str) -> Fate:
        """Look for as long as it takes to be sure. Where nothing is seen, it is believed in."""
        if self.ours is None:
            return Fate.WRITTEN
        first = await self._look_at(name, _state, otherwise=_UNSEEN)
        last = first

        async def is_sure() -> bool:
            nonlocal last
            last = await self._look_at(name, _state, otherwise=_UNSEEN)
            return last.fate is not Fate.ABANDONED or last.size > first.size

        if first.fate is not Fate.ABANDONED or first is _UNSEEN:
            return first.fate
        await _until(is_sure, GROWS_WITHIN_S)
        grows = last.fate is Fate.ABANDONED and last.size > first.size
        return Fate.WRITTEN if grows else last.fate

    async def _look_at(self, name: str, look: Callable[[Path], T], *, otherwise: T) -> T:
        if self.ours is None:
            return otherwise
        return await self._look(partial(look, self.ours / name), otherwise)

    async def _look(self, look: Callable[[], T], otherwise: T) -> T:
        """``otherwise``: where the folder is closed to us, or its server is gone or hangs."""
        with suppress(OSError):
            return await self._lane.run(LOOK_WITHIN_S, look)
        return otherwise


def is_safe(conference: str) -> bool:
    """Whether it may stand in a file name and in a request."""
    return _ID.fullmatch(conference) is not None


def _names(capture: CaptureRef, conference: ConfbridgeId) -> Iterator[str]:
    """The first is what one expects; others where the conference began again in the segment."""
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
    """Also by a link that leads nowhere: Asterisk would write where it leads."""
    return os.path.lexists(path)


def _is_there(path: Path) -> bool:
    with suppress(OSError):
        return S_ISREG(path.lstat().st_mode)
    return False


def _sound_ms(path: Path) -> int:
    return _length_ms(path.lstat().st_size)


def _began_ms(path: Path) -> int:
    seen = path.lstat()
    return max(0, seen.st_mtime_ns // 1_000_000 - _length_ms(seen.st_size))


def _length_ms(size: int) -> int:
    return max(0, size - HEADER_BYTES) * 1000 // BYTES_PER_S


def _state(path: Path) -> _State:
    """One that is not closed counts as abandoned until it is seen to grow."""
    try:
        with os.fdopen(open_plain(path), "rb") as file:
            head, size = file.read(HEADER_BYTES), os.fstat(file.fileno()).st_size
    except (FileNotFoundError, UnsafeFile):
        return _State(Fate.MISSING, 0)
    return _State(Fate.WHOLE if _is_true(head, size) else Fate.ABANDONED, size)


def _is_true(head: bytes, size: int) -> bool:
    """Whether the header speaks of a file of this size."""
    if len(head) < HEADER_BYTES:
        return False
    _, riff, _, sound = _SIZES.unpack(head)
    return bool(riff == size - 8 and sound == size - HEADER_BYTES)


async def _until(true: Callable[[], Awaitable[bool]], within_s: float) -> bool:
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    pauses_s = chain(_PAUSES_S, repeat(_PAUSES_S[-1]))
    while not await true():
        if loop.time() >= end:
            return False
        await asyncio.sleep(next(pauses_s))
    return True
