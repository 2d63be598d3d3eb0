"""Sans-I/O side of a WebSocket that carries one client, or the media of one browser.

What enters: the messages of the peer (``feed``) and the time (``tick``). What leaves: the frames
that both return, and those that arise between two calls. For the latter the link calls
``on_ready``, and the server calls ``take``. The server calls ``open`` once before the first
message, ``tick`` at ``due_ms``, and ``close`` once after the connection is lost.

Rules:
    1. Every call is synchronous and returns at once.
    2. Each message that is JSON gets one response from the session. Any other message ends the
       connection: 1003 binary, 1007 not JSON, 1009 too long.
    3. After a ``Close`` the link reads nothing and sends nothing.

``Buffer`` holds the frames of this and of the gateway's link until the server takes them.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Protocol

from sfu_wrapper.gateway.expiry import Expiry
from sfu_wrapper.gateway.send_queue import Close, Outgoing
from sfu_wrapper.gateway.session import GatewayContext, Session, is_longer
from sfu_wrapper.model.identity import Identity
from sfu_wrapper.wire.strict_json import NotJson


class _State(Enum):
    """State of the frames of a link."""

    FORWARDING = auto()  # each frame is announced to the server
    COLLECTING = auto()  # during a call of the server, which takes the frames at its end
    CLOSED = auto()  # nothing more will be sent


class Buffer:
    """Frames of a link that wait to be taken by the server.

    Args:
        on_ready: called for each frame that is put outside of ``collect``. Within it, the caller
            takes the frames at its end.
    """

    __slots__ = ("_frames", "_on_ready", "_state")

    def __init__(self, on_ready: Callable[[], None]) -> None:
        self._frames: list[Outgoing] = []
        self._on_ready = on_ready
        self._state = _State.FORWARDING

    @property
    def closed(self) -> bool:
        """True once nothing more will be sent."""
        return self._state is _State.CLOSED

    def put(self, frame: Outgoing) -> None:
        """Add a frame; after a ``Close`` it is dropped."""
        before = self._state
        if before is _State.CLOSED:
            return
        if isinstance(frame, Close):
            self._state = _State.CLOSED
        self._frames.append(frame)
        if before is _State.FORWARDING:
            self._on_ready()

    def take(self) -> list[Outgoing]:
        """Remove and return all waiting frames."""
        frames, self._frames = self._frames, []
        return frames

    def drop(self) -> None:
        """Discard all frames, now and later: the connection is lost."""
        self._state = _State.CLOSED
        self._frames = []
        self._on_ready = _ignore  # no reference cycle through the link

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Collect frames within the context without calling ``on_ready``."""
        if self._state is _State.FORWARDING:
            self._state = _State.COLLECTING
        try:
            yield
        finally:
            if self._state is _State.COLLECTING:
                self._state = _State.FORWARDING


def _ignore() -> None:
    """Do nothing."""


class _Session(Protocol):
    """Identity of the peer, and the handling of its messages."""

    @property
    def admitted(self) -> bool: ...
    @property
    def is_service(self) -> bool: ...
    @property
    def max_bytes(self) -> int: ...
    @property
    def expiry(self) -> Expiry: ...
    def admit(self, identity: Identity) -> None: ...
    def receive(self, message: str) -> None: ...
    def close(self) -> None: ...


class ClientLink:
    """Connection to ``/client``, or with another session to ``/media``.

    Args:
        gate: parts that all connections share.
        identity: bearer of the token in the handshake; None: the handshake had no token.
        on_ready: called when frames are ready to be taken outside of a call to the link.
        session: makes the session of the peer.
    """

    def __init__(
        self,
        gate: GatewayContext,
        identity: Identity | None,
        on_ready: Callable[[], None],
        session: Callable[[GatewayContext, Callable[[Outgoing], None]], _Session] = Session,
    ) -> None:
        self._gate = gate
        self._identity = identity
        self._buffer = Buffer(on_ready)
        self._session = session(gate, self._buffer.put)
        self._authenticate_by_ms = gate.clock.now().mono_ms + round(
            gate.settings.auth_timeout_s * 1000
        )

    def open(self) -> list[Outgoing]:
        """Admit the bearer of the handshake's token. Returns the frames to send."""
        with self._buffer.collect():
            if self._identity is not None:
                self._session.admit(self._identity)
        return self._buffer.take()

    def feed(self, messages: Iterable[str | bytes]) -> list[Outgoing]:
        """Handle messages, text as ``str`` and binary as ``bytes``. Returns the frames to send."""
        with self._buffer.collect():
            for message in messages:
                if self._buffer.closed:
                    break
                if isinstance(message, bytes):
                    self._buffer.put(Close(1003, "text messages only"))
                elif is_longer(message, self._session.max_bytes):
                    self._buffer.put(Close(1009, "message too big"))
                else:
                    try:
                        self._session.receive(message)
                    except NotJson:
                        self._buffer.put(Close(1007, "not JSON"))
        return self._buffer.take()

    def take(self) -> list[Outgoing]:
        """Return the frames that became ready since the last call."""
        return self._buffer.take()

    @property
    def due_ms(self) -> int | None:
        """Monotonic time in ms at which to call ``tick``; None: never."""
        if self._buffer.closed:
            return None
        admitted = self._session.admitted
        return self._session.expiry.due_ms if admitted else self._authenticate_by_ms

    @property
    def max_bytes(self) -> int:
        """Limit in bytes of the next message; the server rejects a longer one unread."""
        return self._session.max_bytes

    @property
    def trusted(self) -> bool:
        """True for the room service, whose messages are read at any rate."""
        return self._session.is_service

    @property
    def identified(self) -> bool:
        """True once the peer has authenticated."""
        return self._session.admitted

    def tick(self) -> list[Outgoing]:
        """Close the connection if it has not authenticated in time, or its token has expired."""
        now = self._gate.clock.now()
        with self._buffer.collect():
            if self._session.admitted:
                if self._session.expiry.is_due(now):
                    self._buffer.put(Close(1008, "token expired"))
            elif self._authenticate_by_ms <= now.mono_ms:
                self._buffer.put(Close(1008, "authentication timeout"))
        return self._buffer.take()

    def close_some(self) -> bool:
        """Return False: ``close`` ends the only client."""
        return False

    def close(self) -> None:
        """End the session of a connection that is lost."""
        self._buffer.drop()
        self._session.close()
