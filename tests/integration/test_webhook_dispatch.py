"""Deliveries of webhooks from a store to real HTTP servers: order, retries, and bad receivers."""

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.adapters.webhook_sender import HttpSender
from sfu_wrapper.core.webhooks import RETRY_AFTER_S
from sfu_wrapper.model.identity import DomainId
from sfu_wrapper.model.webhook import DeliveryState
from sfu_wrapper.ports.store import Commit
from sfu_wrapper.ports.webhooks import DropEndpoint, SendAgain
from sfu_wrapper.service.recordings import dispatch
from tests.helpers.clocks import StandingClock
from tests.helpers.dispatching import dispatching, emit, endpoint, event, put
from tests.helpers.receivers import (
    OK,
    SECRET,
    Receiver,
    Request,
    certificate,
    endless,
    hang,
    receiver,
    slam,
    status,
)
from tests.helpers.wait import logged, until

standard = importlib.import_module("standardwebhooks")  # brings no types of its own
PENDING, GIVEN_UP = DeliveryState.PENDING, DeliveryState.GIVEN_UP


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "store.db")
    yield store
    store.close()


@pytest.fixture
async def good() -> AsyncIterator[Receiver]:
    async with receiver() as there:
        yield there


async def test_a_delivery_is_verified_by_a_library_of_others(
    store: SqliteStore, good: Receiver
) -> None:
    await put(store, endpoint("wh", good))
    await emit(store, event("r/1"))
    async with dispatching(store, SystemClock()) as running:
        await running.delivered("wh", 1)

    (request,) = good.requests
    payload = standard.Webhook(SECRET).verify(request.body.decode(), request.headers)
    assert payload == {
        "type": "recording.ready",
        "timestamp": "2020-05-25T07:42:28.000Z",
        "data": {"subject": "r/1"},
    }


async def test_bad_endpoints_hold_up_no_other_and_nothing_gets_out_of_order(
    store: SqliteStore, good: Receiver, tmp_path: Path
) -> None:
    tls, _ = certificate(tmp_path, "localhost")  # which nobody accepts
    async with AsyncExitStack() as stack:
        bad = {
            "hangs": await stack.enter_async_context(receiver(hang)),
            "slams": await stack.enter_async_context(receiver(slam)),
            "redirects": await stack.enter_async_context(receiver(status(307, location=good.url))),
            "fails": await stack.enter_async_context(receiver(status(500, b"no" * 1000))),
            "no-tls": await stack.enter_async_context(receiver(tls=tls)),
            "gone": await stack.enter_async_context(receiver(status(410))),
        }
        megabytes = await stack.enter_async_context(receiver(endless))
        endpoints = [endpoint(id_, there) for id_, there in bad.items()]
        closed = endpoint("closed", "http://127.0.0.1:1/")
        await put(store, *endpoints, closed, endpoint("good", good), endpoint("big", megabytes))
        types = ("recording.started", "recording.stopped", "recording.ready")
        events = [event(f"r/{n}", type_) for type_ in types for n in range(20)]
        await emit(store, *events)
        async with dispatching(store, deadline_s=1.0) as running:
            await running.delivered("good", 60)
            await running.delivered("big", 60)
            await until(lambda: store.webhooks.endpoint("gone").disabled == "HTTP 410")  # type: ignore[union-attr]
            for id_ in (*bad, "closed"):
                await running.troubled(id_)
                assert not running.listed(id_, DeliveryState.DELIVERED)

    assert len(good.requests) == 60  # nothing but its own: no redirect was followed
    for n in range(20):
        assert good.types(f"r/{n}") == megabytes.types(f"r/{n}") == list(types)


