"""Webhook endpoints and deliveries in memory, with the guarantees of the real ones."""

from asyncio import Future
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar, assert_never
from uuid import uuid4

from sfu_wrapper.core.webhooks import RETRY_AFTER_S
from sfu_wrapper.model.recording import RecordingEvent
from sfu_wrapper.model.webhook import TEST_TYPE, Delivery, DeliveryState, Endpoint
from sfu_wrapper.ports.webhooks import (
    Attempt,
    DisableEndpoint,
    DropEndpoint,
    Kept,
    PutEndpoint,
    SendAgain,
    SendTest,
    WebhookChange,
)

T = TypeVar("T")


class Write(Protocol):
    """Writer of the store: applies a change on the next iteration of the loop."""

    def __call__(self, change: Callable[[], T]) -> "Future[T]":
        """Apply a change; the future has its result."""
        ...


class MemoryWebhooks:
    """A ``WebhookStore`` for tests.

    Args:
        write: writer of the store that it is part of.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._seq = 0
        self._endpoints: dict[str, Endpoint] = {}
        self._deliveries: dict[int, Delivery] = {}

    def apply(self, changes: Sequence[WebhookChange], events: Sequence[RecordingEvent]) -> None:
        """Write changes and events of a commit."""
        for change in changes:
            self._change(change)
        for event in events:
            for endpoint in self._endpoints.values():
                if _wants(endpoint, event):
                    self._add(endpoint.id, event, f"msg_{uuid4().hex}")

    def endpoints(self) -> tuple[Endpoint, ...]:
        """See ``WebhookStore``."""
        found = self._endpoints.values()
        return tuple(sorted(found, key=lambda each: (each.created_ms, each.id)))

    def endpoint(self, id_: str) -> Endpoint | None:
        """See ``WebhookStore``."""
        return self._endpoints.get(id_)

    def due(self, endpoint: str, now_ms: int, limit: int) -> tuple[Delivery, ...]:
        """See ``WebhookStore``."""
        heads: dict[str, Delivery] = {}
        for each in self._of(endpoint):
            if each.state is DeliveryState.PENDING:
                heads.setdefault(each.subject, each)
        latest_ms = now_ms + RETRY_AFTER_S[-1] * 1000
        found = [each for each in heads.values() if not now_ms < each.due_ms <= latest_ms]
        found.sort(key=lambda each: (each.due_ms, each.seq))
        return tuple(found[:limit])

    def delivery(self, endpoint: str, id_: str) -> Delivery | None:
        """See ``WebhookStore``."""
        return next((each for each in self._of(endpoint) if each.id == id_), None)

    def deliveries(
        self,
        endpoint: str,
        state: DeliveryState | None = None,
        before_seq: int | None = None,
        limit: int = 50,
    ) -> tuple[Delivery, ...]:
        """See ``WebhookStore``."""
        found = [
            each
            for each in self._of(endpoint)
            if state in {None, each.state} and (before_seq is None or each.seq < before_seq)
        ]
        return tuple(found[::-1][:limit])

    def configure(self, endpoints: Sequence[Endpoint]) -> "Future[None]":
        """See ``WebhookStore``."""

        def change() -> None:
            for each in self.endpoints():
                if each.configured:
                    del self._endpoints[each.id]
            self._endpoints.update((each.id, each) for each in endpoints)

        return self._write(change)

    def record(self, attempt: Attempt) -> "Future[None]":
        """See ``WebhookStore``."""

        def change() -> None:
            if attempt.delivery.seq in self._deliveries:
                self._deliveries[attempt.delivery.seq] = _after(attempt)

        return self._write(change)

    def forget(self, now_ms: int, kept: Kept, limit: int) -> "Future[int]":
        """See ``WebhookStore``."""
        return self._write(lambda: self._forget(now_ms, kept, limit))

    def _change(self, change: WebhookChange) -> None:
        match change:
            case PutEndpoint(endpoint):
                self._endpoints[endpoint.id] = endpoint
            case DropEndpoint(id_):
                self._endpoints.pop(id_, None)
            case DisableEndpoint(id_, reason):
                if id_ in self._endpoints:
                    self._endpoints[id_] = replace(self._endpoints[id_], disabled=reason)
            case SendAgain(endpoint_id, id_, now_ms):
                found = self.delivery(endpoint_id, id_)
                if found is not None:
                    self._deliveries[found.seq] = _again(found, now_ms)
            case SendTest(endpoint_id, id_, domain, now_ms, data):
                if endpoint_id in self._endpoints:
                    event = RecordingEvent(TEST_TYPE, domain, id_, now_ms, data)
                    self._add(endpoint_id, event, id_)
            case _:
                assert_never(change)

    def _add(self, endpoint: str, event: RecordingEvent, id_: str) -> None:
        self._seq += 1
        self._deliveries[self._seq] = Delivery(
            seq=self._seq,
            id=id_,
            endpoint=endpoint,
            type=event.type,
            domain=event.domain,
            subject=event.subject,
            at_ms=event.at_ms,
            data=event.data,
            due_ms=event.at_ms,
        )

    def _of(self, endpoint: str) -> Iterator[Delivery]:
        return (each for each in self._deliveries.values() if each.endpoint == endpoint)

    def _forget(self, now_ms: int, kept: Kept, limit: int) -> int:
        changed = 0
        for each in tuple(self._out_of_bounds(kept))[:limit]:
            del self._deliveries[each.seq]
            changed += 1
        for each in self._of_disabled()[: limit - changed]:
            self._deliveries[each.seq] = replace(
                each,
                state=DeliveryState.GIVEN_UP,
                finished_ms=now_ms,
                error="the endpoint is disabled",
            )
            changed += 1
        return changed

    def _out_of_bounds(self, kept: Kept) -> Iterator[Delivery]:
        finished = [each for each in self._deliveries.values() if each.finished_ms is not None]
        finished.sort(key=lambda each: (each.finished_ms or 0, each.seq), reverse=True)
        newest = {each.seq for each in finished[: kept.rows]}
        for each in self._deliveries.values():
            orphaned = each.endpoint not in self._endpoints
            old = each.finished_ms is not None and (
                each.finished_ms < kept.finished_after_ms or each.seq not in newest
            )
            if orphaned or old:
                yield each

    def _of_disabled(self) -> list[Delivery]:
        disabled = {each.id for each in self._endpoints.values() if each.disabled is not None}
        return [
            each
            for each in self._deliveries.values()
            if each.state is DeliveryState.PENDING and each.endpoint in disabled
        ]


def _wants(endpoint: Endpoint, event: RecordingEvent) -> bool:
    return (
        endpoint.disabled is None
        and endpoint.domain in {None, event.domain}
        and (not endpoint.types or event.type in endpoint.types)
    )


def _after(attempt: Attempt) -> Delivery:
    """Return a delivery after an attempt."""
    finished_ms = None if attempt.state is DeliveryState.PENDING else attempt.at_ms
    return replace(
        attempt.delivery,
        state=attempt.state,
        attempts=attempt.delivery.attempts + 1,
        due_ms=attempt.due_ms,
        status=attempt.status,
        error=attempt.error,
        finished_ms=finished_ms,
    )


def _again(delivery: Delivery, now_ms: int) -> Delivery:
    return replace(
        delivery,
        state=DeliveryState.PENDING,
        attempts=delivery.attempts if delivery.finished_ms is None else 0,
        due_ms=now_ms,
        finished_ms=None,
    )
