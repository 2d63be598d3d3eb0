"""Dispatcher: sends the due deliveries of webhooks, and records what came of them.

What enters: heads that are due, read from the store in small pages, so that memory is bounded by
the number of requests in flight. What leaves: requests, and their results in the store. A delivery
is in flight until its result is on disk, and the next one of its subject becomes due by that: the
order of a subject holds over crashes, and a crash repeats a delivery but loses none.

Rules: an endpoint has at most ``WINDOW`` requests in flight, and one that failed or was slow has a
single one. Both kinds have places of their own, so that endpoints in trouble, however many, never
take those of the others. Endpoints take turns where places are short. One controller at a time
dispatches: the one that has the store open.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.core.webhooks import (
    GONE,
    is_accepted,
    request_body,
    retry_after_s,
    signed_headers,
)
from sfu_wrapper.model.audit import AuditEntry
from sfu_wrapper.model.errors import RecordingError, Unavailable
from sfu_wrapper.model.webhook import Delivery, DeliveryState, Endpoint
from sfu_wrapper.ports.store import Commit, Store
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.ports.webhooks import Attempt, DisableEndpoint, Kept, WebhookSender

WINDOW: Final = 8  # requests in flight to a healthy endpoint
PLACES: Final = 64  # requests in flight to healthy endpoints, and as many to those in trouble
SLOW_S: Final = 5.0  # an endpoint that takes longer counts as in trouble
POLL_S: Final = 0.5  # interval at which the store is asked for deliveries
FORGET_S: Final = 60.0
FORGET_ROWS: Final = 500  # changed in one transaction; other writes come in between
DAY_MS: Final = 86_400_000
_STORE_FAILS: Final = Backoff(0.5, 10.0)
_SOME: Final = 20  # endpoints asked for without a pause for other tasks

log = logging.getLogger(__name__)

Count = Callable[[str], None]
"""Counts an attempt by its outcome: ``delivered``, ``failed`` or ``givenUp``."""


@dataclass(slots=True)
class _Lane:
    """Requests of one endpoint.

    Attributes:
        in_flight: numbers of the deliveries in flight.
        troubled: True after a failed or slow attempt.
    """

    in_flight: set[int] = field(default_factory=set)
    troubled: bool = False


@dataclass(slots=True)
class _Flight:
    """Delivery in flight, with the kind of the place that it holds."""

    lane: _Lane
    endpoint: Endpoint
    delivery: Delivery
    troubled: bool


class Dispatcher:
    """Sender of webhook deliveries.

    Args:
        store: endpoints and deliveries.
        sender: HTTP client; the creator closes it.
        clock: wall clock for the schedule.
        configured: endpoints of the configuration.
        count: receives each outcome.
        keep_days: days for which finished deliveries are kept.
        keep_rows: number of finished deliveries that are kept.
        epoch: epoch of the controller.
        poll_s: interval at which the store is asked for deliveries.
    """

    def __init__(
        self,
        store: Store,
        sender: WebhookSender,
        clock: Clock,
        *,
        configured: Sequence[Endpoint] = (),
        count: Count = lambda _: None,
        keep_days: int = 30,
        keep_rows: int = 100_000,
        epoch: int = 1,
        poll_s: float = POLL_S,
    ) -> None:
        self._store = store
        self._hooks = store.webhooks
        self._sender = sender
        self._clock = clock
        self._configured = configured
        self._count = count
        self._keep_days = keep_days
        self._keep_rows = keep_rows
        self._epoch = epoch
        self._poll_s = poll_s
        self._lanes: dict[str, _Lane] = {}
        self._free = {False: PLACES, True: PLACES}  # by kind: healthy, in trouble
        self._turn = 0
        self._paused_until_s = 0.0  # while the store cannot be written
        self._store_failures = 0
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Send until cancelled."""
        await self._configure()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forget())
            while True:
                self._wake.clear()
                await self._fill(group)
                try:
                    async with asyncio.timeout(self._poll_s):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def _configure(self) -> None:
        """Write the endpoints of the configuration; retry until the store can be written."""
        for pause_s in _STORE_FAILS:
            try:
                await self._hooks.configure(self._configured)
            except Unavailable as error:
                log.warning("webhook.storeFailed", extra={"error": error.detail})
                await asyncio.sleep(pause_s)
            else:
                return

    async def _fill(self, group: asyncio.TaskGroup) -> None:
        """Start requests for what is due, for one endpoint after the other."""
        if asyncio.get_running_loop().time() < self._paused_until_s:
            return
        try:
            enabled = [each for each in self._hooks.endpoints() if each.disabled is None]
            self._lanes = {each.id: self._lanes.get(each.id) or _Lane() for each in enabled}
            self._turn += 1
            for n in range(len(enabled)):
                self._fill_lane(enabled[(n + self._turn) % len(enabled)], group)
                if n % _SOME == _SOME - 1:
                    await asyncio.sleep(0)
        except RecordingError as error:
            self._store_failed(error)

    def _fill_lane(self, endpoint: Endpoint, group: asyncio.TaskGroup) -> None:
        lane = self._lanes.setdefault(endpoint.id, _Lane())
        window = 1 if lane.troubled else WINDOW
        busy = len(lane.in_flight)
        wanted = min(window - busy, self._free[lane.troubled])
        if wanted <= 0 or busy > window // 2:
            return
        now_ms = self._clock.now().wall_ms
        for delivery in self._hooks.due(endpoint.id, now_ms, busy + wanted):
            if delivery.seq not in lane.in_flight and wanted:
                wanted -= 1
                self._free[lane.troubled] -= 1
                lane.in_flight.add(delivery.seq)
                flight = _Flight(lane, endpoint, delivery, lane.troubled)
                group.create_task(self._deliver(flight, group))

    async def _deliver(self, flight: _Flight, group: asyncio.TaskGroup) -> None:
        """Send one delivery and record the result; then start the next ones of the endpoint."""
        try:
            await self._record(flight.endpoint, await self._attempt(flight))
            self._store_failures = 0
        except RecordingError as error:
            self._store_failed(error)
        finally:
            flight.lane.in_flight.discard(flight.delivery.seq)
            short = self._free[flight.troubled] == 0
            self._free[flight.troubled] += 1
        if short:
            self._wake.set()  # others wait for the place
        elif self._store_failures == 0 and flight.endpoint.id in self._lanes:
            self._refill(flight.endpoint, group)

    def _refill(self, endpoint: Endpoint, group: asyncio.TaskGroup) -> None:
        try:
            current = self._hooks.endpoint(endpoint.id)
            if current is not None and current.disabled is None:
                self._fill_lane(current, group)
        except RecordingError as error:
            self._store_failed(error)

    async def _attempt(self, flight: _Flight) -> Attempt:
        """Send one delivery once."""
        endpoint, delivery = flight.endpoint, flight.delivery
        began = self._clock.now()
        status, error = await self._post(endpoint, delivery, began.wall_ms)
        ended = self._clock.now()
        accepted = status is not None and is_accepted(status)
        slow = ended.mono_ms - began.mono_ms > SLOW_S * 1000
        flight.lane.troubled = slow or not accepted
        if accepted:
            return Attempt(delivery, ended.wall_ms, DeliveryState.DELIVERED, status=status)
        pause_s = None if status == GONE else retry_after_s(delivery.attempts + 1)
        return Attempt(
            delivery,
            ended.wall_ms,
            DeliveryState.GIVEN_UP if pause_s is None else DeliveryState.PENDING,
            due_ms=ended.wall_ms + (pause_s or 0) * 1000,
            status=status,
            error=error or f"HTTP {status}",
        )

    async def _post(
        self, endpoint: Endpoint, delivery: Delivery, now_ms: int
    ) -> tuple[int | None, str | None]:
        """Return the status of the response, or why there was none."""
        body = request_body(delivery.type, delivery.at_ms, delivery.data)
        headers = signed_headers(endpoint.secrets, delivery.id, now_ms // 1000, body)
        try:
            return await self._sender.post(endpoint.url, headers, body), None
        except Unavailable as error:
            return None, error.detail

    async def _record(self, endpoint: Endpoint, attempt: Attempt) -> None:
        """Write the result of an attempt. Raises Unavailable."""
        if attempt.status == GONE:
            await self._store.commit(_disabled(endpoint, attempt), self._epoch)
            log.warning("webhook.disabled", extra={"endpoint": endpoint.id})
        await self._hooks.record(attempt)
        facts = {
            "endpoint": endpoint.id,
            "delivery": attempt.delivery.id,
            "event": attempt.delivery.type,
            "error": attempt.error,
        }
        match attempt.state:
            case DeliveryState.DELIVERED:
                self._count("delivered")
            case DeliveryState.PENDING:
                self._count("failed")
                log.info("webhook.failed", extra=facts)
            case DeliveryState.GIVEN_UP:
                self._count("givenUp")
                log.warning("webhook.abandoned", extra=facts)

    def _store_failed(self, error: RecordingError) -> None:
        """Pause, so that a delivery whose result cannot be stored is not sent in a tight loop."""
        self._store_failures += 1
        pause_s = _STORE_FAILS.after(self._store_failures)
        self._paused_until_s = asyncio.get_running_loop().time() + pause_s
        log.warning("webhook.storeFailed", extra={"error": error.detail})

    async def _forget(self) -> None:
        """Keep the rows within bounds, once a minute."""
        while True:
            now_ms = self._clock.now().wall_ms
            kept = Kept(now_ms - self._keep_days * DAY_MS, self._keep_rows)
            try:
                while await self._hooks.forget(now_ms, kept, FORGET_ROWS) >= FORGET_ROWS:
                    pass
            except Unavailable as error:
                log.warning("webhook.storeFailed", extra={"error": error.detail})
            await asyncio.sleep(FORGET_S)


def _disabled(endpoint: Endpoint, attempt: Attempt) -> Commit:
    """Return the change that disables an endpoint, with its audit entry."""
    reason = f"HTTP {GONE}"
    entry = AuditEntry(
        domain=endpoint.domain or attempt.delivery.domain,
        at_ms=attempt.at_ms,
        actor=None,
        action="webhook.disable",
        object=endpoint.id,
        outcome="done",
        details=(("reason", reason),),
    )
    return Commit(webhooks=(DisableEndpoint(endpoint.id, reason),), audit=(entry,))
