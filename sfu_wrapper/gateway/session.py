"""Session of one client: its identity, its rate limit, and the dispatch of its requests.

What enters: messages within the size limit (``receive``), and identities (``admit``). What leaves:
exactly one response to each request, and events. A link calls ``receive`` for each message and
``close`` once at the end; requests about rooms go to ``RoomsApi.handle``, whose responses come back
through ``AuthenticatedClient.deliver``, now or later. A session never blocks and knows nothing of
rooms. A socket of its own and a socketId on a gateway have the same session.

Each message passes these checks in this order:

    size       by the link, before it calls ``receive``
    limiter    counts the message before anything is parsed
    envelope   endpoint and id, within limits on the structure of the JSON
    identity   before the payload is validated
    payload    validated, then handed to the rooms

Each check costs more than the one before, so refusing a message is cheap. A request is answered
even if handling it raises an unexpected exception.
"""

import itertools
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import uuid4

from sfu_wrapper.gateway.auth import Authenticator
from sfu_wrapper.gateway.expiry import Expiry
from sfu_wrapper.gateway.limits import ANSWER_BYTES, NOTICES, Limits, TokenBucket
from sfu_wrapper.gateway.settings import GatewaySettings
from sfu_wrapper.model.errors import (
    Broken,
    Code,
    Malformed,
    RecordingError,
    Refused,
    Unavailable,
)
from sfu_wrapper.model.identity import Identity, Role
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.ports.media_plane import BrowserMedia
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.rooms.media_sessions import MediaSessions
from sfu_wrapper.service.rooms.sessions import RoomsApi
from sfu_wrapper.wire.envelope import (
    AUTHENTICATE,
    Envelope,
    Unanswerable,
    open_envelope,
    open_first,
    peek,
)
from sfu_wrapper.wire.signaling import (
    Authenticate,
    Ping,
    Request,
    error_response,
    is_event,
    ok_response,
    read_request,
    require_endpoint,
)
from sfu_wrapper.wire.strict_json import NotJson, iso
from sfu_wrapper.wire.validation import UNAUTHENTICATED_BYTES

log = logging.getLogger(__name__)


def refusal_of(
    error: Exception, envelope: Envelope | None
) -> tuple[str | None, str | None, RecordingError]:
    """Return the response to a request that failed: its endpoint, its id and the error.

    Args:
        error: raised while the request was read or carried out. What is no error of ours for
            clients is a bug: it is logged, and costs neither this client nor others their link.
        envelope: the request as far as it was opened; None: not at all.
    """
    if isinstance(error, Unanswerable):
        return error.endpoint, error.id, error
    endpoint, request_id = (envelope.endpoint, envelope.id) if envelope else (None, None)
    if isinstance(error, Refused | Malformed | Unavailable):
        return endpoint, request_id, error
    incident = uuid4().hex
    extra = {"incident": incident, "endpoint": endpoint}
    log.error("gateway.requestFailed", extra=extra, exc_info=error)
    return endpoint, request_id, Broken("something went wrong on our side", incident=incident)


def is_longer(text: str, limit: int) -> bool:
    """Return True if a text has more than ``limit`` bytes in UTF-8."""
    if len(text) > limit or text.isascii():
        return len(text) > limit
    return len(text.encode(errors="surrogatepass")) > limit


def too_many(buckets: Sequence[TokenBucket], now_ms: int) -> Refused | None:
    """Take a token out of each bucket, or out of none if one of them is empty.

    Returns:
        The refusal with the time to wait; None: the message is within the limits.
    """
    wait_ms = max(bucket.wait_ms(now_ms) for bucket in buckets)
    if wait_ms > 0:
        retry_after = math.ceil(wait_ms) / 1000
        detail = "too many requests; wait a little"
        return Refused(Code.RATE_LIMITED, detail, retryAfter=retry_after)
    for bucket in buckets:
        bucket.take()
    return None


_CLIENT_ROLES = frozenset({Role.USER, Role.DOMAIN_ADMIN, Role.SERVICE})


@dataclass(frozen=True, slots=True)
class MediaContext:
    """Parts that connections to ``/media`` use."""

    media: BrowserMedia
    sessions: MediaSessions


