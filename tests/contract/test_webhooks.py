"""What every store of webhooks promises, and that stores which break a promise are found out."""

from asyncio import Future
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.adapters.memory.webhooks import MemoryWebhooks
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import DomainId
from sfu_wrapper.model.recording import RecordingEvent
from sfu_wrapper.model.webhook import TEST_TYPE, Delivery, DeliveryState, Endpoint
from sfu_wrapper.ports.store import Commit
from sfu_wrapper.ports.webhooks import (
    Attempt,
    DisableEndpoint,
    DropEndpoint,
    Kept,
    PutEndpoint,
    SendAgain,
    SendTest,
    WebhookChange,
    WebhookStore,
)
from tests.helpers.stores import EPOCH, StoreBench, memory_bench, room, sqlite_bench

BENCHES = {"memory": memory_bench, "sqlite": sqlite_bench}
OURS, THEIRS = DomainId("example"), DomainId("other")
ALL = Kept(0, 1_000)  # bounds that nothing is out of


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreBench]:
    bench = BENCHES[request.param](tmp_path)
    yield bench
    bench.store.close()


def endpoint(id_: str = "wh_1", domain: DomainId | None = OURS, *types: str) -> Endpoint:
    return Endpoint(id_, domain, f"https://{id_}.example/", ("whsec_a", "whsec_b"), types, 1)


def event(
    type_: str = "recording.ready", subject: str = "r/1", *, at_ms: int = 5
) -> RecordingEvent:
    return RecordingEvent(type_, OURS, subject, at_ms, b'{"subject":"%s"}' % subject.encode())


async def commit(bench: StoreBench, *what: WebhookChange | RecordingEvent) -> WebhookStore:
    """Write changes and events in one commit, and open the store again."""
    changes = tuple(each for each in what if isinstance(each, WebhookChange))
    events = tuple(each for each in what if isinstance(each, RecordingEvent))
    await bench.store.commit(Commit(webhooks=changes, events=events), EPOCH)
    return bench.reopen().webhooks


def due(hooks: WebhookStore, id_: str = "wh_1", *, now_ms: int = 1_000) -> list[tuple[str, str]]:
    return [(each.type, each.subject) for each in hooks.due(id_, now_ms, 100)]


def delivered(delivery: Delivery, at_ms: int = 10) -> Attempt:
    return Attempt(delivery, at_ms, DeliveryState.DELIVERED, status=200)


def failed(delivery: Delivery, due_ms: int) -> Attempt:
    return Attempt(delivery, 10, DeliveryState.PENDING, due_ms, 503, "HTTP 503")


async def endpoints_are_kept_whole_until_they_are_dropped(bench: StoreBench) -> None:
    one = endpoint("wh_1", OURS, "recording.ready", "room.ended")
    two = replace(endpoint("wh_2", None), created_ms=2, disabled="HTTP 410", configured=True)
    hooks = await commit(bench, PutEndpoint(one), PutEndpoint(two))

    assert hooks.endpoints() == (one, two)
    assert hooks.endpoint("wh_2") == two
    hooks = await commit(bench, DropEndpoint("wh_1"))
    assert hooks.endpoints() == (two,)
    assert hooks.endpoint("wh_1") is None


async def an_event_reaches_each_endpoint_that_wants_it(bench: StoreBench) -> None:
    await commit(
        bench,
        PutEndpoint(endpoint("all")),
        PutEndpoint(endpoint("ready", OURS, "room.ended", "recording.ready")),
        PutEndpoint(endpoint("every-domain", None)),
        PutEndpoint(endpoint("failed", OURS, "recording.failed", "recording.ready.not")),
        PutEndpoint(endpoint("theirs", THEIRS)),
        PutEndpoint(replace(endpoint("disabled"), disabled="HTTP 410")),
        PutEndpoint(endpoint("dropped")),
    )
    hooks = await commit(bench, DropEndpoint("dropped"), event())

    found = {each.id for each in hooks.endpoints() if hooks.due(each.id, 5, 10)}
    assert found == {"all", "ready", "every-domain"}
    (delivery,) = hooks.due("all", 5, 10)
    assert (delivery.type, delivery.domain, delivery.at_ms) == ("recording.ready", OURS, 5)
    assert delivery.data == b'{"subject":"r/1"}'
    assert delivery.id != hooks.due("ready", 5, 10)[0].id
    assert delivery.id.startswith("msg_")


