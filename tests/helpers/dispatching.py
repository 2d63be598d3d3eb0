"""A dispatcher at work on a store, for tests of webhooks."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from sfu_wrapper.adapters.webhook_sender import HttpSender
from sfu_wrapper.model.identity import DomainId
from sfu_wrapper.model.recording import RecordingEvent
from sfu_wrapper.model.webhook import Delivery, DeliveryState, Endpoint
from sfu_wrapper.ports.store import Commit, Store
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.ports.webhooks import PutEndpoint, WebhookSender
from sfu_wrapper.service.recordings.dispatch import Dispatcher
from tests.helpers.clocks import NOW_S, StandingClock
from tests.helpers.receivers import SECRET, Receiver
from tests.helpers.wait import until

OURS = DomainId("example")
POLL_S = 0.01


def endpoint(id_: str, there: Receiver | str, *types: str, domain: str | None = OURS) -> Endpoint:
    """An endpoint of our domain at a receiver or an address."""
    url = there if isinstance(there, str) else there.url
    return Endpoint(id_, None if domain is None else DomainId(domain), url, (SECRET,), types, 1)


def event(subject: str, type_: str = "recording.ready", at_ms: int | None = None) -> RecordingEvent:
    """An event about a recording."""
    at_ms = NOW_S * 1000 if at_ms is None else at_ms
    return RecordingEvent(type_, OURS, subject, at_ms, b'{"subject":"%s"}' % subject.encode())


async def put(store: Store, *endpoints: Endpoint) -> None:
    """Store endpoints."""
    await store.commit(Commit(webhooks=tuple(map(PutEndpoint, endpoints))), 1)


async def emit(store: Store, *events: RecordingEvent) -> None:
    """Store events with the change that they report."""
    await store.commit(Commit(events=events), 1)


@dataclass
class Dispatching:
    """What runs.

    clock: of the schedule; counted: outcomes of attempts.
    """

    store: Store
    clock: Clock
    counted: Counter[str] = field(default_factory=Counter)
    task: asyncio.Task[None] | None = None

    def check(self) -> None:
        """Raise what ended the dispatcher."""
        if self.task is not None and self.task.done():
            self.task.result()

    def listed(self, endpoint: str, state: DeliveryState | None = None) -> Sequence[Delivery]:
        """Return the deliveries of an endpoint, newest first."""
        return self.store.webhooks.deliveries(endpoint, state, limit=1_000_000)

    async def attempted(self, count: int, outcome: str) -> None:
        """Wait until so many attempts had this outcome."""

        def done() -> bool:
            self.check()
            return self.counted[outcome] >= count

        await until(done)

    async def troubled(self, endpoint: str) -> None:
        """Wait until a delivery of an endpoint has failed."""
        await until(lambda: any(each.error for each in self.listed(endpoint)))

    async def delivered(self, endpoint: str, count: int) -> None:
        """Wait until so many are delivered."""

        def done() -> bool:
            self.check()
            found = self.store.webhooks.deliveries(endpoint, DeliveryState.DELIVERED, limit=count)
            return len(found) >= count

        await until(done, within_s=50, pause_s=0.1)


@asynccontextmanager
async def dispatching(
    store: Store,
    clock: Clock | None = None,
    sender: WebhookSender | None = None,
    *,
    configured: Sequence[Endpoint] = (),
    deadline_s: float = 15.0,
    **options: int,
) -> AsyncIterator[Dispatching]:
    """Run a dispatcher while the context lasts."""
    clock = clock or StandingClock()
    sender = sender or HttpSender(allow_private=True, deadline_s=deadline_s)
    running = Dispatching(store, clock)
    dispatcher = Dispatcher(
        store,
        sender,
        clock,
        configured=configured,
        count=lambda outcome: running.counted.update((outcome,)),
        poll_s=POLL_S,
        **options,
    )
    running.task = task = asyncio.create_task(dispatcher.run())
    try:
        yield running
        running.check()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        sender.close()
