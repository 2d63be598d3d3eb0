"""VideoRoom recordings on disk.

The file name identifies the publisher; the duration is read from the file:

    videoroom-<room>-user-<publisher>-<epoch µs>-<audio|video|data>-<m-line>.mjr

The header has the time of the first packet, each packet its offset from that. A file of 8 bytes
belongs to a publisher that sent no packet. A publisher may send nothing for long (a screen that
does not change), so that its track ends when it is unpublished, not with its last packet.

With ``recordings_tmp_ext`` or ``record_tmp_ext`` in its configuration, Janus appends another
extension to the name of an open file, and removes it when it closes the file. ``finish_names``
does so for the files of a Janus that died; events have the names without it.

AudioBridge recordings on disk.

The file name gives the start of a mix, the file size its duration:

    recording-<confbridgeId>-<segment>-<epoch ms of its start>.wav

Once Janus has closed a file, the lengths in its header are those of the whole file, which is
44 bytes too many. Before that they are stale or 0.
"""

import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final

from sfu_wrapper.adapters.os.beneath import UnsafeFile, open_plain
from sfu_wrapper.core.intervals import CLOCK_TOLERANCE_US
from sfu_wrapper.core.publisher_ids import track_of
from sfu_wrapper.formats.mjr import TAIL_BYTES, Reader, last_offset_ms
from sfu_wrapper.formats.wav import HEADER_BYTES, Wav, parse, repaired_header
from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.model.media import Medium, RawFile, Stream, Track

log = logging.getLogger(__name__)

_OPEN: Final = r"(?P<open>\.[^./]{1,32})?"  # extension of an open file, chosen by the operator
_REST: Final = re.compile(rf"(.+)-(\d{{1,19}})-(audio|video|data)-(\d{{1,4}})\.mjr{_OPEN}")
_HEAD_BYTES: Final = 65_536 + 10  # no header is longer
_LATE_PACKETS_MS: Final = 1_000  # Janus may still write packets that long after the unpublishing


@dataclass(frozen=True, slots=True)
class _VideoFile:
    """File with video.

    Attributes:
        path: Path as we see it.
        publisher: Id of the publisher at Janus.
        track: Track that the id names.
        opened_us: Time at which Janus opened the file, epoch µs.
        line: Number of the SDP media line.
        name: Name of the file once it is closed.
    """

    path: Path
    publisher: str
    track: Track
    opened_us: int
    line: int
    name: str


@dataclass(frozen=True, slots=True)
class Publishing:
    """Times of the publishers of one capture, as far as they are known.

    Attributes:
        open: Publishers whose last file Janus is still writing.
        stopped: Publishers that were published when the recording stopped.
        ended_ms: Times at which publishers were unpublished, epoch ms, in order.
        over: True once the recording has stopped, so that Janus renames no file any more.
        ahead_ms: Time by which the clock of Janus is ahead of ours.
    """

    open: frozenset[str] = frozenset()
    stopped: frozenset[str] = frozenset()
    ended_ms: Mapping[str, Sequence[int]] = field(default_factory=dict)
    over: bool = False
    ahead_ms: int = 0


def video_files(
    folder: Path, room: RoomUuid, below: str, publishing: Publishing
) -> tuple[RawFile, ...]:
    """Return every file with video of a room in a folder, in the order of opening.

    Args:
        folder: Folder of one capture.
        room: Id of the VideoRoom.
        below: Path prefix of the file names in events.
        publishing: Times of the publishers.

    Raises:
        OSError: The folder cannot be read.
    """
    found = _found(folder, room)
    if publishing.over:  # one that could not be renamed keeps its name
        found = [replace(each, name=each.path.name) for each in found]
    following: dict[Path, int] = {}  # when the next file of the same m-line was opened
    last: dict[tuple[str, int], _VideoFile] = {}
    for each in found:
        before = last.get((each.publisher, each.line))
        if before is not None:
            following[before.path] = each.opened_us // 1000 - publishing.ahead_ms
        last[each.publisher, each.line] = each
    return tuple(_raw_file(each, below, publishing, following.get(each.path)) for each in found)


def publishers_in(folder: Path, room: RoomUuid) -> frozenset[str]:
    """Return the publishers that have a file with video. Raises OSError."""
    return frozenset(each.publisher for each in _found(folder, room))