@dataclass(frozen=True, slots=True)
class GatewayContext:
    """Parts that all clients of one server share.

    Attributes:
        settings: limits of connections and requests.
        rooms: handles requests about rooms.
        authenticator: verifies tokens.
        clock: times of rate limits and of the expiry of tokens.
        limits: rate limits of users.
        media: for ``/media``; None: the media plane carries no media of browsers.
    """

    settings: GatewaySettings
    rooms: RoomsApi
    authenticator: Authenticator
    clock: Clock
    limits: Limits
    media: MediaContext | None = None
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def next_key(self) -> str:
        """Return a key that no client of this process has had."""
        return f"client-{next(self._numbers)}"


class AuthenticatedClient:
    """``service.rooms.sessions.Client``: one identity on one connection."""

    __slots__ = ("_charge", "_send", "identity", "key")

    def __init__(
        self,
        key: str,
        identity: Identity,
        send: Callable[[bytes], None],
        charge: Callable[[float], None],
    ) -> None:
        self.key = key
        self.identity = identity
        self._send = send
        self._charge = charge

    def deliver(self, message: bytes) -> None:
        """Send one whole message, in order."""
        self._send(message)

    def charge(self, notices: int) -> None:
        """Charge notices to many users as requests; notices to a few are part of the request."""
        if notices >= NOTICES:
            self._charge(notices / NOTICES)

    def leave(self, charge: Callable[[float], None]) -> None:
        """Stop sending, and charge later notices with ``charge`` instead."""
        self._send, self._charge = _drop, charge


