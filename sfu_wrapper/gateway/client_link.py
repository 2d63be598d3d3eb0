"""A WebSocket that is one client, or one browser's media: messages in, messages out, no I/O."""

from collections.abc import Callable, Iterable
from typing import Protocol

from sfu_wrapper.gateway.expiry import Expiry
from sfu_wrapper.gateway.send_queue import Buffer, Close, Outgoing
from sfu_wrapper.gateway.session import GatewayContext, Session, is_longer
from sfu_wrapper.model.identity import Identity
from sfu_wrapper.wire.strict_json import NotJson


class _Session(Protocol):
    """Who is at the other end, and what becomes of its messages."""

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
    """Sans-I/O side of one connection to ``/client``, or with another ``session`` to ``/media``.

    Everything is synchronous. ``feed`` returns all that is to be sent now; for what comes about
    later, ``on_ready`` is called and ``take`` returns it. After a ``Close`` nothing is read.
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
        """The handshake is done. ``identity``: as its header said, if it said anything."""
        with self._buffer.turn():
            if self._identity is not None:
                self._session.admit(self._identity)
        return self._buffer.take()

    def feed(self, messages: Iterable[str | bytes]) -> list[Outgoing]:
        """Take what was received, text as ``str`` and binary as ``bytes``."""
        with self._buffer.turn():
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
        """What came about since."""
        return self._buffer.take()

    @property
    def due_ms(self) -> int | None:
        """When ``tick`` has something to do, monotonic; None: never."""
        if self._buffer.closed:
            return None
        admitted = self._session.admitted
        return self._session.expiry.due_ms if admitted else self._authenticate_by_ms

    @property
    def max_bytes(self) -> int:
        """Longest message that is read; a longer one need not even be received."""
        return self._session.max_bytes

    @property
    def trusted(self) -> bool:
        """Whether it may send as fast as it likes."""
        return self._session.is_service

    @property
    def identified(self) -> bool:
        """Return True once it has authenticated."""
        return self._session.admitted

    def tick(self) -> list[Outgoing]:
        """Close a connection without an identity in time, or with a token that has expired."""
        now = self._gate.clock.now()
        with self._buffer.turn():
            if self._session.admitted:
                if self._session.expiry.is_due(now):
                    self._buffer.put(Close(1008, "token expired"))
            elif self._authenticate_by_ms <= now.mono_ms:
                self._buffer.put(Close(1008, "authentication timeout"))
        return self._buffer.take()

    def close_some(self) -> bool:
        """Return False: there is one client, which ``close`` ends."""
        return False

    def close(self) -> None:
        """The connection is gone."""
        self._buffer.drop()
        self._session.close()