def clock_ahead_ms(folder: Path, room: RoomUuid, publishers: Collection[str], began_ms: int) -> int:
    """Return by how much the clock of Janus is ahead of ours; 0 within ``CLOCK_TOLERANCE_US``.

    Janus opens a file at once for everyone who is published when a recording begins. The latest
    ones count, as an earlier attempt of the capture may have left others.

    Args:
        folder: Folder of one capture.
        room: Id of the VideoRoom.
        publishers: Publishers at the begin of the recording.
        began_ms: Begin of the recording by our clock, epoch ms.

    Raises:
        OSError: The folder cannot be read.
    """
    opened = [each.opened_us for each in _found(folder, room) if each.publisher in publishers]
    ahead_ms = max(opened, default=began_ms * 1000) // 1000 - began_ms
    return ahead_ms if abs(ahead_ms) * 1000 > CLOCK_TOLERANCE_US else 0


def remove_audio(folder: Path, room: RoomUuid) -> None:
    """Remove audio and data files: a VideoRoom is to record video only. Raises OSError."""
    for name in _names(folder):
        match = _match(name, room)
        if match is not None and match[3] != "video":
            _remove(folder / name)


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        log.warning(
            "janus.audioFileNotRemoved", extra={"file": path.name, "reason": error.strerror}
        )


def _found(folder: Path, room: RoomUuid) -> list[_VideoFile]:
    return sorted(_matching_files(folder, room), key=lambda file: (file.opened_us, file.path))


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:  # Janus creates the folder with the first file
        return []


def _match(name: str, room: RoomUuid) -> re.Match[str] | None:
    prefix = f"videoroom-{room}-user-"
    return _REST.fullmatch(name.removeprefix(prefix)) if name.startswith(prefix) else None


def _matching_files(folder: Path, room: RoomUuid) -> Iterator[_VideoFile]:
    for name in _names(folder):
        match = _match(name, room)
        if match is None or match[3] != "video":
            continue
        track = track_of(match[1], Medium.VIDEO)
        if track is not None:
            path, opened_us, line = folder / name, int(match[2]), int(match[4])
            yield _VideoFile(path, match[1], track, opened_us, line, _final(name, match))


def _final(name: str, match: re.Match[str]) -> str:
    return name.removesuffix(match["open"] or "")


def finish_names(folder: Path) -> None:
    """Give files that Janus writes no more the names of closed ones, where we may."""
    for name in _names(folder):
        match = _REST.fullmatch(name) or _NAME.fullmatch(name)
        if match is not None and match["open"] and not (folder / _final(name, match)).exists():
            with suppress(OSError):
                (folder / name).rename(folder / _final(name, match))


def _raw_file(
    found: _VideoFile, below: str, publishing: Publishing, next_ms: int | None
) -> RawFile:
    """Return the file with its times; ``next_ms`` is the opening of the file that follows it."""
    file = RawFile(
        f"{below}/{found.name}",
        found.track.stream,
        found.opened_us // 1000 - publishing.ahead_ms,
        user=found.track.user,
    )
    if next_ms is None and found.publisher in publishing.open:
        return file
    file = _measured(found.path, file, publishing.ahead_ms)
    if not file.holds_media:
        return file
    if next_ms is None and found.publisher in publishing.stopped:
        return replace(file, stopped_ms=None)  # published until the segment stopped
    last_ms = file.stopped_ms or 0
    ended_ms = publishing.ended_ms.get(found.publisher, ())
    end_ms = next((at_ms for at_ms in ended_ms if at_ms >= last_ms - _LATE_PACKETS_MS), last_ms)
    return replace(
        file, stopped_ms=max(last_ms, end_ms if next_ms is None else min(end_ms, next_ms))
    )


def _measured(path: Path, file: RawFile, ahead_ms: int) -> RawFile:
    """Return the file with the times of its first and last packet, by our clock."""
    try:
        number = open_plain(path)
    except UnsafeFile:  # for the recording service to refuse
        return replace(file, stopped_ms=file.started_ms)
    with os.fdopen(number, "rb") as data:
        head = data.read(_HEAD_BYTES)
        size = data.seek(0, os.SEEK_END)
        data.seek(max(0, size - TAIL_BYTES))
        tail = data.read()
    try:
        header = Reader(head).header
    except Malformed:  # damaged: for the recording service to judge
        return replace(file, stopped_ms=file.started_ms)
    last_ms = last_offset_ms(tail)
    if header is None or last_ms is None:
        return replace(file, stopped_ms=file.started_ms, holds_media=False)
    started_ms = header.started_us // 1000 - ahead_ms
    return replace(file, started_ms=started_ms, stopped_ms=started_ms + last_ms)


