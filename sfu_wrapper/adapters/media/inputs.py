"""Raw files in a media process: read through the descriptors that came with its task.

One process does one task, so that what was handed over is known to the whole process. A path is
opened here only where nothing was handed over for it: by tools that call the readers directly.
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
    """Hand descriptors over, before anything else is said; ours may be closed then."""
    for first in range(0, len(descriptors), _BATCH):
        socket.send_fds(talk, [_MORE], list(descriptors[first : first + _BATCH]))
    talk.sendall(_NO_MORE)


def receive(talk: int) -> list[int]:
    """Take what ``send`` has sent. Raises EOFError where the other side is gone before its end."""
    found: list[int] = []
    with socket.socket(fileno=os.dup(talk)) as line:
        while True:
            mark, descriptors, _, _ = socket.recv_fds(line, 1, _BATCH)
            found += descriptors
            if mark == _NO_MORE:
                return found
            if not mark:
                raise EOFError("the task broke off")


def hand_over(named: Iterable[tuple[Path, int]]) -> None:
    """Read these files through these descriptors from now on."""
    _handed.update(named)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor of a raw file; read it by position, as its offset may be shared.

    Raises:
        OSError: it is not there, or no plain file.
    """
    number = os.dup(_handed[path]) if path in _handed else open_plain(path)
    try:
        yield number
    finally:
        os.close(number)