async def test_a_failing_delivery_is_tried_over_days_and_then_given_up(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    clock = StandingClock()
    async with receiver(status(503)) as there:
        await put(store, endpoint("wh", there))
        await emit(store, event("r/1"), event("r/1", "recording.deleted"))
        async with dispatching(store, clock) as running:
            for attempts, pause_s in enumerate(RETRY_AFTER_S, 1):
                await running.attempted(attempts, "failed")
                assert len(there.requests) == attempts
                waiting = running.listed("wh")[1]
                assert waiting.due_ms == clock.wall_ms + pause_s * 1000
                clock.pass_s(pause_s)
            await until(lambda: running.counted["givenUp"] == 1)
            await until(lambda: len(there.requests) == 11)  # now the next one of the recording
            (given_up,) = running.listed("wh", GIVEN_UP)

    assert (given_up.attempts, given_up.status, given_up.error) == (10, 503, "HTTP 503")
    assert {each.id for each in there.requests[:10]} == {given_up.id}
    assert len({each.headers["webhook-timestamp"] for each in there.requests[:10]}) == 10
    assert len({each.body for each in there.requests[:10]}) == 1
    assert there.requests[10].event["type"] == "recording.deleted"
    await logged(caplog, "webhook.abandoned")


async def test_nothing_is_tried_before_its_time(store: SqliteStore, good: Receiver) -> None:
    clock = StandingClock()
    good.answer = status(500)
    await put(store, endpoint("wh", good), endpoint("other", good))
    await emit(store, event("r/1"))
    async with dispatching(store, clock) as running:
        await until(lambda: running.counted["failed"] == 2)
        clock.pass_s(4.9)
        good.answer = OK
        await emit(store, event("r/2"))
        await running.delivered("wh", 1)
        await running.delivered("other", 1)
        assert good.types("r/1") == ["recording.ready"] * 2
        clock.pass_s(0.2)
        await running.delivered("wh", 2)


async def test_a_flapping_receiver_gets_each_recording_in_order(
    store: SqliteStore, good: Receiver
) -> None:
    clock = StandingClock()
    count = 0

    async def flap(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        await (OK if count % 3 else status(500))(request, writer)

    good.answer = flap
    await put(store, endpoint("wh", good))
    types = [f"type.{n}" for n in range(5)]
    await emit(store, *(event(f"r/{n}", type_) for type_ in types for n in range(10)))
    async with dispatching(store, clock) as running:

        def done() -> bool:
            clock.pass_s(1800)
            running.check()
            return len(running.listed("wh", DeliveryState.DELIVERED)) == 50

        await until(done, pause_s=0.05)

    for n in range(10):
        arrived = good.types(f"r/{n}")
        assert list(dict.fromkeys(arrived)) == types  # repeats of failed ones left out
        assert arrived == sorted(arrived)


async def test_410_ends_an_endpoint_until_the_next_start(store: SqliteStore) -> None:
    async with receiver(status(410)) as there:
        configured = replace(endpoint("cfg", there, domain=None), configured=True)
        async with dispatching(store, configured=[configured]):
            await until(lambda: store.webhooks.endpoint("cfg") == configured)
            await emit(store, event("r/1"), event("r/1", "recording.deleted"))
            await until(lambda: store.webhooks.endpoint("cfg") != configured)
            await emit(store, event("r/2"))
        async with dispatching(store, configured=[configured]):  # which sends what is left at once
            await until(lambda: len(there.requests) == 2)
            await until(lambda: store.webhooks.endpoint("cfg") != configured)
        async with dispatching(store):
            await until(lambda: not store.webhooks.deliveries("cfg", PENDING))

    assert len(there.requests) == 2  # one in each life
    (entry, *_) = store.audit.entries(DomainId("example"), 0, 10)
    assert b"webhook.disable" in entry.entry


async def test_an_endpoint_has_few_requests_at_a_time(store: SqliteStore) -> None:
    go_on = asyncio.Event()

    async def slowly(request: Request, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        await OK(request, writer)

    async with receiver(slowly) as there:
        await put(store, endpoint("wh", there))
        await emit(store, *(event(f"r/{n}") for n in range(40)))
        async with dispatching(store) as running:
            await until(lambda: there.busy == dispatch.WINDOW)
            go_on.set()
            await running.delivered("wh", 40)

    assert there.busiest == dispatch.WINDOW


async def test_an_endpoint_in_trouble_has_one_request_at_a_time(store: SqliteStore) -> None:
    async with receiver(status(500)) as there:
        await put(store, endpoint("wh", there))
        await emit(store, event("r/first"))
        async with dispatching(store) as running:
            await until(lambda: running.counted["failed"] == 1)
            there.busiest = 0
            await emit(store, *(event(f"r/{n}") for n in range(30)))
            await until(lambda: running.counted["failed"] == 31)

    assert there.busiest == 1


async def test_more_hanging_endpoints_than_places_leave_a_good_one_its_own(
    store: SqliteStore, good: Receiver
) -> None:
    class Counting(HttpSender):
        """Counts requests to the bad endpoints at a time."""

        busy = busiest = 0

        async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
            self.busy += url != good.url
            self.busiest = max(self.busy, self.busiest)
            try:
                return await super().post(url, headers, body)
            finally:
                self.busy -= url != good.url

    sender = Counting(allow_private=True, deadline_s=1.0)
    async with receiver(hang) as bad:
        hanging = [endpoint(f"bad-{n}", bad) for n in range(6)]
        await put(store, *hanging, endpoint("good", good))
        await emit(store, *(event(f"r/{n}") for n in range(30)))
        with patch.object(dispatch, "PLACES", 4):
            async with dispatching(store, sender=sender) as running:
                await running.delivered("good", 30)

    assert 0 < sender.busiest <= 8  # 4 as healthy ones, 4 in trouble


async def test_a_store_that_cannot_be_written_makes_no_flood_of_repeats(good: Receiver) -> None:
    store = MemoryStore()
    await put(store, endpoint("wh", good))
    await emit(store, event("r/1"))
    async with dispatching(store) as running:
        await running.delivered("wh", 1)
        store.failing = True
        store.webhooks.apply((), (event("r/2"),))
        await until(lambda: len(good.requests) >= 3)
        assert len(good.requests) <= 4  # with a pause in between
        store.failing = False
        await running.delivered("wh", 2)

    assert len({each.id for each in good.requests}) == 2


async def test_a_dropped_endpoint_gets_nothing_more(store: SqliteStore, good: Receiver) -> None:
    await put(store, endpoint("kept", good), endpoint("dropped", "http://127.0.0.1:1/"))
    await emit(store, event("r/1"))
    async with dispatching(store) as running:
        await until(lambda: running.counted["failed"] == 1)
        await store.commit(Commit(webhooks=(DropEndpoint("dropped"),)), 1)
        await emit(store, event("r/2"))
        await running.delivered("kept", 2)

    assert running.counted == {"failed": 1, "delivered": 2}


async def test_a_delivery_that_was_given_up_can_be_sent_again(
    store: SqliteStore, good: Receiver
) -> None:
    await put(store, endpoint("wh", good))
    await emit(store, event("r/1"))
    async with dispatching(store) as running:
        await running.delivered("wh", 1)
        (done,) = running.listed("wh")
        await store.commit(Commit(webhooks=(SendAgain("wh", done.id, done.due_ms),)), 1)
        await until(lambda: len(good.requests) == 2)
        await running.delivered("wh", 1)

    assert {each.id for each in good.requests} == {done.id}


async def test_what_was_committed_before_a_restart_is_delivered_after_it(
    tmp_path: Path, good: Receiver
) -> None:
    first = SqliteStore(tmp_path / "store.db")
    await put(first, endpoint("wh", good))
    await emit(first, event("r/1"), event("r/2"))
    first.close()
    second = SqliteStore(tmp_path / "store.db")
    try:
        async with dispatching(second) as running:
            await running.delivered("wh", 2)
    finally:
        second.close()


async def test_finished_deliveries_are_kept_within_their_number(
    store: SqliteStore, good: Receiver
) -> None:
    await put(store, endpoint("wh", good))
    await emit(store, *(event(f"r/{n}") for n in range(20)))
    async with dispatching(store, keep_rows=5) as running:
        await running.delivered("wh", 20)
    async with dispatching(store, keep_rows=5) as running:
        await until(lambda: len(running.listed("wh")) == 5)


async def test_many_events_reach_the_good_endpoints_whole_and_in_order(store: SqliteStore) -> None:
    async with AsyncExitStack() as stack:
        good = [await stack.enter_async_context(receiver()) for _ in range(3)]
        dead = await stack.enter_async_context(receiver(slam))
        stuck = await stack.enter_async_context(receiver(hang))
        await put(store, *(endpoint(f"good-{n}", each) for n, each in enumerate(good)))
        await put(store, endpoint("dead", dead), endpoint("stuck", stuck))
        types = [f"type.{n}" for n in range(4)]
        for n in range(0, 250, 50):
            batch = [event(f"r/{m}", type_) for m in range(n, n + 50) for type_ in types]
            await emit(store, *batch)
        async with dispatching(store, sender=HttpSender(allow_private=True)) as running:
            for n in range(3):
                await running.delivered(f"good-{n}", 1000)
            assert len(running.listed("dead")) == len(running.listed("stuck")) == 1000

    for each in good:
        assert len({request.id for request in each.requests}) == 1000
        assert all(each.types(f"r/{n}") == types for n in range(250))
