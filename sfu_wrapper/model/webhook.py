"""Webhook endpoints and the deliveries to them (webhooks.md)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sfu_wrapper.model.identity import DomainId

TEST_TYPE: Final = "webhook.test"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address that receives events.

    Attributes:
        id: unique in the store.
        domain: domain whose events it receives; None: those of all domains.
        url: http or https.
        secrets: ``whsec_…``, at least one; each signs every delivery, so that they can be rotated.
        types: types of events that it receives; empty: all.
        created_ms: epoch ms.
        configured: True if it comes from the configuration, which alone can change it.
        disabled: why it receives nothing more; None: it is enabled.
    """

    id: str
    domain: DomainId | None
    url: str
    secrets: tuple[str, ...]
    types: tuple[str, ...]
    created_ms: int
    configured: bool = False
    disabled: str | None = None


class DeliveryState(StrEnum):
    """State of a delivery (webhooks.md, "Deliveries")."""

    PENDING = "pending"
    DELIVERED = "delivered"
    GIVEN_UP = "givenUp"


@dataclass(frozen=True, slots=True)
class Delivery:
    """Event on its way to one endpoint.

    Attributes:
        seq: rising number given by the store.
        id: ``webhook-id``, stable over retries.
        endpoint: id of the endpoint.
        type: type of the event.
        domain: domain of the event.
        subject: deliveries of one subject stay in order.
        at_ms: epoch ms of the event.
        data: UTF-8 JSON object.
        state: state.
        attempts: number of attempts so far.
        due_ms: epoch ms of the next attempt, while it is pending.
        status: HTTP status of the last attempt; None: there was no answer, or no attempt.
        error: why the last attempt failed; None: it did not.
        finished_ms: epoch ms at which it was delivered or given up; None: pending.
    """

    seq: int
    id: str
    endpoint: str
    type: str
    domain: DomainId
    subject: str
    at_ms: int
    data: bytes
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    due_ms: int = 0
    status: int | None = None
    error: str | None = None
    finished_ms: int | None = None
