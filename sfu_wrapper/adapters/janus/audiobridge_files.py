"""AudioBridge recordings on disk.

The file name gives the start of a mix, the file size its duration:

    recording-<confbridgeId>-<segment>-<epoch ms of its start>.wav

Once Janus has closed a file, the lengths in its header are those of the whole file, which is
44 bytes too many. Before that they are stale or 0.
"""

import os
import re
from contextlib import suppress
from dataclasses import replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final

from sfu_wrapper.adapters.os.beneath import UnsafeFile, open_plain
from sfu_wrapper.formats.wav import HEADER_BYTES, Wav, parse, repaired_header
from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.media import RawFile, Stream

_NAME: Final = re.compile(r"recording-.+-(\d{1,16})\.wav")


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
    paths = _paths(folder)
    return tuple(
        _raw_file(path, at_ms, below, delay_ms, is_open=running and (at_ms, path) == paths[-1])
        for at_ms, path in paths
    )


def is_closed(folder: Path) -> bool:
    """Return True if Janus has closed the last mix, or if there is none.

    Earlier mixes belong to earlier attempts, and Janus may never have closed them.

    Raises:
        OSError: The folder cannot be read.
    """
    return all(_is_closed(path) for _, path in _paths(folder)[-1:])


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


def _is_closed(path: Path) -> bool:
    with suppress(Malformed):
        wav = _parse(path)
        if wav is None:
            return False
        by_janus = wav.declared_bytes == wav.data_start + wav.data_bytes
        return by_janus or (wav.truthful and wav.data_bytes > 0)  # repaired since
    return True  # damaged: nothing to wait for


def _raw_file(path: Path, at_ms: int, below: str, delay_ms: int, *, is_open: bool) -> RawFile:
    file = RawFile(
        f"{below}/{path.name}", Stream.AUDIO, at_ms, mixer="audiobridge", delay_ms=delay_ms
    )
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
