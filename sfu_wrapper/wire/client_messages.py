"""Messages as a client reads and writes them: requests out, responses and events in.

The other side of ``signaling``. ``read_message`` reads the envelope, ``read_answer`` and
``read_event`` what is in it (``client_models``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.trace import TRACEPARENT, TRACESTATE, trace_context
from sfu_wrapper.wire.client_models import EVENTS, Event, Json, RoomChanged, UnknownEvent
from sfu_wrapper.wire.strict_json import dump, parse_strict
from sfu_wrapper.wire.validation import first_error


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """Error of a response (errors.md, "Answers to requests")."""

    code: str
    message: str
    details: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Response:
    """Response to the request ``id``: ``payload`` of an ok one, else ``error``."""

    id: str
    payload: Json | None = None
    error: ErrorBody | None = None


@dataclass(frozen=True, slots=True)
class EventMessage:
    """An event that has not been validated."""

    name: str
    payload: Json


_Model = TypeVar("_Model", bound=BaseModel)
_NO_TRACE: Final[Mapping[str, str]] = {}


def write_request(
    endpoint: str,
    request_id: str,
    payload: Mapping[str, object],
    trace: Mapping[str, str] = _NO_TRACE,
) -> str:
    """Return the text of a request; a valid ``traceparent`` in ``trace`` makes it part of it."""
    context = trace_context(trace.get(TRACEPARENT), trace.get(TRACESTATE))
    body = {"endpoint": endpoint, "payload": payload, "id": request_id}
    return dump({"type": "request", "payload": body | (context.fields if context else {})}).decode()


def read_message(text: str | bytes) -> Response | EventMessage | None:
    """Read a message of the controller.

    Returns:
        None for a response to something that had no readable id, and for types of a later version.

    Raises:
        Malformed: not a message of this protocol.
    """
    match parse_strict(text):
        case {"type": "event", "payload": {"event": str(name), "payload": dict(payload)}}:
            return EventMessage(name, payload)
        case {"type": "response", "payload": {"id": str(request_id)} as body}:
            return _response(request_id, body)
        case {"type": str(kind)} if kind != "event":
            return None
    raise Malformed("neither a response nor an event")


def _response(request_id: str, body: Mapping[str, object]) -> Response:
    match body:
        case {"status": "ok", "payload": dict(payload)}:
            return Response(request_id, payload)
        case {"status": "error", "error": {"code": str(code), "message": str(text), **rest}}:
            details = rest.get("details")
            return Response(
                request_id,
                error=ErrorBody(code, text, details if isinstance(details, dict) else {}),
            )
    raise Malformed("a response with neither payload nor error")


def read_answer(model: type[_Model], payload: Mapping[str, object]) -> _Model:
    """Return the typed payload of a response. Raises Malformed, with the wrong field's path."""
    try:
        return model.model_validate(payload)
    except ValidationError as exc:
        path, first = first_error(exc)
        raise Malformed(f"{model.__name__}: {path} {first['msg']}", path=path) from None


def read_event(message: EventMessage) -> Event:
    """Return the typed event. Raises Malformed, with the wrong field's path."""
    model = EVENTS.get(message.name)
    if model is None:
        return UnknownEvent(name=message.name, payload=message.payload)
    payload: Mapping[str, object] = message.payload
    if model is RoomChanged and "participants" in payload:
        # The event is the state itself; kept in one field, as ``gone`` comes without it.
        heads = {name: payload[name] for name in ("room", "uuid", "domain") if name in payload}
        payload = {**heads, "state": payload}
    return read_answer(model, payload)
