"""The envelope of requests: type, endpoint and id around a payload (protocol.md, "Messages").

Three functions read a message, from cheap to expensive:

``peek``           endpoint and id alone, in microseconds; for refusals that must cost nothing
``open_envelope``  parses the JSON within limits on its structure; does not validate the payload
``read_payload``   validates the payload against the model of its endpoint

The gateway counts a message against the rate limit, opens it, checks the sender's authentication,
and validates the payload last.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sfu_wrapper.model.errors import Code, RecordingError
from sfu_wrapper.model.trace import TRACEPARENT, TRACESTATE, TraceContext, trace_context
from sfu_wrapper.wire.strict_json import Ambiguous, TooMuch, parse_strict
from sfu_wrapper.wire.validation import BEFORE_AUTHENTICATION, REQUEST, first_error

AUTHENTICATE = "authenticate"
NAME_PATTERN = r"\A[A-Za-z0-9._@+:-]{1,128}\z"
# A user as others see it: of another domain than the room's, DOMAIN/USER.
SHOWN_USER_PATTERN = r"\A([A-Za-z0-9._@+:-]{1,128}/)?[A-Za-z0-9._@+:-]{1,128}\z"
FILE_NAME_PATTERN = r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,63}\z"

_MAX_ECHO = 256  # characters of an id or endpoint that an error repeats to its sender
_REQUEST_ID = re.compile(r"[\x20-\x7e]{1,128}")
_Model = TypeVar("_Model", bound=BaseModel)

# Messages for errors whose pydantic text would not help a client developer.
_MESSAGES = {
    "missing": "is missing",
    "tuple_type": "must be a list",
    "model_type": "must be an object",
    "extra_forbidden": "is not known here",
    "null": "may be left out, but not be null",
    NAME_PATTERN: "must be 1 to 128 characters of A-Z a-z 0-9 . _ @ + : -",
    SHOWN_USER_PATTERN: "must be a user as it was shown: an id, or DOMAIN/ID",
    FILE_NAME_PATTERN: "must be 1 to 64 characters of A-Z a-z 0-9 . _ -, the first none of . and -",
}
_PLAIN = frozenset({"too_many"})  # errors whose message is a sentence of ours


class Unanswerable(RecordingError):
    """A message that is not a valid request, with the fields of the error response.

    Attributes:
        code: BAD_REQUEST, UNKNOWN_ENDPOINT, or UNAUTHENTICATED for a message that was not parsed.
        endpoint: as sent; None if it could not be read.
        id: as sent; None if it could not be read.
        context: ``path`` is the first wrong field, relative to the request, such as
            ``payload.media.audio`` or ``id``.
    """

    def __init__(
        self, code: Code, detail: str, path: str, endpoint: str | None, request_id: str | None
    ) -> None:
        super().__init__(detail, **({"path": path} if path else {}))
        self.code = code
        self.endpoint = endpoint
        self.id = request_id


@dataclass(frozen=True, slots=True)
class Envelope:
    """A request whose payload has not been validated; ``trace``: its trace context, if any."""

    endpoint: str
    id: str
    payload: dict[str, object]
    trace: TraceContext | None = None


def open_first(message: str) -> Envelope:
    """Open a message of a client that has not authenticated yet.

    Raises:
        NotJson, Unanswerable: as ``open_envelope``; UNAUTHENTICATED, without parsing, if the
            message has more structure than ``authenticate`` needs.
    """
    if not BEFORE_AUTHENTICATION.admits(message):
        detail = "authenticate first, in a message of few fields"
        raise Unanswerable(Code.UNAUTHENTICATED, detail, "", *peek(message))
    return open_envelope(message)


def open_envelope(message: str) -> Envelope:
    """Parse a message and return its envelope.

    Raises:
        NotJson: the message is not JSON.
        Unanswerable: it is not a request, or has more structure than any request needs.
    """
    try:
        frame = parse_strict(message, REQUEST)
    except TooMuch as exc:
        raise Unanswerable(Code.BAD_REQUEST, exc.detail, "", *peek(message)) from None
    except Ambiguous as exc:
        raise _bad_request(exc.detail, "", exc.value) from exc
    if not isinstance(frame, dict) or frame.get("type") != "request":
        raise _bad_request("a message of type request is expected", "type", frame)
    match frame.get("payload"):
        case {"endpoint": str(endpoint), "id": str(request_id), "payload": dict(payload), **more}:
            if not _REQUEST_ID.fullmatch(request_id):
                detail = "id must be 1 to 128 printable ASCII characters"
                raise _bad_request(detail, "id", frame)
            trace = trace_context(more.get(TRACEPARENT), more.get(TRACESTATE)) if more else None
            return Envelope(endpoint, request_id, payload, trace)
        case inner:
            path = _first_wrong(inner)
            raise _bad_request(f"{path} is missing or of a wrong type", path, frame)


def model_of(endpoints: Mapping[str, type[_Model]], envelope: Envelope) -> type[_Model]:
    """Return the payload model of the endpoint. Raises Unanswerable: UNKNOWN_ENDPOINT."""
    model = endpoints.get(envelope.endpoint)
    if model is None:
        raise _unanswerable(Code.UNKNOWN_ENDPOINT, "unknown endpoint", "endpoint", envelope)
    return model


def read_payload(model: type[_Model], envelope: Envelope) -> _Model:
    """Validate the payload.

    Raises:
        Unanswerable: BAD_REQUEST; detail and ``path`` name the first wrong field.
    """
    try:
        return model.model_validate(envelope.payload)
    except ValidationError as exc:
        path, first = first_error(exc)
        path = f"payload.{path}"
        detail = f"{path} {_explain(first)}"
        raise _unanswerable(Code.BAD_REQUEST, detail, path, envelope) from None


# The two usual orders of a request's members, with texts that need no unescaping.
_PEEKED = 1024  # characters read at each end of a message
_TEXT = r'"([\x20\x21\x23-\x5b\x5d-\x7e]{1,256})"'
_MEMBER = rf'"(endpoint|id)"\s*:\s*{_TEXT}\s*'
_TYPE = r'"type"\s*:\s*"request"\s*'
_START = re.compile(rf'\s*\{{\s*(?:{_TYPE},\s*)?"payload"\s*:\s*\{{\s*')
_LEADING = re.compile(rf"{_MEMBER},\s*")
_TRAILING = re.compile(rf",\s*(?:{_MEMBER},\s*)?{_MEMBER}\}}\s*(?:,\s*{_TYPE})?\}}\s*\Z")


def peek(message: str) -> tuple[str | None, str | None]:
    """Find endpoint and id of a message that is not going to be parsed.

    A short message is parsed after all. Of a long one only the first and the last characters are
    read, so that the cost does not depend on its content. The result is for the error response to
    the sender alone: it is not validated.

    Returns:
        Endpoint and id, each None if it was not found.
    """
    if len(message) <= _PEEKED:
        try:
            return _echo(orjson.loads(message))
        except orjson.JSONDecodeError:
            return None, None
    head, tail = message[:_PEEKED], message[-_PEEKED:]
    start = _START.match(head)
    if start is None:
        return None, None
    found: dict[str, str] = {}
    at = start.end()
    while member := _LEADING.match(head, at):
        found[member[1]] = member[2]
        at = member.end()
    if trailing := _TRAILING.search(tail):
        groups = trailing.groups()
        found |= {name: text for name, text in zip(groups[::2], groups[1::2], strict=True) if name}
    return found.get("endpoint"), found.get("id")


def _explain(error: ErrorDetails) -> str:
    if error["type"] in _PLAIN:
        return error["msg"]
    pattern = error.get("ctx", {}).get("pattern")
    return _MESSAGES.get(pattern or error["type"]) or f"is wrong: {error['msg']}"


def _first_wrong(inner: object) -> str:
    """Return the first field of a request object that is missing or has a wrong type."""
    if not isinstance(inner, dict):
        return "payload"
    kinds = (("endpoint", str), ("id", str), ("payload", dict))
    return next(field for field, kind in kinds if not isinstance(inner.get(field), kind))


def _unanswerable(code: Code, detail: str, path: str, envelope: Envelope) -> Unanswerable:
    return Unanswerable(code, detail, path, _repeatable(envelope.endpoint), envelope.id)


def _bad_request(detail: str, path: str, frame: object) -> Unanswerable:
    return Unanswerable(Code.BAD_REQUEST, detail, path, *_echo(frame))


def _echo(frame: object) -> tuple[str | None, str | None]:
    """Return endpoint and id, each None if it cannot be read or is too long to repeat."""
    match frame:
        case {"payload": dict(inner)}:
            return _repeatable(inner.get("endpoint")), _repeatable(inner.get("id"))
    return None, None


def _repeatable(value: object) -> str | None:
    if not isinstance(value, str) or len(value) > _MAX_ECHO:
        return None
    return value if value.isprintable() else None
