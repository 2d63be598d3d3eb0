"""Sans-I/O side of a WebSocket that carries many clients of one gateway.

What enters: gateway frames (``connect``, ``message``, ``disconnect``, ``authenticate``; ``feed``)
and the time (``tick``). What leaves: gateway frames, each for one socketId or for the gateway
itself. The server drives the link like a ``ClientLink``; after the connection is lost it calls
``close_some`` until that returns False, a bounded number of clients at a time, then ``close``.

Each socketId has a ``Session``, which handles requests as for a client with its own socket.

Rules:
    1. An error of one client is answered to that client alone. The link itself ends only with the
       token of the gateway or its connection.
    2. While the token of the gateway has expired, its clients get no events, and their requests
       are answered UNAUTHENTICATED. The gateway has ``GRACE_MS`` to send a new token.
    3. A user for whom the gateway vouches stays admitted only while a token of the gateway covers
       the user's domain. A client with its own token does not depend on that.
    4. A message of a socketId that was not connected comes from a client without a user, which
       has to authenticate.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import assert_never
from uuid import uuid4

from sfu_wrapper.gateway.client_link import Buffer
from sfu_wrapper.gateway.expiry import Expiring, Expiry
from sfu_wrapper.gateway.limits import TokenBucket
from sfu_wrapper.gateway.send_queue import Close, Outgoing
from sfu_wrapper.gateway.session import GatewayContext, Session, is_longer, too_many
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import Identity, Role
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.wire.gateway_frames import (
    Carry,
    Connect,
    Disconnect,
    Frame,
    Renew,
    UnreadableFrame,
    Vouched,
    authenticated_frame,
    close_frame,
    error_frame,
    message_frame,
    parse_frame,
    peek_message,
)
from sfu_wrapper.wire.signaling import is_event
from sfu_wrapper.wire.strict_json import NotJson
from sfu_wrapper.wire.validation import UNAUTHENTICATED_BYTES

_ESCAPED = 6  # characters of one byte, at most: \\u0061
_AROUND = 1024  # characters of a frame around its data

log = logging.getLogger(__name__)

_TOKENS_A_SECOND = 1  # of one link: each costs a signature
_TOKENS_AT_ONCE = 10
_CLOSED_AT_ONCE = 8  # clients of a link that is gone
_ENDED_AT_ONCE = 32  # clients of one link in one turn of the loop
_EXPIRED = "the token of this gateway has expired; send authenticate with a new one"


class GatewayLink:
    """Connection to ``/gateway``.

    Args:
        gate: parts that all connections share.
        identity: the gateway, as the bearer of the token in its handshake.
        on_ready: called when frames are ready to be taken outside of a call to the link.
    """

    def __init__(
        self, gate: GatewayContext, identity: Identity, on_ready: Callable[[], None]
    ) -> None:
        self._gate = gate
        self._buffer = Buffer(on_ready)
        self._identity = identity
        self._renewal = Expiry(after_ms=0)  # then a new token is requested
        self._end_of_link = Expiry()
        self._tokens = TokenBucket(_TOKENS_A_SECOND, _TOKENS_AT_ONCE)
        self._renew(identity)
        self._sessions: dict[str, Session] = {}
        self._expiring = Expiring(self._sessions)
        # One timeout for all, so that the order of arrival is that of the deadlines.
        self._waiting: deque[tuple[int, str, Session]] = deque()
        self._auth_timeout_ms = round(gate.settings.auth_timeout_s * 1000)

    def open(self) -> list[Outgoing]:
        """Return no frames: a gateway is admitted by its handshake."""
        return []

    def feed(self, frames: Iterable[str | bytes]) -> list[Outgoing]:
        """Handle frames, text as ``str`` and binary as ``bytes``. Returns the frames to send."""
        with self._buffer.collect():
            for frame in frames:
                if not self._buffer.closed:
                    self._receive(frame)
        return self._buffer.take()

    def take(self) -> list[Outgoing]:
        """Return the frames that became ready since the last call."""
        return self._buffer.take()

    @property
    def due_ms(self) -> int | None:
        """Monotonic time in ms at which to call ``tick``; None: never."""
        if self._buffer.closed:
            return None
        own = self._renewal.due_ms if not self._renewal_requested else self._end_of_link.due_ms
        times = (own, self._authenticate_by_ms(), self._expiring.due_ms)
        return min((time for time in times if time is not None), default=None)

    @property
    def max_bytes(self) -> int:
        """Limit in bytes of a frame; the messages inside have limits of their own."""
        return self._gate.settings.max_gateway_frame_bytes

    @property
    def trusted(self) -> bool:
        """True: a gateway has many clients, so its frames are read at any rate."""
        return True

    @property
    def identified(self) -> bool:
        """True: the token of a gateway comes with the handshake."""
        return True

    def tick(self) -> list[Outgoing]:
        """Handle the expiry of the gateway's token, and end clients that are overdue.

        One call ends a bounded number of clients; if more are due, ``due_ms`` is in the past.
        """
        now = self._gate.clock.now()
        with self._buffer.collect():
            self._check_token(now)
            for _ in range(_ENDED_AT_ONCE):
                due_ms = self._authenticate_by_ms()
                if due_ms is None or due_ms > now.mono_ms:
                    break
                _, socket_id, _ = self._waiting.popleft()
                self._dismiss(socket_id, "authentication timeout")
            for socket_id in self._expiring.take(now, _ENDED_AT_ONCE):
                self._dismiss(socket_id, "token expired")
        return self._buffer.take()

    def close_some(self) -> bool:
        """End a bounded number of the clients of a lost connection.

        Returns:
            True while clients are left.
        """
        self._buffer.drop()
        self._waiting.clear()
        for socket_id in list(islice(self._sessions, _CLOSED_AT_ONCE)):
            self._do_for(socket_id, partial(self._end, socket_id))
        return bool(self._sessions)

    def close(self) -> None:
        """End all clients of a connection that is lost."""
        while self.close_some():
            pass

    def _receive(self, text: str | bytes) -> None:
        if isinstance(text, bytes):
            self._buffer.put(error_frame("text frames only", None))
            return
        if self._is_hopeless(text):
            return
        try:
            frame = parse_frame(text)
        except UnreadableFrame as exc:
            self._buffer.put(error_frame(exc.detail, exc.socket_id))
            return
        socket_id = None if isinstance(frame, Renew) else frame.socket_id
        self._do_for(socket_id, partial(self._carry_out, frame))

    def _is_hopeless(self, text: str) -> bool:
        """Refuse a message frame that is longer than any message of its client may be.

        An escape makes at most six characters of a byte. The frame is not parsed.

        Returns:
            True if the frame was refused.
        """
        least = min(UNAUTHENTICATED_BYTES, self._gate.settings.max_message_bytes)
        if len(text) <= _ESCAPED * least + _AROUND:
            return False
        socket_id = peek_message(text)
        if socket_id is None:
            return False
        session = self._sessions.get(socket_id)
        longest = least if session is None else session.max_bytes
        if len(text) <= _ESCAPED * longest + _AROUND:
            return False
        self._do_for(socket_id, partial(self._refuse_unread, socket_id))
        return True

    def _refuse_unread(self, socket_id: str) -> None:
        session = self._sessions.get(socket_id) or self._begin(socket_id)
        if session is not None:
            session.refuse_size("")

    def _do_for(self, socket_id: str | None, work: Callable[[], None]) -> None:
        """Do the work for one client; a bug fails its frame and no other client."""
        try:
            work()
        except Exception:
            incident = uuid4().hex
            log.exception("gateway.frameFailed", extra={"incident": incident})
            detail = f"something went wrong on our side (incident {incident})"
            self._buffer.put(error_frame(detail, socket_id, Code.INTERNAL))

    def _carry_out(self, frame: Frame) -> None:
        match frame:
            case Connect(socket_id=socket_id, user=user):
                self._connect(socket_id, user)
            case Carry(socket_id=socket_id, data=data):
                session = self._sessions.get(socket_id) or self._begin(socket_id)
                if session is not None:
                    self._message(session, data)
                    self._expiring.add(socket_id)
            case Disconnect(socket_id=socket_id):
                self._end(socket_id)
            case Renew(token=token):
                self._authenticate(token)
            case _:
                assert_never(frame)

    def _connect(self, socket_id: str, user: Vouched | None) -> None:
        """Connect a client in place of an earlier one of the same socketId.

        An expired token of the gateway vouches for no user.
        """
        self._end(socket_id)
        if user is not None:
            if self._has_expired():
                self._buffer.put(error_frame(_EXPIRED, socket_id, Code.UNAUTHENTICATED))
                return
            if not self._identity.vouches_for(user.domain):
                detail = f"the token of this gateway does not vouch for the domain {user.domain}"
                self._buffer.put(error_frame(detail, socket_id, Code.FORBIDDEN))
                return
        session = self._begin(socket_id)
        if session is not None and user is not None:
            session.admit(self._vouched_for(user))

    def _authenticate(self, token: str) -> None:
        """Replace the token of the gateway, and end clients that the new one does not cover."""
        try:
            identity = self._identify(token)
        except Refused as exc:
            self._buffer.put(error_frame(exc.detail, None, Code(exc.code)))
            return
        self._renew(identity)
        self._buffer.put(authenticated_frame(identity))
        for socket_id, session in list(self._sessions.items()):
            user = session.identity
            # An identity that expires comes from the client's own token.
            if user and user.expires_ms is None and not identity.vouches_for(user.domain):
                self._dismiss(socket_id, "the gateway does not vouch for this domain any more")

    def _identify(self, token: str) -> Identity:
        """Return the bearer of a new token. Raises Refused, also if tokens come too often."""
        limited = too_many([self._tokens], self._gate.clock.now().mono_ms)
        if limited is not None:
            raise limited
        identity = self._gate.authenticator.identify(token)
        if identity.key != self._identity.key or Role.GATEWAY not in identity.roles:
            detail = "the token is not one of this gateway; open another connection with it"
            raise Refused(Code.FORBIDDEN, detail)
        return identity

    def _renew(self, identity: Identity) -> None:
        now = self._gate.clock.now()
        self._identity = identity
        self._renewal_requested = False
        self._renewal.renew(identity.expires_ms, now)
        self._end_of_link.renew(identity.expires_ms, now)

    def _has_expired(self) -> bool:
        return self._identity.has_expired(self._gate.clock.now().wall_ms)

    def _check_token(self, now: Instant) -> None:
        """Request another token once this one has expired; end the link if none arrives."""
        if not self._renewal_requested and self._renewal.is_due(now):
            self._renewal_requested = True
            self._buffer.put(error_frame(_EXPIRED, None, Code.UNAUTHENTICATED))
        if self._end_of_link.is_due(now):
            self._buffer.put(Close(1008, "token expired"))

    def _authenticate_by_ms(self) -> int | None:
        """Return the earliest deadline for a client to authenticate; None: no client is waiting."""
        while self._waiting and _needs_no_deadline(self._waiting[0][2]):
            self._waiting.popleft()
        return self._waiting[0][0] if self._waiting else None

    def _begin(self, socket_id: str) -> Session | None:
        """Return the session of a new client; None: the gateway has too many clients."""
        if len(self._sessions) >= self._gate.settings.max_clients:
            log.warning("gateway.tooManyClients", extra={"clients": len(self._sessions)})
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

    def _dismiss(self, socket_id: str, reason: str) -> None:
        self._end(socket_id)
        self._buffer.put(close_frame(socket_id, 1008, reason))

    def _message(self, session: Session, data: str) -> None:
        if self._has_expired():
            session.refuse_expired(data)
            return
        if is_longer(data, session.max_bytes):
            session.refuse_size(data)
            return
        try:
            session.receive(data)
        except NotJson as exc:
            session.refuse_text(exc.detail)

    def _vouched_for(self, user: Vouched) -> Identity:
        """Return a user, with those further roles that the configuration lets a gateway grant."""
        wished = {role for role in Role if role in user.roles}
        roles = frozenset({Role.USER}) | (wished & self._gate.settings.gateway_roles)
        return Identity(user.domain, user.user, roles)

    def _send(self, socket_id: str, message: bytes) -> None:
        """Send a message of a session. Events are dropped while the token has expired."""
        if not (is_event(message) and self._has_expired()):
            self._buffer.put(message_frame(socket_id, message))


def _needs_no_deadline(session: Session) -> bool:
    return session.closed or session.admitted
