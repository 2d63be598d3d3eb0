"""What a link has to send: in order, whether it came about in answer to something or later."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Close:
    """End the WebSocket, after all that stands before it."""

    code: int
    reason: str


Outgoing = bytes | Close  # bytes: one text message, UTF-8


class Buffer:
    """Frames that wait to be taken.

    During a turn they are only collected, since whoever takes the turn takes them at its end; at
    other times ``on_ready`` is told of each.
    """

    __slots__ = ("_closed", "_frames", "_in_turn", "_on_ready")

    def __init__(self, on_ready: Callable[[], None]) -> None:
        self._frames: list[Outgoing] = []
        self._on_ready = on_ready
        self._in_turn = False
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing more will be sent."""
        return self._closed

    def put(self, frame: Outgoing) -> None:
        """Add a frame; after a ``Close`` it is dropped."""
        if self._closed:
            return
        self._closed = isinstance(frame, Close)
        self._frames.append(frame)
        if not self._in_turn:
            self._on_ready()

    def take(self) -> list[Outgoing]:
        """All that waits; it is the caller's from now on."""
        frames, self._frames = self._frames, []
        return frames

    def drop(self) -> None:
        """The peer is gone: nothing is sent any more."""
        self._closed = True
        self._frames = []
        self._on_ready = _nobody  # which leads back here

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Collect without telling anybody."""
        self._in_turn = True
        try:
            yield
        finally:
            self._in_turn = False


def _nobody() -> None:
    """Be told for nobody."""