class Session:
    """Client from its first message to the loss of its connection.

    Args:
        gate: parts that all clients share.
        send: sends one message to the client.
    """

    __slots__ = ("_bucket", "_closed", "_expiry", "_gate", "_member", "_send")

    def __init__(self, gate: GatewayContext, send: Callable[[bytes], None]) -> None:
        self._gate = gate
        self._send = send
        self._member: AuthenticatedClient | None = None
        self._bucket = gate.limits.fresh()
        self._expiry = Expiry()
        self._closed = False

    @property
    def admitted(self) -> bool:
        """True once the client has authenticated."""
        return self._member is not None

    @property
    def is_service(self) -> bool:
        """True for the room service."""
        return self._member is not None and self._member.identity.is_service

    @property
    def max_bytes(self) -> int:
        """Limit in bytes of a message; a small one until the client has authenticated."""
        longest = self._gate.settings.max_message_bytes
        return longest if self.admitted else min(longest, UNAUTHENTICATED_BYTES)

    @property
    def closed(self) -> bool:
        """True once the connection is lost."""
        return self._closed

    @property
    def identity(self) -> Identity | None:
        """Identity, as last authenticated; None before."""
        return None if self._member is None else self._member.identity

    @property
    def expiry(self) -> Expiry:
        """Time at which the expired token ends the connection."""
        return self._expiry

    def admit(self, identity: Identity) -> None:
        """Take on an identity. Another user than before is another client to the rooms."""
        self._expiry.renew(identity.expires_ms, self._gate.clock.now())
        member = self._member
        if member is not None and member.identity.key == identity.key:
            if member.identity.is_service != identity.is_service:
                self._bucket = self._gate.limits.fresh(service=identity.is_service)
            member.identity = identity
            return
        if member is not None:
            self._gate.rooms.disconnected(member)
        self._bucket = self._gate.limits.fresh(service=identity.is_service)
        self._member = AuthenticatedClient(
            self._gate.next_key(), identity, self._deliver, self._charge
        )
        self._gate.rooms.connected(self._member)

    def receive(self, message: str) -> None:
        """Handle one message; exactly one response to it is sent, now or later.

        Raises:
            NotJson: the message is not JSON; no response was sent.
        """
        now = self._gate.clock.now()
        limited = self._limited(now)
        if limited is not None:
            self._refuse(*peek(message), limited)
            return
        envelope = None
        try:
            envelope = open_envelope(message) if self.admitted else open_first(message)
            if envelope.endpoint == AUTHENTICATE:
                self._authenticate(read_request(envelope))
                return
            require_endpoint(envelope)
            member = self._entitled(now)  # before anything of the payload is validated
            request = read_request(envelope)
            if isinstance(request.payload, Ping):
                self._deliver(ok_response(request.endpoint, request.id, {}))
            else:
                self._gate.rooms.handle(member, request)
        except NotJson:
            raise
        except Exception as exc:
            self._refuse(*refusal_of(exc, envelope))

    def refuse_size(self, message: str) -> None:
        """Refuse a message that is longer than ``max_bytes``."""
        limited = self._limited(self._gate.clock.now())
        too_big = Malformed(f"the message is too big: at most {self.max_bytes} bytes")
        self._refuse(*peek(message), limited or too_big)

    def refuse_expired(self, message: str) -> None:
        """Refuse a message over a gateway whose own token has expired."""
        limited = self._limited(self._gate.clock.now())
        expired = Refused(Code.UNAUTHENTICATED, "the token of the gateway has expired")
        self._refuse(*peek(message), limited or expired)

    def refuse_text(self, detail: str) -> None:
        """Refuse a message that is not JSON."""
        self._refuse(None, None, Malformed(detail))

    def close(self) -> None:
        """End the session of a lost connection; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._member is not None:
            self._gate.rooms.disconnected(self._member)
            self._member.leave(partial(_charge_user, self._gate, self._member.identity))

    def _deliver(self, message: bytes) -> None:
        """Send a response or an event. Events are dropped once the token has expired."""
        if self._closed:
            return
        event = is_event(message)
        if event and self._has_expired():
            return
        if not event and not self.is_service and len(message) > ANSWER_BYTES:
            self._charge(len(message) / ANSWER_BYTES)
        self._send(message)

    def _charge(self, tokens: float) -> None:
        """Charge the extra cost of a request to this connection and its user."""
        for bucket in self._buckets(self._gate.clock.now()):
            bucket.charge(tokens)

    def _has_expired(self) -> bool:
        identity = self.identity  # the clock is read for those whose token may expire at all
        if identity is None or identity.expires_ms is None:
            return False
        return identity.has_expired(self._gate.clock.now().wall_ms)

    def _refuse(self, endpoint: str | None, request_id: str | None, error: RecordingError) -> None:
        answer = error_response(endpoint, request_id, error.code, error.detail, error.context)
        self._deliver(answer)

    def _limited(self, now: Instant) -> RecordingError | None:
        """Count one message against this connection and its user."""
        return too_many(self._buckets(now), now.mono_ms)

    def _buckets(self, now: Instant) -> list[TokenBucket]:
        if self._member is None:
            return [self._bucket]
        return [self._bucket, self._gate.limits.of(self._member.identity, now.mono_ms)]

    def _entitled(self, now: Instant) -> AuthenticatedClient:
        """Return the client with a valid identity. Raises Refused if it has none."""
        member = self._member
        if member is None:
            raise Refused(Code.UNAUTHENTICATED, "authenticate first")
        if member.identity.has_expired(now.wall_ms):
            raise Refused(Code.UNAUTHENTICATED, "the token has expired; authenticate again")
        if not member.identity.roles & _CLIENT_ROLES:
            raise Refused(
                Code.FORBIDDEN, "the token has no role for requests: user, domain-admin or service"
            )
        return member

    def _authenticate(self, request: Request) -> None:
        """Send the response before the events that it causes. Raises Refused."""
        assert isinstance(request.payload, Authenticate)  # noqa: S101  # by its endpoint
        identity = self._gate.authenticator.identify(request.payload.token)
        payload = {
            "user": identity.user,
            "domain": identity.domain,
            "roles": sorted(identity.roles),
            "expiresAt": None if identity.expires_ms is None else iso(identity.expires_ms),
        }
        self._deliver(ok_response(request.endpoint, request.id, payload))
        self.admit(identity)


def _charge_user(gate: GatewayContext, identity: Identity, tokens: float) -> None:
    """Charge a user whose connection is lost, since the user may connect again."""
    gate.limits.of(identity, gate.clock.now().mono_ms).charge(tokens)


def _drop(_: bytes) -> None:
    """Discard a message."""
