"""The WebSocket protocol and the messages on the broker as an AsyncAPI 3.0 document.

Built from the models that read and write the messages, so that it cannot differ from them. Frames
of gateways have no models; their schemas are beside their parser (protocol.md, "Gateway frames").

Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0; asyncapi.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from sfu_wrapper.model.errors import Code
from sfu_wrapper.model.trace import TRACEPARENT, TRACESTATE
from sfu_wrapper.wire import (
    deletion_messages,
    gateway_frames,
    job_messages,
    job_results,
    recording_info,
    signaling,
)
from sfu_wrapper.wire import webrtc_signaling as media_signaling
from sfu_wrapper.wire.client_models import ANSWERS, EVENTS, Joinable, RoomState
from sfu_wrapper.wire.json_schemas import REF, described, schemas_of

Json = dict[str, Any]

_TEXT: Final[Json] = {"type": "string"}
_ID: Final[Json] = {"type": "string", "pattern": r"^[\x20-\x7e]{1,128}$"}
_TRACE: Final[Json] = {
    name: {"type": "string", "description": "W3C Trace Context, of the sender; may be left out."}
    for name in (TRACEPARENT, TRACESTATE)
}
_CLIENT: Final = "client"
_MEDIA_EVENTS: Final = {
    "feedPublished": "Another participant publishes a camera or screen.",
    "feedUnpublished": "Another participant no longer publishes a camera or screen.",
    "lineLost": "The far end of a connection is lost; without user it is an own one.",
}
_FEED: Final[Json] = {"type": "object", "properties": {"user": _TEXT, "stream": _TEXT}}

_MANDATORY: Final = (recording_info.RECORDING_INFO, "processed", "failed")
_TRACED: Final = (
    *_MANDATORY,
    "roomRecordingStarted",
    "roomRecordingStopped",
    "roomRecordingFailed",
)


@dataclass(frozen=True, slots=True)
class BrokerNames:
    """Names at the broker, as configured: the exchange, and the queues bound to routing keys."""

    exchange: str
    queues: Mapping[str, tuple[str, ...]]


def asyncapi(version: str, names: BrokerNames) -> Json:
    """Return the document.

    Args:
        version: version of the software.
        names: names at the broker.
    """
    document: Json = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "sfu-wrapper",
            "version": version,
            "description": "Recording of calls: the WebSocket protocol of the controller, and the "
            "messages of controller and recording service on the broker.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {},
        "operations": {},
        "components": _components(),
    }
    writer = _Writer(document)
    _write_client(writer)
    _write_gateway(writer)
    _write_media(writer)
    _write_broker(writer, names)
    return document


def _components() -> Json:
    return {
        "schemas": {"Error": _error_schema()},
        "messages": {},
        "correlationIds": {
            "request": {
                "description": "The id of a request, which its response repeats.",
                "location": "$message.payload#/payload/id",
            }
        },
        "securitySchemes": {
            "token": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "In the handshake, or as the first request (authenticate).",
            }
        },
    }


def _servers() -> Json:
    host = {"host": {"default": "localhost", "description": "Host of the controller."}}
    return {
        "controller": {
            "host": "{host}:8765",
            "protocol": "ws",
            "description": "websocket.host and websocket.port; behind a proxy with TLS, wss.",
            "variables": host,
            "security": [{"$ref": "#/components/securitySchemes/token"}],
        },
        "broker": {
            "host": "localhost:5672",
            "protocol": "amqp",
            "protocolVersion": "0.9.1",
            "description": "rabbitmq.address. The embedded queue has the same messages.",
        },
    }


class _Writer:
    """Add channels, messages and operations to a document."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self.schemas: Json = document["components"]["schemas"]

    def channel(self, name: str, address: str, server: str, title: str, **more: object) -> None:
        """Add a channel without messages."""
        self._document["channels"][name] = {
            "address": address,
            "title": title,
            "servers": [{"$ref": f"#/servers/{server}"}],
            "messages": {},
            **more,
        }

    def message(self, channel: str, name: str, payload: Json, summary: str, **more: object) -> Json:
        """Add a message to a channel; return its reference there."""
        key = f"{channel}.{name}"
        self._document["components"]["messages"][key] = {
            "name": name,
            "summary": summary,
            "payload": payload,
            **more,
        }
        self._document["channels"][channel]["messages"][name] = {
            "$ref": f"#/components/messages/{key}"
        }
        return {"$ref": f"#/channels/{channel}/messages/{name}"}

    def operation(
        self, name: str, action: str, channel: str, messages: list[Json], **more: object
    ) -> None:
        """Add an operation: the software sends or receives these messages."""
        self._document["operations"][name] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{channel}"},
            "messages": messages,
            **more,
        }

    def exchange(
        self, channel: str, endpoint: str, request: Json, answer: Json, summary: str
    ) -> None:
        """Add a request with its response and the error response."""
        correlated = {"correlationId": {"$ref": "#/components/correlationIds/request"}}
        asked = self.message(
            channel,
            endpoint,
            _request_schema(endpoint, request, _TRACE if channel == _CLIENT else {}),
            summary,
            **correlated,
        )
        answered = self.message(
            channel,
            f"{endpoint}.response",
            _response_schema(endpoint, answer),
            f"Response to {endpoint}.",
            **correlated,
        )
        refused: Json = {"$ref": f"#/channels/{channel}/messages/error"}
        reply = {"channel": {"$ref": f"#/channels/{channel}"}, "messages": [answered, refused]}
        self.operation(f"{channel}.{endpoint}", "receive", channel, [asked], reply=reply)

    def error(self, channel: str) -> None:
        """Add the error response of a channel."""
        payload = _response_schema(None, None)
        correlated = {"correlationId": {"$ref": "#/components/correlationIds/request"}}
        self.message(channel, "error", payload, "A request was refused.", **correlated)

    def event(self, channel: str, name: str, payload: Json, summary: str) -> None:
        """Add an event."""
        sent = self.message(channel, name, _event_schema(name, payload), summary)
        self.operation(f"{channel}.{name}", "send", channel, [sent])