async def an_event_is_written_with_its_commit_or_not_at_all(bench: StoreBench) -> None:
    await bench.store.commit(Commit(room(), webhooks=(PutEndpoint(endpoint()),)), 2)
    with pytest.raises(Unavailable):
        await bench.store.commit(Commit(room(), events=(event(),)), 1)

    assert due(bench.reopen().webhooks) == []


async def events_of_one_commit_keep_their_order(bench: StoreBench) -> None:
    types = [f"type.{n}" for n in range(150)]
    hooks = await commit(bench, PutEndpoint(endpoint()), *(event(each) for each in types))

    listed = hooks.deliveries("wh_1", limit=1_000)
    assert [each.type for each in listed[::-1]] == types
    assert due(hooks) == [("type.0", "r/1")]


async def the_next_of_a_subject_waits_for_the_one_before(bench: StoreBench) -> None:
    first, second, other = event("first"), event("second"), event("first", "r/2")
    hooks = await commit(bench, PutEndpoint(endpoint()), first, second, other)
    assert due(hooks) == [("first", "r/1"), ("first", "r/2")]

    await hooks.record(failed(hooks.due("wh_1", 10, 1)[0], due_ms=50))
    hooks = bench.reopen().webhooks
    assert due(hooks, now_ms=49) == [("first", "r/2")]
    assert due(hooks, now_ms=50) == [("first", "r/2"), ("first", "r/1")]
    await hooks.record(delivered(hooks.due("wh_1", 50, 2)[1]))

    assert ("second", "r/1") in due(bench.reopen().webhooks)


async def a_subject_without_the_type_that_is_not_wanted_is_not_held_up(bench: StoreBench) -> None:
    hooks = await commit(
        bench, PutEndpoint(endpoint("wh_1", None, "b")), event("a"), event("b"), event("b")
    )

    assert due(hooks) == [("b", "r/1")]


async def an_attempt_is_counted_and_listed(bench: StoreBench) -> None:
    hooks = await commit(bench, PutEndpoint(endpoint()), event())
    (before,) = hooks.due("wh_1", 10, 10)
    await hooks.record(failed(before, due_ms=50))
    (after,) = bench.reopen().webhooks.deliveries("wh_1", DeliveryState.PENDING)

    assert (after.id, after.attempts, after.due_ms) == (before.id, 1, 50)
    assert (after.status, after.error, after.finished_ms) == (503, "HTTP 503", None)
    await bench.store.webhooks.record(delivered(after, at_ms=60))
    (done,) = bench.reopen().webhooks.deliveries("wh_1")
    assert (done.state, done.attempts, done.finished_ms) == (DeliveryState.DELIVERED, 2, 60)
    assert (done.status, done.error) == (200, None)
    assert bench.store.webhooks.delivery("wh_1", before.id) == done
    assert bench.store.webhooks.delivery("wh_2", before.id) is None


async def deliveries_are_paged_newest_first(bench: StoreBench) -> None:
    events = [event(f"type.{n}", f"r/{n}") for n in range(6)]
    hooks = await commit(bench, PutEndpoint(endpoint()), *events)
    for each in hooks.due("wh_1", 10, 10)[::2]:
        await hooks.record(delivered(each))

    page = hooks.deliveries("wh_1", limit=4)
    assert [each.type for each in page] == ["type.5", "type.4", "type.3", "type.2"]
    rest = hooks.deliveries("wh_1", before_seq=page[-1].seq)
    assert [each.type for each in rest] == ["type.1", "type.0"]
    waiting = hooks.deliveries("wh_1", DeliveryState.PENDING)
    assert [each.type for each in waiting] == ["type.5", "type.3", "type.1"]


async def a_finished_delivery_can_be_sent_again(bench: StoreBench) -> None:
    hooks = await commit(bench, PutEndpoint(endpoint()), event("first"), event("second"))
    (first,) = hooks.due("wh_1", 10, 10)
    await hooks.record(Attempt(first, 10, DeliveryState.GIVEN_UP, 0, None, "timeout"))
    hooks = await commit(bench, SendAgain("wh_1", first.id, 70), SendAgain("wh_2", first.id, 80))

    assert due(hooks, now_ms=69) == []  # the second one waits again
    (again,) = hooks.due("wh_1", 70, 10)
    assert (again.id, again.state, again.attempts) == (first.id, DeliveryState.PENDING, 0)
    await hooks.record(delivered(again))
    assert due(bench.reopen().webhooks) == [("second", "r/1")]