_NAME: Final = re.compile(rf"recording-.+-(\d{{1,16}})\.wav{_OPEN}")


def mix_files(folder: Path, below: str, delay_ms: int, *, running: bool) -> tuple[RawFile, ...]:
    """Return every mix in a folder, oldest first.

    Args:
        folder: Folder of one capture.
        below: Path prefix of the file names in events.
        delay_ms: Time by which audio lags behind video.
        running: True if Janus is still writing the last mix.

    Raises:
        OSError: The folder cannot be read.
    """
    if not running:
        finish_names(folder)
    paths = _paths(folder)
    return tuple(
        _mix_file(path, at_ms, below, delay_ms, is_open=running and (at_ms, path) == paths[-1])
        for at_ms, path in paths
    )


def has_mix(folder: Path, name: str) -> bool:
    """Return True if Janus has opened the mix of that name. Raises OSError."""
    return any(_final_mix(path) == name for _, path in _paths(folder))


def is_closed(folder: Path) -> bool:
    """Return True if Janus has closed the last mix, or if there is none.

    Earlier mixes belong to earlier attempts, and Janus may never have closed them.

    Raises:
        OSError: The folder cannot be read.
    """
    last = _paths(folder)[-1:]
    return all(path.name == _final_mix(path) and _is_closed(path) for _, path in last)


def newest_bytes(folder: Path) -> int | None:
    """Return the size of the last mix; None if there is none. Raises OSError."""
    paths = _paths(folder)
    return paths[-1][1].stat().st_size if paths else None


def repair_headers(folder: Path) -> None:
    """Write the true lengths into headers that we may write; readers do not depend on it."""
    for _, path in _paths(folder):
        with suppress(OSError, ValueError, Malformed):
            wav = _parse(path)
            plain = wav is not None and wav.data_start == HEADER_BYTES and wav.data_bytes > 0
            if wav is not None and plain and not wav.truthful:
                with os.fdopen(open_plain(path, write=True), "r+b") as data:
                    data.write(repaired_header(wav))


def _paths(folder: Path) -> list[tuple[int, Path]]:
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:  # Janus creates the folder with the first file
        return []
    matches = [match for name in names if (match := _NAME.fullmatch(name)) is not None]
    return sorted((int(match[1]), folder / match[0]) for match in matches)


def _final_mix(path: Path) -> str:
    match = _NAME.fullmatch(path.name)
    return path.name if match is None else _final(path.name, match)


def _is_closed(path: Path) -> bool:
    with suppress(Malformed):
        wav = _parse(path)
        if wav is None:
            return False
        by_janus = wav.declared_bytes == wav.data_start + wav.data_bytes
        return by_janus or (wav.truthful and wav.data_bytes > 0)  # repaired since
    return True  # damaged: nothing to wait for


def _mix_file(path: Path, at_ms: int, below: str, delay_ms: int, *, is_open: bool) -> RawFile:
    name = _final_mix(path) if is_open else path.name
    file = RawFile(f"{below}/{name}", Stream.AUDIO, at_ms, mixer="audiobridge", delay_ms=delay_ms)
    if is_open:
        return file
    try:
        wav = _parse(path)
    except Malformed:  # damaged: for the recording service to judge
        return replace(file, stopped_ms=at_ms)
    length_ms = wav.duration_ms if wav is not None else 0
    return replace(file, stopped_ms=at_ms + length_ms, holds_media=length_ms > 0)


def _parse(path: Path) -> Wav | None:
    """Return the header and the true lengths, without reading the samples."""
    try:
        number = open_plain(path)
    except UnsafeFile as exc:
        raise Malformed(str(exc.strerror)) from exc
    with os.fdopen(number, "rb") as data:
        if os.fstat(data.fileno()).st_size == 0:
            return None
        with mmap(data.fileno(), 0, access=ACCESS_READ) as mapped:
            return parse(mapped)