def _object(required: list[str], **properties: object) -> Json:
    return {"type": "object", "required": required, "properties": properties}


def _request_schema(endpoint: str, payload: Json, more: Json) -> Json:
    body = _object(
        ["endpoint", "payload", "id"],
        endpoint={"const": endpoint},
        payload=payload,
        id=_ID,
        **more,
    )
    return _object(["type", "payload"], type={"const": "request"}, payload=body)


def _response_schema(endpoint: str | None, payload: Json | None) -> Json:
    """Return the schema of a response; without a payload, that of an error response."""
    if payload is None:
        nullable = {"type": ["string", "null"]}
        body = _object(
            ["endpoint", "id", "status", "error"],
            endpoint=nullable,
            id=nullable,
            status={"const": "error"},
            error={"$ref": "#/components/schemas/Error"},
        )
    else:
        body = _object(
            ["endpoint", "id", "status", "payload"],
            endpoint={"const": endpoint},
            id=_ID,
            status={"const": "ok"},
            payload=payload,
        )
    return _object(["type", "payload"], type={"const": "response"}, payload=body)


def _event_schema(name: str, payload: Json) -> Json:
    body = _object(["event", "payload"], event={"const": name}, payload=payload)
    return _object(["type", "payload"], type={"const": "event"}, payload=body)


def _error_schema() -> Json:
    codes = [code.value for code in Code]
    return _object(["code", "message", "details"], message=_TEXT, details={"type": "object"}) | {
        "description": "Why a request was refused (errors.md). A later version may have new codes.",
        "properties": {
            "code": {"type": "string", "examples": codes},
            "message": {"type": "string", "description": "For programmers, in English."},
            "details": {"type": "object", "description": "Small facts, such as path, retryAfter."},
        },
    }


def _write_client(writer: _Writer) -> None:
    """Add ``/client``: requests with responses, and events."""
    models = [*signaling.ENDPOINTS.values(), *ANSWERS.values(), *EVENTS.values(), Joinable]
    writer.schemas |= schemas_of(models, prune=True)
    changed = writer.schemas["RoomChanged"]["properties"]
    gone = _object(["room", "uuid", "gone"], room=_TEXT, uuid=_TEXT, gone={"const": True})
    writer.schemas["RoomChanged"] = {
        "description": "A watched room changed; gone: the watcher may no longer see it.",
        "anyOf": [_ref(RoomState), gone | {"properties": gone["properties"] | _domain(changed)}],
    }
    channel = _CLIENT
    writer.channel(channel, "/client", "controller", "A web client or the room service")
    writer.error(channel)
    for endpoint, model in signaling.ENDPOINTS.items():
        answer = _ref(ANSWERS[endpoint])
        if endpoint == "joinRoom":
            answer = {"anyOf": [answer, _ref(Joinable)]}
        writer.exchange(channel, endpoint, _ref(model), answer, described(model))
    for name, event in EVENTS.items():
        writer.event(channel, name, _ref(event), described(event))