async def a_pending_delivery_can_be_sent_now(bench: StoreBench) -> None:
    hooks = await commit(bench, PutEndpoint(endpoint()), event())
    (delivery,) = hooks.due("wh_1", 10, 10)
    await hooks.record(failed(delivery, due_ms=5_000))
    hooks = await commit(bench, SendAgain("wh_1", delivery.id, 70))

    (again,) = hooks.due("wh_1", 70, 10)
    assert again.attempts == 1


async def a_clock_that_is_set_back_delays_nothing_for_long(bench: StoreBench) -> None:
    day_ms = 86_400_000
    hooks = await commit(bench, PutEndpoint(endpoint()), event())
    await hooks.record(failed(hooks.due("wh_1", 10, 1)[0], due_ms=10 * day_ms))
    await commit(bench, event("now", "r/2", at_ms=8 * day_ms))

    hooks = bench.reopen().webhooks
    assert due(hooks, now_ms=9 * day_ms) == [("now", "r/2")]
    assert due(hooks, now_ms=8 * day_ms) == [("now", "r/2"), ("recording.ready", "r/1")]


async def a_test_goes_to_one_endpoint_whatever_it_wants(bench: StoreBench) -> None:
    endpoints = (PutEndpoint(endpoint("wh_1", OURS, "x")), PutEndpoint(endpoint("wh_2")))
    await commit(bench, *endpoints)
    test = SendTest("wh_1", "msg_test", OURS, 7, b"{}")
    hooks = await commit(bench, test, replace(test, endpoint="wh_3", id="msg_nowhere"))

    (delivery,) = hooks.due("wh_1", 7, 10)
    assert (delivery.id, delivery.type, delivery.data) == ("msg_test", TEST_TYPE, b"{}")
    assert hooks.due("wh_2", 7, 10) == hooks.due("wh_3", 7, 10) == ()


async def configured_endpoints_are_replaced_and_the_others_stay(bench: StoreBench) -> None:
    kept, gone, added = (
        replace(endpoint(id_, None), configured=True) for id_ in ("kept", "gone", "added")
    )
    made = endpoint("made", OURS)
    hooks = await commit(bench, *(PutEndpoint(each) for each in (kept, gone, made)))
    hooks = await commit(bench, DisableEndpoint("kept", "HTTP 410"))
    assert hooks.endpoint("kept") == replace(kept, disabled="HTTP 410")
    await hooks.configure([kept, added])

    assert set(bench.reopen().webhooks.endpoints()) == {kept, added, made}


async def what_is_pending_for_a_disabled_endpoint_is_given_up(bench: StoreBench) -> None:
    hooks = await commit(bench, PutEndpoint(endpoint()), event(), event("next"))
    hooks = await commit(bench, DisableEndpoint("wh_1", "HTTP 410"), DisableEndpoint("x", ""))
    counts = [await hooks.forget(20, ALL, 1) for _ in range(3)]

    assert counts == [1, 1, 0]
    hooks = await commit(bench, event("late"))
    listed = hooks.deliveries("wh_1", DeliveryState.GIVEN_UP)
    assert [(each.type, each.finished_ms) for each in listed] == [
        ("next", 20),
        ("recording.ready", 20),
    ]
    assert due(hooks) == []


async def finished_deliveries_are_kept_within_bounds(bench: StoreBench) -> None:
    events = [event(f"type.{n}", f"r/{n}") for n in range(6)]
    hooks = await commit(bench, PutEndpoint(endpoint()), *events)
    for n, each in enumerate(hooks.due("wh_1", 10, 5)):
        await hooks.record(delivered(each, at_ms=10 * n))

    assert await hooks.forget(100, Kept(20, 1_000), 100) == 2
    assert await hooks.forget(100, Kept(0, 1), 100) == 2
    assert await hooks.forget(100, Kept(0, 1), 100) == 0
    left = [each.type for each in bench.reopen().webhooks.deliveries("wh_1")]
    assert left == ["type.5", "type.4"]


