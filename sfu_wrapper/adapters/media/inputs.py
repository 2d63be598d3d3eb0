"""Raw files in a media process, read through the descriptors passed with its task.

A process does one task, so the table of descriptors is global to the process. A path without a
descriptor is opened here: by tools that call the readers directly.
"""

import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sfu_wrapper.adapters.os.beneath import open_plain

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
