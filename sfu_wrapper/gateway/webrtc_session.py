"""Media session of one browser over ``/media`` (callpage.md).

The browser authenticates, then enters a room that its user takes part in; both end together. What
enters: the closed vocabulary of ``wire.webrtc_signaling`` (``receive``), and events of the media
plane. What leaves: one response to each request, and events. The session never blocks and knows
nothing of any SFU.
"""

import logging
from collections.abc import Callable

from sfu_wrapper.gateway.expiry import Expiry
from sfu_wrapper.gateway.limits import TokenBucket
from sfu_wrapper.gateway.send_queue import Close, Outgoing
from sfu_wrapper.gateway.session import GatewayContext, refusal_of, too_many
from sfu_wrapper.model.errors import (
    Broken,
    Code,
    RecordingError,
    Refused,
    Unavailable,
)
from sfu_wrapper.model.identity import DomainId, Identity, RoomId
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.model.webrtc import MediaLost, MediaNews, Outcome
from sfu_wrapper.ports.media_plane import Line
from sfu_wrapper.service.rooms.media_sessions import MediaSessionSlot
from sfu_wrapper.wire.envelope import AUTHENTICATE, Envelope, open_envelope, open_first, peek
from sfu_wrapper.wire.signaling import error_response, ok_response
from sfu_wrapper.wire.strict_json import NotJson
from sfu_wrapper.wire.validation import UNAUTHENTICATED_BYTES
from sfu_wrapper.wire.webrtc_signaling import (
    ENTER,
    AuthenticateMedia,
    Enter,
    MediaRequest,
    news_event,
    read_media_request,
    require_media_endpoint,
)

log = logging.getLogger(__name__)

# In addition to the limits of signaling: a browser has a dozen candidates for each connection.
_PER_SECOND = 40
_BURST = 200
_POLICY = 1008
_RETRY_LATER = 1012


class MediaSession:
    """Connection to ``/media`` from its first message to its loss."""

    def __init__(self, gate: GatewayContext, send: Callable[[Outgoing], None]) -> None:
        if gate.media is None:
            raise Broken("a media session needs a media plane for browsers")
        self._gate = gate
        self._context = gate.media
        self._send = send
        self._bucket = TokenBucket(_PER_SECOND, _BURST)
        self._identity: Identity | None = None
        self._expiry = Expiry()
        self._slot: MediaSessionSlot | None = None
        self._line: Line | None = None
        self._closed = False

    @property
    def admitted(self) -> bool:
        """True once the browser has entered a room."""
        return self._line is not None

    @property
    def is_service(self) -> bool:
        """False: the room service has no media."""
        return False

    @property
    def max_bytes(self) -> int:
        """Limit in bytes of a message; a small one until the browser has authenticated."""
        longest = self._gate.settings.max_message_bytes
        return min(longest, UNAUTHENTICATED_BYTES) if self._identity is None else longest

    @property
    def expiry(self) -> Expiry:
        """Time at which the expired token ends the connection."""
        return self._expiry

    def admit(self, identity: Identity) -> None:
        """Take on an identity; later ones must be of the same user. Raises Refused."""
        if self._identity is not None and self._identity.key != identity.key:
            raise Refused(Code.BAD_REQUEST, "this connection has another user; open a new one")
        self._identity = identity
        self._expiry.renew(identity.expires_ms, self._gate.clock.now())

    def receive(self, message: str) -> None:
        """Handle one message; exactly one response to it is sent, now or later.

        Raises:
            NotJson: the message is not JSON; no response was sent.
        """
        now = self._gate.clock.now()
        limited = too_many([self._bucket], now.mono_ms)
        if limited is not None:
            self._refuse(*peek(message), limited)
            return
        envelope = None
        try:
            envelope = open_first(message) if self._identity is None else open_envelope(message)
            self._carry_out(envelope, now)
        except NotJson:
            raise
        except Exception as exc:
            self._refuse(*refusal_of(exc, envelope))

    def close(self) -> None:
        """End the session of a lost connection; a second call does nothing."""
        self._closed = True
        if self._slot is not None:
            self._context.sessions.leave(self._slot)
        if self._line is not None:
            self._line.close()
            self._line = None

    def _carry_out(self, envelope: Envelope, now: Instant) -> None:
        """Check identity and room before the payload is validated."""
        require_media_endpoint(envelope)
        if envelope.endpoint == AUTHENTICATE:
            self._authenticate(read_media_request(envelope))
        elif envelope.endpoint == ENTER:
            identity = self._identified(now)
            self._enter(read_media_request(envelope), identity)
        elif self._line is None or self._slot is None:
            raise Refused(Code.NOT_IN_ROOM, "enter a room first")
        else:
            request = read_media_request(envelope)
            assert not isinstance(request.payload, AuthenticateMedia | Enter)  # noqa: S101  # above
            line_request = request.payload.line_request(self._slot.place.shown)
            self._line.request(line_request, lambda outcome: self._answer(request, outcome))

    def _authenticate(self, request: MediaRequest) -> None:
        assert isinstance(request.payload, AuthenticateMedia)  # noqa: S101  # by its endpoint
        self.admit(self._gate.authenticator.identify(request.payload.token))
        self._answer(request, None)

    def _identified(self, now: Instant) -> Identity:
        """Return the valid identity. Raises Refused if there is none."""
        identity = self._identity
        if identity is None:
            raise Refused(Code.UNAUTHENTICATED, "authenticate first")
        if identity.has_expired(now.wall_ms):
            raise Refused(Code.UNAUTHENTICATED, "the token has expired; authenticate again")
        return identity

    def _enter(self, request: MediaRequest, identity: Identity) -> None:
        assert isinstance(request.payload, Enter)  # noqa: S101  # by its endpoint
        room = RoomId(request.payload.room)
        domain = DomainId(request.payload.domain or identity.domain)
        if self._slot is not None:
            raise Refused(Code.BAD_REQUEST, "this connection is in a room already; open a new one")
        slot = self._context.sessions.take(identity.key, domain, room, self._cut)
        try:
            self._line = self._context.media.open(slot.place, self._emit)
        except Unavailable:
            self._context.sessions.leave(slot)
            raise
        self._slot = slot
        log.debug("media.entered", extra={"room": slot.place.room})
        payload = {"room": room, "user": slot.place.shown}
        self._put(ok_response(request.endpoint, request.id, payload))

    def _answer(self, request: MediaRequest, outcome: Outcome) -> None:
        if isinstance(outcome, RecordingError):
            self._refuse(request.endpoint, request.id, outcome)
        else:
            payload = {} if outcome is None else {"sdp": outcome}
            self._put(ok_response(request.endpoint, request.id, payload))

    def _emit(self, news: MediaNews) -> None:
        if isinstance(news, MediaLost):
            self._put(Close(_RETRY_LATER, "the media server is unavailable"))
        elif self._slot is not None:
            self._put(news_event(news, self._slot.place.shown))

    def _cut(self, reason: str) -> None:
        self._put(Close(_POLICY, reason))
        self.close()

    def _refuse(self, endpoint: str | None, request_id: str | None, error: RecordingError) -> None:
        self._put(error_response(endpoint, request_id, error.code, error.detail, error.context))

    def _put(self, frame: Outgoing) -> None:
        if not self._closed:
            self._send(frame)