async def deliveries_of_a_dropped_endpoint_go_in_batches(bench: StoreBench) -> None:
    events = [event(f"type.{n}", f"r/{n}") for n in range(5)]
    await commit(bench, PutEndpoint(endpoint()), PutEndpoint(endpoint("wh_2")), *events)
    hooks = await commit(bench, DropEndpoint("wh_1"))
    counts = [await hooks.forget(20, ALL, 2) for _ in range(4)]

    assert counts == [2, 2, 1, 0]
    assert bench.reopen().webhooks.deliveries("wh_1") == ()
    assert len(bench.store.webhooks.deliveries("wh_2")) == 5


Promise = Callable[[StoreBench], Awaitable[None]]

PROMISES: tuple[Promise, ...] = (
    endpoints_are_kept_whole_until_they_are_dropped,
    an_event_reaches_each_endpoint_that_wants_it,
    an_event_is_written_with_its_commit_or_not_at_all,
    events_of_one_commit_keep_their_order,
    the_next_of_a_subject_waits_for_the_one_before,
    a_subject_without_the_type_that_is_not_wanted_is_not_held_up,
    an_attempt_is_counted_and_listed,
    deliveries_are_paged_newest_first,
    a_finished_delivery_can_be_sent_again,
    a_pending_delivery_can_be_sent_now,
    a_clock_that_is_set_back_delays_nothing_for_long,
    a_test_goes_to_one_endpoint_whatever_it_wants,
    configured_endpoints_are_replaced_and_the_others_stay,
    what_is_pending_for_a_disabled_endpoint_is_given_up,
    finished_deliveries_are_kept_within_bounds,
    deliveries_of_a_dropped_endpoint_go_in_batches,
)
every_promise = pytest.mark.parametrize("promise", PROMISES, ids=lambda p: p.__name__)


@every_promise
async def test_a_store_of_webhooks_keeps(promise: Promise, bench: StoreBench) -> None:
    await promise(bench)


class Unordered(MemoryWebhooks):
    """Holds nothing back for the delivery before."""

    def due(self, endpoint: str, now_ms: int, limit: int) -> tuple[Delivery, ...]:
        found = self.deliveries(endpoint, DeliveryState.PENDING, limit=1_000)
        return tuple(each for each in found[::-1] if each.due_ms <= now_ms)[:limit]


class MixesUpDomains(MemoryWebhooks):
    """Sends events to the endpoints of every domain."""

    def _change(self, change: WebhookChange) -> None:
        if isinstance(change, PutEndpoint):
            change = PutEndpoint(replace(change.endpoint, domain=None))
        super()._change(change)


class NewIdForEachAttempt(MemoryWebhooks):
    """Changes the id of a delivery that is sent again."""

    def _change(self, change: WebhookChange) -> None:
        super()._change(change)
        if isinstance(change, SendAgain):
            for seq, each in self._deliveries.items():
                self._deliveries[seq] = replace(each, id=f"{each.id}.again")


class KeepsEverything(MemoryWebhooks):
    """Removes nothing."""

    def _forget(self, now_ms: int, kept: Kept, limit: int) -> int:
        return 0


class Forgets(MemoryWebhooks):
    """Counts no attempt."""

    def record(self, attempt: Attempt) -> "Future[None]":
        return self._write(lambda: None)


BROKEN: dict[type[MemoryWebhooks], Promise] = {
    Unordered: the_next_of_a_subject_waits_for_the_one_before,
    MixesUpDomains: an_event_reaches_each_endpoint_that_wants_it,
    NewIdForEachAttempt: a_finished_delivery_can_be_sent_again,
    KeepsEverything: finished_deliveries_are_kept_within_bounds,
    Forgets: an_attempt_is_counted_and_listed,
}


@pytest.mark.parametrize(("broken", "promise"), BROKEN.items(), ids=lambda x: x.__name__)
async def test_a_broken_store_of_webhooks_is_found_out(
    broken: type[MemoryWebhooks], promise: Promise
) -> None:
    kept = MemoryStore()
    kept.webhooks = broken(kept._write)

    def again() -> MemoryStore:
        kept._closed = False
        return kept

    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await promise(StoreBench(again))
