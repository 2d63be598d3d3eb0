"""A WebSocket that carries many clients: gateway frames in, gateway frames out, no I/O.

Whatever one client does wrong is answered to that client alone.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import assert_never
from uuid import uuid4

from sfu_wrapper.gateway.answering import is_longer
from sfu_wrapper.gateway.outgoing import Buffer, Outgoing
from sfu_wrapper.gateway.session import Gate, Session
from sfu_wrapper.model.errors import Code
from sfu_wrapper.model.identity import Identity, Role
from sfu_wrapper.wire.gatewayframes import (
    Carry,
    Connect,
    Disconnect,
    Frame,
    UnreadableFrame,
    Vouched,
    close_frame,
    error_frame,
    message_frame,
    parse_frame,
)
from sfu_wrapper.wire.strictjson import NotJson

log = logging.getLogger(__name__)


class GatewayLink:
    """Sans-I/O side of one connection to ``/gateway``; see ``ClientLink`` for how it is driven.

    It is never closed from this side because of what a client does. A message of a socketId that
    was not connected is that of a client without a user: it has to authenticate.
    """

    def __init__(self, gate: Gate, on_ready: Callable[[], None]) -> None:
        self._gate = gate
        self._buffer = Buffer(on_ready)
        self._sessions: dict[str, Session] = {}
        # One timeout for all, so that the order of arrival is that of the deadlines.
        self._waiting: deque[tuple[int, str, Session]] = deque()
        self._auth_timeout_ms = round(gate.settings.auth_timeout_s * 1000)

    def open(self) -> list[Outgoing]:
        """The handshake is done; there is nothing to say."""
        return []

    def feed(self, frames: Iterable[str | bytes]) -> list[Outgoing]:
        """Take frames as received, text as ``str`` and binary as ``bytes``."""
        with self._buffer.turn():
            for frame in frames:
                self._receive(frame)
        return self._buffer.take()

    def take(self) -> list[Outgoing]:
        """What came about since."""
        return self._buffer.take()

    @property
    def due_ms(self) -> int | None:
        """When ``tick`` has something to do, monotonic; None: never."""
        while self._waiting and _settled(self._waiting[0][2]):
            self._waiting.popleft()
        return self._waiting[0][0] if self._waiting else None

    @property
    def max_bytes(self) -> int:
        """Longest frame that is read, whatever the messages inside may have."""
        return self._gate.settings.max_gateway_frame_bytes

    @property
    def trusted(self) -> bool:
        """Whether it may send as fast as it likes: it has many clients."""
        return True

    @property
    def identified(self) -> bool:
        """Return True: its token came with the handshake."""
        return True

    def tick(self) -> list[Outgoing]:
        """Look at the clock: clients that have not said who they are in time are closed."""
        now_ms = self._gate.clock.now().mono_ms
        with self._buffer.turn():
            while (due_ms := self.due_ms) is not None and due_ms <= now_ms:
                _, socket_id, _ = self._waiting.popleft()
                self._end(socket_id)
                self._buffer.put(close_frame(socket_id, 1008, "authentication timeout"))
        return self._buffer.take()

    def close(self) -> None:
        """The connection is gone, and each of its clients with it."""
        self._buffer.drop()
        self._waiting.clear()
        for socket_id in list(self._sessions):
            self._guarded(socket_id, partial(self._end, socket_id))

    def _receive(self, text: str | bytes) -> None:
        if isinstance(text, bytes):
            self._buffer.put(error_frame("text frames only", None))
            return
        try:
            frame = parse_frame(text)
        except UnreadableFrame as exc:
            self._buffer.put(error_frame(exc.detail, exc.socket_id))
            return
        self._guarded(frame.socket_id, partial(self._carry_out, frame))

    def _guarded(self, socket_id: str, work: Callable[[], None]) -> None:
        """Keep a bug that one client stumbles upon away from the others."""
        try:
            work()
        except Exception:
            incident = uuid4().hex
            log.exception("gateway.frame.broke", extra={"incident": incident})
            detail = f"something went wrong on our side (incident {incident})"
            self._buffer.put(error_frame(detail, socket_id, Code.INTERNAL))

    def _carry_out(self, frame: Frame) -> None:
        match frame:
            case Connect(socket_id=socket_id, user=user):
                self._end(socket_id)
                session = self._begin(socket_id)
                if session is not None and user is not None:
                    session.admit(self._vouched_for(user))
            case Carry(socket_id=socket_id, data=data):
                session = self._sessions.get(socket_id) or self._begin(socket_id)
                if session is not None:
                    self._message(session, data)
            case Disconnect(socket_id=socket_id):
                self._end(socket_id)
            case _:
                assert_never(frame)

    def _begin(self, socket_id: str) -> Session | None:
        """A new client; None where there are too many."""
        if len(self._sessions) >= self._gate.settings.max_clients:
            log.warning("gateway.client.toomany", extra={"clients": len(self._sessions)})
            self._buffer.put(close_frame(socket_id, 1013, "too many clients on this gateway"))
            return None
        session = Session(self._gate, partial(self._send, socket_id))
        self._sessions[socket_id] = session
        due_ms = self._gate.clock.now().mono_ms + self._auth_timeout_ms
        self._waiting.append((due_ms, socket_id, session))
        return session

    def _end(self, socket_id: str) -> None:
        session = self._sessions.pop(socket_id, None)
        if session is not None:
            session.close()

    def _message(self, session: Session, data: str) -> None:
        if is_longer(data, session.max_bytes):
            session.refuse_size(data)
            return
        try:
            session.receive(data)
        except NotJson as exc:
            session.refuse_text(exc.detail)

    def _vouched_for(self, user: Vouched) -> Identity:
        """The word of a gateway makes a user, and more only where the configuration says so."""
        wished = {role for role in Role if role in user.roles}
        roles = frozenset({Role.USER}) | (wished & self._gate.settings.gateway_roles)
        return Identity(user.domain, user.user, roles)

    def _send(self, socket_id: str, message: bytes) -> None:
        self._buffer.put(message_frame(socket_id, message))


def _settled(session: Session) -> bool:
    return session.closed or session.admitted
