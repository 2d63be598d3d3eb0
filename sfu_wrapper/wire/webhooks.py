"""Bodies of ``/webhooks``: parsing, writing, and their models in the OpenAPI description."""

from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from sfu_wrapper.core.webhooks import MAX_URL_LENGTH, EventType
from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.webhook import Delivery, DeliveryState, Endpoint
from sfu_wrapper.wire.strict_json import iso, parse_strict
from sfu_wrapper.wire.validation import REQUEST, OneUnknownField, first_error

Json = dict[str, object]
CURSOR_MAX: Final = 2**53 - 1

# Described, not enforced: addresses with a name, which are accepted whatever it resolves to.
_TYPICAL_URL: Final = r"^https?://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}(:[1-9][0-9]{0,3})?(/[A-Za-z0-9._~/-]*)?$"

_Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
_Url = Annotated[str, Field(min_length=1, max_length=MAX_URL_LENGTH)]


class _Body(OneUnknownField):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", alias_generator=to_camel)


class WebhookBody(_Body):
    """A webhook to create: its address, and the types of events that it receives (empty: all)."""

    url: _Url
    types: Annotated[
        tuple[Annotated[EventType, Field(strict=False)], ...], Field(strict=False, max_length=20)
    ] = ()


class WebhookModel(_Body):
    """A webhook; ``disabled`` says why it receives nothing more."""

    id: str
    url: str
    types: list[str]
    created_at: _Time
    disabled: str | None


class CreatedWebhook(WebhookModel):
    """A new webhook with its secret, which is shown this once."""

    secret: str


class WebhookList(_Body):
    """The webhooks of a domain."""

    webhooks: list[WebhookModel]


class DeliveryModel(_Body):
    """An event on its way to a webhook; ``status`` and ``error`` are those of the last attempt."""

    id: str
    type: str
    subject: str
    at: _Time
    state: DeliveryState
    attempts: int
    next_attempt_at: _Time | None
    status: int | None
    error: str | None
    finished_at: _Time | None


class DeliveryPage(_Body):
    """Deliveries, newest first; ``next``: where the following page begins."""

    deliveries: list[DeliveryModel]
    next: int | None


def webhook_schema() -> dict[str, Any]:
    """Return the JSON Schema of the body of a POST, without references."""
    schema = WebhookBody.model_json_schema()
    definitions = schema.pop("$defs")
    schema["properties"]["types"]["items"] = definitions["EventType"]
    schema["properties"]["url"]["pattern"] = _TYPICAL_URL
    return schema


def parse_webhook(body: bytes) -> WebhookBody:
    """Read the body of a POST.

    Raises:
        Malformed: no unambiguous JSON, or a field is missing, wrong or unknown; ``path`` names it.
    """
    try:
        return WebhookBody.model_validate(parse_strict(body, REQUEST))
    except ValidationError as exc:
        path, first = first_error(exc)
        raise Malformed(f"{path or 'the body'} is wrong: {first['msg']}", path=path) from None


def webhook_json(endpoint: Endpoint) -> Json:
    """Return an endpoint without its secrets."""
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "types": list(endpoint.types),
        "createdAt": iso(endpoint.created_ms),
        "disabled": endpoint.disabled,
    }


def created_json(endpoint: Endpoint) -> Json:
    """Return a new endpoint with its secret."""
    return webhook_json(endpoint) | {"secret": endpoint.secrets[0]}


def delivery_json(delivery: Delivery) -> Json:
    """Return a delivery without its data."""
    pending = delivery.state is DeliveryState.PENDING
    finished_ms = delivery.finished_ms
    return {
        "id": delivery.id,
        "type": delivery.type,
        "subject": delivery.subject,
        "at": iso(delivery.at_ms),
        "state": delivery.state,
        "attempts": delivery.attempts,
        "nextAttemptAt": iso(delivery.due_ms) if pending else None,
        "status": delivery.status,
        "error": delivery.error,
        "finishedAt": None if finished_ms is None else iso(finished_ms),
    }
