"""The files of a VideoRoom: whose they are says their name, how long they run their content.

    videoroom-<room>-user-<publisher>-<epoch µs>-<audio|video|data>-<m-line>.mjr

The header has the time of the first packet, each frame its distance from that. A file of 8 bytes
was opened for a publisher of whom no packet came.
"""

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sfu_wrapper.adapters.os.beneath import UnsafeFile, open_plain
from sfu_wrapper.core.publishers import track_of
from sfu_wrapper.formats.mjr import Reader, last_offset_ms
from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.ids import RoomUuid
from sfu_wrapper.model.media import Medium, RawFile, Track

log = logging.getLogger(__name__)

_REST: Final = re.compile(r"(.+)-(\d{1,19})-(audio|video|data)-(\d{1,4})\.mjr")
_HEAD_BYTES: Final = 65_536 + 10  # no header is longer
_TAIL_BYTES: Final = 262_144  # several packets of the largest size


@dataclass(frozen=True, slots=True)
class _VideoFile:
    """A file with pictures. opened_us: when Janus opened it."""

    path: Path
    publisher: str
    track: Track
    opened_us: int
    line: int


def tapes(
    folder: Path, room: RoomUuid, below: str, *, open_for: frozenset[str]
) -> tuple[RawFile, ...]:
    """Every file with pictures of a room in a folder, in the order in which they were opened.

    Args:
        below: what stands before a name in an event.
        open_for: publishers whose last file is still being written.

    Raises:
        OSError: it cannot be read.
    """
    found = _found(folder, room)
    last = {(each.publisher, each.line): each for each in found}
    still_open = {each.path for each in last.values() if each.publisher in open_for}
    return tuple(_raw_file(each, below, is_open=each.path in still_open) for each in found)


def publishers_in(folder: Path, room: RoomUuid) -> frozenset[str]:
    """Whose pictures have a file. Raises OSError."""
    return frozenset(each.publisher for each in _found(folder, room))


def remove_sound(folder: Path, room: RoomUuid) -> None:
    """Only pictures are recorded here: what else publishers sent along is not kept."""
    for name in _names(folder):
        match = _match(name, room)
        if match is not None and match[3] != "video":
            _remove(folder / name)


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        log.warning("janus.soundKept", extra={"file": path.name, "reason": error.strerror})


def _found(folder: Path, room: RoomUuid) -> list[_VideoFile]:
    return sorted(_tapes(folder, room), key=lambda tape: (tape.opened_us, tape.path))


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:  # Janus makes it for the first file
        return []


def _match(name: str, room: RoomUuid) -> re.Match[str] | None:
    prefix = f"videoroom-{room}-user-"
    return _REST.fullmatch(name.removeprefix(prefix)) if name.startswith(prefix) else None


def _tapes(folder: Path, room: RoomUuid) -> Iterator[_VideoFile]:
    for name in _names(folder):
        match = _match(name, room)
        if match is None or match[3] != "video":
            continue
        track = track_of(match[1], Medium.VIDEO)
        if track is not None:
            yield _VideoFile(folder / name, match[1], track, int(match[2]), int(match[4]))


def _raw_file(tape: _VideoFile, below: str, *, is_open: bool) -> RawFile:
    file = RawFile(
        f"{below}/{tape.path.name}",
        tape.track.stream,
        tape.opened_us // 1000,
        user=tape.track.user,
    )
    return file if is_open else _measured(tape.path, file)


def _measured(path: Path, file: RawFile) -> RawFile:
    """With the times of its first and last packet."""
    try:
        number = open_plain(path)
    except UnsafeFile:  # for the recording service to refuse
        return replace(file, stopped_ms=file.started_ms)
    with os.fdopen(number, "rb") as data:
        head = data.read(_HEAD_BYTES)
        size = data.seek(0, os.SEEK_END)
        data.seek(max(0, size - _TAIL_BYTES))
        tail = data.read()
    try:
        header = Reader(head).header
    except Malformed:  # damaged: for the recording service to judge
        return replace(file, stopped_ms=file.started_ms)
    last_ms = last_offset_ms(tail)
    if header is None or last_ms is None:
        return replace(file, stopped_ms=file.started_ms, holds_media=False)
    started_ms = header.started_us // 1000
    return replace(file, started_ms=started_ms, stopped_ms=started_ms + last_ms)