def _domain(properties: Json) -> Json:
    return {"domain": properties["domain"]}


def _ref(model: type[BaseModel]) -> Json:
    return {"$ref": REF.format(model=model.__name__.strip("_"))}


def _write_gateway(writer: _Writer) -> None:
    """Add ``/gateway``: frames that carry the messages of many clients."""
    channel = "gateway"
    writer.channel(channel, "/gateway", "controller", "A gateway that carries many clients")
    for name, frame in gateway_frames.FRAMES.items():
        payload = _object(["type", *frame["required"]], type={"const": name}, **frame["fields"])
        found = writer.message(channel, name, payload, frame["summary"])
        action = "send" if frame["sent"] else "receive"
        writer.operation(f"{channel}.{name}", action, channel, [found])
    message = {"$ref": f"#/channels/{channel}/messages/message"}
    writer.operation(f"{channel}.message.send", "send", channel, [message])


def _write_media(writer: _Writer) -> None:
    """Add ``/media``: the media of one browser."""
    channel = "media"
    writer.channel(channel, "/media", "controller", "The media of one browser")
    writer.error(channel)
    found = schemas_of(media_signaling.ENDPOINTS.values(), prune=True)
    writer.schemas |= found
    for endpoint, model in media_signaling.ENDPOINTS.items():
        summary = described(model) or f"See callpage.md, {endpoint}."
        writer.exchange(channel, endpoint, _ref(model), {"type": "object"}, summary)
    for name, summary in _MEDIA_EVENTS.items():
        writer.event(channel, name, _FEED, summary)


def _broker_models() -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the messages of the broker: routing key and model."""
    for schemas in (recording_info.SCHEMAS, job_results.SCHEMAS, deletion_messages.SCHEMAS):
        yield from schemas.items()


def _write_broker(writer: _Writer, names: BrokerNames) -> None:
    """Add a channel for each routing key."""
    for key, model in _broker_models():
        title = f"Broker{key[0].upper()}{key[1:]}"
        found = schemas_of([model], prefix=title)
        found[title] = found.pop(title + model.__name__.strip("_"))
        writer.schemas |= found
        payload = {"$ref": REF.format(model=title)}
        _write_key(writer, names, key, payload, described(model))
    for key in ("roomRecordingStarted", "roomRecordingStopped", "roomRecordingFailed", "roomEnded"):
        uuid = _object(["uuid"], uuid={"type": "string", "description": "The room's uuid."})
        _write_key(writer, names, key, {"allOf": [_ref(EVENTS[key]), uuid]}, described(EVENTS[key]))


def _write_key(writer: _Writer, names: BrokerNames, key: str, payload: Json, summary: str) -> None:
    channel = f"broker.{key}"
    exchange = {"name": names.exchange, "type": "topic", "durable": True, "autoDelete": False}
    queues = names.queues.get(key, ())
    bound = f" Bound to it: {', '.join(queues)}." if queues else ""
    writer.channel(
        channel,
        key,
        "broker",
        f"Messages with the routing key {key}",
        description=f"{summary}{bound}",
        bindings={"amqp": {"is": "routingKey", "exchange": exchange}},
    )
    found = writer.message(
        channel,
        key,
        payload,
        summary,
        bindings={"amqp": {"messageType": key}},
        **({"headers": {"type": "object", "properties": _TRACE}} if key in _TRACED else {}),
        contentType="application/json",
    )
    mode = 1 if key == job_messages.PROGRESS else 2
    amqp: Json = {"deliveryMode": mode, "mandatory": key in _MANDATORY}
    writer.operation(f"{channel}.send", "send", channel, [found], bindings={"amqp": amqp})
