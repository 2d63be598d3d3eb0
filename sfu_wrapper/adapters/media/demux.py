"""Reading of media files: bounded formats, tolerant decoding, prefetch.

``reading`` opens a file in the format of its name only. By default libavformat detects the format
from the content: a file named as a video may be a playlist that makes the library read other files,
or connect to other machines.

``prefetch`` computes items in a pool of threads, at most one batch ahead of their use. Its waits
have no deadline of their own: the process that runs them has one.

``opened`` gives raw files through the descriptors that were passed with the task of a media
process. A process does one task, so the table of descriptors is global to it. A path without a
descriptor is opened here, for tools that call the readers directly.
"""

import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import av
from av.container import InputContainer

from sfu_wrapper.adapters.os.beneath import open_plain

DEMUXERS = {".webm": "matroska", ".mp4": "mov", ".wav": "wav", ".opus": "ogg"}

MAX_PIXELS = 4096 * 4096  # a decoder needs several times as many bytes for each frame

_OPTIONS = {
    "protocol_whitelist": "file",
    # Use only the offset of an edit list; those of janus-pp-rec cut off the last frame.
    "advanced_editlist": "0",
}


def reading(path: Path | str) -> InputContainer:
    """Open a media file. Raises av.FFmpegError, or KeyError for an unknown file extension."""
    return av.open(
        f"file:{path}",
        format=DEMUXERS[Path(path).suffix],
        options=_OPTIONS,
        metadata_errors="replace",
    )


def video_of(container: InputContainer) -> av.VideoStream:
    """Return the video stream, decoded by one thread, without frames above ``MAX_PIXELS``.

    Frames may be larger than the key frame of which ``preprocess`` knows the size.
    """
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


def decoded(packet: "av.Packet[av.VideoStream]") -> list[av.VideoFrame]:
    """Return the frames decoded from a packet; none where it cannot be decoded.

    libav has many errors for damaged packets. Raises MemoryError, which the packet does not cause.
    """
    try:
        return packet.decode()
    except MemoryError:
        raise
    except av.FFmpegError:
        return []


Item = TypeVar("Item")


def prefetch(
    items: Iterator[Item], pool: Executor, batch: int, first: int | None = None
) -> Iterator[Item]:
    """Return an iterator over ``items`` that computes the first batch at once.

    While one batch is consumed the next one is computed in one go, which keeps a decoder's memory
    in the cache. An error of ``items`` is raised in place of its batch.

    Args:
        items: the items.
        pool: threads to compute them in.
        batch: size of a batch.
        first: size of the first batch; different sizes spread the load of several iterators.
    """
    return _handed_out(items, pool, batch, pool.submit(_take, items, first or batch))


def _handed_out(
    items: Iterator[Item], pool: Executor, batch: int, made: Future[list[Item]]
) -> Iterator[Item]:
    # Consumed items are dropped at once: the consumer may keep the iterator without using it.
    while ready := made.result():
        made = pool.submit(_take, items, batch)
        ready.reverse()
        while ready:
            yield ready.pop()


def _take(items: Iterator[Item], count: int) -> list[Item]:
    return list(islice(items, count))


_BATCH: Final = 200  # the kernel passes 253 at a time
_MORE, _NO_MORE = b"+", b"."

_handed: dict[Path, int] = {}


def send(talk: socket.socket, descriptors: Sequence[int]) -> None:
    """Send descriptors, before any other data; the caller may close its own afterwards."""
    for first in range(0, len(descriptors), _BATCH):
        socket.send_fds(talk, [_MORE], list(descriptors[first : first + _BATCH]))
    talk.sendall(_NO_MORE)


def receive(talk: int) -> list[int]:
    """Receive the descriptors of ``send``. Raises EOFError where the sender ends too early."""
    found: list[int] = []
    with socket.socket(fileno=os.dup(talk)) as line:
        while True:
            mark, descriptors, _, _ = socket.recv_fds(line, 1, _BATCH)
            found += descriptors
            if mark == _NO_MORE:
                return found
            if not mark:
                raise EOFError("the parent process ended before the task was complete")


def hand_over(named: Iterable[tuple[Path, int]]) -> None:
    """Register the descriptors to read these files through."""
    _handed.update(named)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Provide a descriptor of a raw file; read it by position, as its offset may be shared.

    Raises:
        OSError: the file does not exist, or is not a plain file.
    """
    number = os.dup(_handed[path]) if path in _handed else open_plain(path)
    try:
        yield number
    finally:
        os.close(number)
