"""One browser's media: who it is, where it sits, and what becomes of its requests (callpage.md).

A session begins where its user takes part in the room, and ends when that ends. Its requests are
the closed vocabulary of ``wire.webrtc_signaling``. Knows nothing of any SFU. Never blocks.
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

# Beside those of its user's signaling: a browser has a dozen candidates for each connection.
_PER_SECOND = 40
_BURST = 200
_POLICY = 1008
_COME_BACK = 1012


class MediaSession:
    """One connection to ``/media`` from its first message to its loss."""

    def __init__(self, gate: GatewayContext, send: Callable[[Outgoing], None]) -> None:
        if gate.media is None:
            raise Broken("there is no media to be had here")
        self._gate = gate
        self._door = gate.media
        self._send = send
        self._bucket = TokenBucket(_PER_SECOND, _BURST)
        self._identity: Identity | None = None
        self._expiry = Expiry()
        self._seat: MediaSessionSlot | None = None
        self._line: Line | None = None
        self._closed = False

    @property
    def admitted(self) -> bool:
        """Whether it has come in."""
        return self._line is not None

    @property
    def is_service(self) -> bool:
        """Never: media are of people."""
        return False

    @property
    def max_bytes(self) -> int:
        """Longest message that is read: little until the browser has said who it is."""
        longest = self._gate.settings.max_message_bytes
        return min(longest, UNAUTHENTICATED_BYTES) if self._identity is None else longest

    @property
    def expiry(self) -> Expiry:
        """When its connection ends because its token has."""
        return self._expiry

    def admit(self, identity: Identity) -> None:
        """It is this user, for as long as it lasts."""
        if self._identity is not None and self._identity.key != identity.key:
            raise Refused(Code.BAD_REQUEST, "this connection is somebody already; open another")
        self._identity = identity
        self._expiry.renew(identity.expires_ms, self._gate.clock.now())

    def receive(self, message: str) -> None:
        """Take one message; exactly one response to it is sent, now or later.

        Raises:
            NotJson: it is no JSON; nothing was sent.
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
        """Its connection is gone; called again, nothing happens."""
        self._closed = True
        if self._seat is not None:
            self._door.seats.leave(self._seat)
        if self._line is not None:
            self._line.close()
            self._line = None

    def _carry_out(self, envelope: Envelope, now: Instant) -> None:
        """Check who asks, and from where, before the payload is looked at."""
        require_media_endpoint(envelope)
        if envelope.endpoint == AUTHENTICATE:
            self._authenticate(read_media_request(envelope))
        elif envelope.endpoint == ENTER:
            identity = self._identified(now)
            self._enter(read_media_request(envelope), identity)
        elif self._line is None or self._seat is None:
            raise Refused(Code.NOT_IN_ROOM, "enter a room first")
        else:
            request = read_media_request(envelope)
            assert not isinstance(request.payload, AuthenticateMedia | Enter)  # noqa: S101  # above
            ask = request.payload.ask(self._seat.place.shown)
            self._line.ask(ask, lambda outcome: self._answer(request, outcome))

    def _authenticate(self, request: MediaRequest) -> None:
        assert isinstance(request.payload, AuthenticateMedia)  # noqa: S101  # by its endpoint
        self.admit(self._gate.authenticator.identify(request.payload.token))
        self._answer(request, None)

    def _identified(self, now: Instant) -> Identity:
        """Whoever this is. Raises Refused where that is nobody, or nobody any more."""
        identity = self._identity
        if identity is None:
            raise Refused(Code.UNAUTHENTICATED, "authenticate first")
        if self._expiry.has_expired(now):
            raise Refused(Code.UNAUTHENTICATED, "the token has expired; authenticate again")
        return identity

    def _enter(self, request: MediaRequest, identity: Identity) -> None:
        assert isinstance(request.payload, Enter)  # noqa: S101  # by its endpoint
        room = RoomId(request.payload.room)
        domain = DomainId(request.payload.domain or identity.domain)
        if self._seat is not None:
            raise Refused(Code.BAD_REQUEST, "this connection is in a room already; open another")
        seat = self._door.seats.take(identity.key, domain, room, self._cut)
        try:
            self._line = self._door.media.open(seat.place, self._tell)
        except Unavailable:
            self._door.seats.leave(seat)
            raise
        self._seat = seat
        log.debug("media.entered", extra={"room": seat.place.room})
        told = {"room": room, "user": seat.place.shown}
        self._put(ok_response(request.endpoint, request.id, told))

    def _answer(self, request: MediaRequest, outcome: Outcome) -> None:
        if isinstance(outcome, RecordingError):
            self._refuse(request.endpoint, request.id, outcome)
        else:
            payload = {} if outcome is None else {"sdp": outcome}
            self._put(ok_response(request.endpoint, request.id, payload))

    def _tell(self, news: MediaNews) -> None:
        if isinstance(news, MediaLost):
            self._put(Close(_COME_BACK, "the media server is away"))
        elif self._seat is not None:
            self._put(news_event(news, self._seat.place.shown))

    def _cut(self, reason: str) -> None:
        self._put(Close(_POLICY, reason))
        self.close()

    def _refuse(self, endpoint: str | None, request_id: str | None, error: RecordingError) -> None:
        self._put(error_response(endpoint, request_id, error.code, error.detail, error.context))

    def _put(self, frame: Outgoing) -> None:
        if not self._closed:
            self._send(frame)
