"""Media processes that the tests of one process share.

Their server takes half a second of processor time to start; its forks are as separate as before.
A test that is about the server, or changes its command, has one of its own.
"""

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from sfu_wrapper.adapters.media.tools import MediaProcesses


@contextmanager
def shared_media() -> Iterator[MediaProcesses]:
    """Provide the media processes; leaving the block does not end their server."""
    yield _media()


@cache
def _media() -> MediaProcesses:
    media = MediaProcesses()
    media.__enter__()
    atexit.register(media.__exit__, None, None, None)
    return media
