"""Webhook endpoints and their deliveries: rows of the store, and their queries.

A delivery is a row for one event and one endpoint, written in the commit of the change that the
event reports (``Commit.events``). Deliveries of one endpoint and one subject are sent in the order
of their commits: only the first unfinished one, the head, is due. Changes of endpoints are part of
``Commit.webhooks``, so that they become durable with their audit entries. Source: webhooks.md.
"""

from asyncio import Future
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sfu_wrapper.model.identity import DomainId
from sfu_wrapper.model.webhook import Delivery, DeliveryState, Endpoint


@dataclass(frozen=True, slots=True)
class Attempt:
    """Result of one attempt at a delivery.

    Attributes:
        delivery: the delivery as it was read.
        at_ms: epoch ms of its end.
        state: state of the delivery after it.
        due_ms: epoch ms of the next attempt, where it is still pending.
        status: HTTP status; None: no answer.
        error: why it failed; None: it did not.
    """

    delivery: Delivery
    at_ms: int
    state: DeliveryState
    due_ms: int = 0
    status: int | None = None
    error: str | None = None


# Changes, with their audit entries


@dataclass(frozen=True, slots=True)
class PutEndpoint:
    """Create an endpoint, or replace the one of the same id."""

    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class DropEndpoint:
    """Remove an endpoint; its deliveries go with it, in batches (``WebhookStore.forget``)."""

    id: str


@dataclass(frozen=True, slots=True)
class SendAgain:
    """Make a delivery due now, also one that is finished; it keeps its id."""

    endpoint: str
    id: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class SendTest:
    """Create a delivery of type ``webhook.test``, which needs not be among the endpoint's types.

    Attributes:
        endpoint: id of the endpoint; nothing is created where there is none.
        id: ``webhook-id`` of the delivery.
        domain: domain of the event.
        now_ms: epoch ms.
        data: UTF-8 JSON object.
    """

    endpoint: str
    id: str
    domain: DomainId
    now_ms: int
    data: bytes


@dataclass(frozen=True, slots=True)
class DisableEndpoint:
    """Stop sending to an endpoint; ``WebhookStore.forget`` gives up what is pending for it."""

    id: str
    reason: str


WebhookChange = PutEndpoint | DropEndpoint | DisableEndpoint | SendAgain | SendTest


@dataclass(frozen=True, slots=True)
class Kept:
    """Bounds of what is kept of finished deliveries.

    Attributes:
        finished_after_ms: those that finished before this epoch ms are removed.
        rows: number of finished deliveries, of all endpoints; the oldest are removed first.
    """

    finished_after_ms: int
    rows: int


class WebhookStore(Protocol):
    """Endpoints and deliveries. A fake in memory and the SQLite one pass one contract suite.

    Reads are synchronous and short. Futures resolve once the change is on disk, or to
    ``Unavailable`` if nothing of it was written.
    """

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return all endpoints, in order of creation. Their number is bounded by who adds them."""
        ...

    def endpoint(self, id_: str) -> Endpoint | None:
        """Return one endpoint."""
        ...

    def due(self, endpoint: str, now_ms: int, limit: int) -> tuple[Delivery, ...]:
        """Return heads that are due, the longest due first; the cost is that of the result.

        A head that is due later than any retry can be, because the clock was set back, is due too.
        """
        ...

    def delivery(self, endpoint: str, id_: str) -> Delivery | None:
        """Return one delivery."""
        ...

    def deliveries(
        self,
        endpoint: str,
        state: DeliveryState | None = None,
        before_seq: int | None = None,
        limit: int = 50,
    ) -> tuple[Delivery, ...]:
        """Return deliveries of an endpoint, newest first.

        Args:
            endpoint: id of the endpoint.
            state: only those in this state; None: all.
            before_seq: only those with a smaller number (the last one of the page before).
            limit: maximum number.
        """
        ...

    def configure(self, endpoints: Sequence[Endpoint]) -> Future[None]:
        """Make these, enabled, the endpoints of the configuration, and drop its other ones."""
        ...

    def record(self, attempt: Attempt) -> Future[None]:
        """Write the result of an attempt; the next delivery of the subject may become due."""
        ...

    def forget(self, now_ms: int, kept: Kept, limit: int) -> Future[int]:
        """Remove deliveries out of bounds and of dropped endpoints, give up those of disabled ones.

        Returns:
            Number of changed rows, once on disk: below ``limit`` at the end, else call again.
        """
        ...


class WebhookSender(Protocol):
    """Client that sends deliveries."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Send a body and return the status of the response; follows no redirect.

        Raises:
            Unavailable: no response in time, or the address may not be requested.
        """
        ...

    def close(self) -> None:
        """Close what is kept open between two deliveries."""
        ...
