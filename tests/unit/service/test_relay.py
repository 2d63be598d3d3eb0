"""The relay: everything that was committed is published, in order per room, whatever fails."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sfu_wrapper.adapters.memory.broker import MemoryBroker
from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.model.errors import Misconfigured, Unavailable
from sfu_wrapper.ports.broker import Message, QueueSpec
from sfu_wrapper.ports.store import Commit, OutboxRow
from sfu_wrapper.service.rooms import relay
from sfu_wrapper.service.rooms.relay import Relay
from tests.helpers.stores import EPOCH, message
from tests.helpers.wait import until

QUEUES = (QueueSpec("processing_queue", ("recordingInfo",)),)
DEADLINE_S = 15.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that a test need not wait out."""
    monkeypatch.setattr(relay, "_BACKOFF", Backoff(0.01, 0.02))


@asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[Relay]:
    """The relay at work."""
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        await asyncio.wait([task])


async def flushed(relay: Relay) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await relay.flushed()


async def commit(store: MemoryStore, *rows: OutboxRow) -> tuple[OutboxRow, ...]:
    return await store.commit(Commit(None, rows), EPOCH)


def per_room(published: list[Message]) -> dict[str, list[str]]:
    """Message ids by room, each as often as it was published."""
    rooms: dict[str, list[str]] = defaultdict(list)
    for one in published:
        rooms[one.message_id.split(":")[0]].append(one.message_id)
    return rooms


async def test_what_was_left_over_is_published_at_the_start() -> None:
    store, broker = MemoryStore(), MemoryBroker()
    await commit(store, message(1), message(2), message(3))
    async with running(Relay(store, broker, QUEUES, page=2)) as relay:
        await flushed(relay)

    assert [one.message_id for one in broker.published] == ["uuid-1:1", "uuid-1:2", "uuid-1:3"]
    assert store.pending_outbox(0, 10) == ()


async def test_what_is_offered_is_published_as_it_was_stored() -> None:
    store, broker = MemoryStore(), MemoryBroker()
    async with running(Relay(store, broker, QUEUES)) as relay:
        await flushed(relay)
        relay.offer(await commit(store, message(1, mandatory=True)))
        await flushed(relay)

    assert broker.published == [
        Message("recordingInfo", "uuid-1:1", b'{"n":1}', "room", 1001, mandatory=True)
    ]


async def test_a_broker_that_is_away_delays_and_loses_nothing() -> None:
    store, broker = MemoryStore(), MemoryBroker()
    broker.unavailable = True
    async with running(Relay(store, broker, QUEUES)) as relay:
        for n in range(20):
            relay.offer(await commit(store, message(n, f"room{n % 3}")))
            await asyncio.sleep(0.001)
        await until(lambda: relay.status.failing is not None)
        broker.unavailable = False
        await flushed(relay)
        for n in range(20, 40):
            broker.unavailable = n % 4 == 0
            relay.offer(await commit(store, message(n, f"room{n % 3}")))
            await asyncio.sleep(0.001)
        broker.unavailable = False
        await flushed(relay)
        await until(lambda: relay.status.failing is None)

    for room, ids in per_room(broker.published).items():
        number = int(room.removeprefix("room"))
        assert ids == [f"{room}:{n}" for n in range(40) if n % 3 == number]


async def test_a_lost_confirm_repeats_the_same_message_before_the_next() -> None:
    store, broker = MemoryStore(), MemoryBroker()
    broker.lost_confirms = 2
    await commit(store, message(1), message(2))
    async with running(Relay(store, broker, QUEUES)) as relay:
        await flushed(relay)

    ids = [one.message_id for one in broker.published]
    assert ids == ["uuid-1:1", "uuid-1:1", "uuid-1:1", "uuid-1:2"]
    assert len({one.body for one in broker.published[:3]}) == 1


async def test_a_message_that_nobody_takes_holds_up_no_other_room() -> None:
    store, broker = MemoryStore(), MemoryBroker()
    unroutable = [
        OutboxRow(message(n).room, "nobody's", f"x:{n}", "", b"", 1, True) for n in (1, 2)
    ]
    async with running(Relay(store, broker, QUEUES, window=1)) as relay:
        relay.offer(await commit(store, *unroutable, *(message(n, "other") for n in range(5))))
        await until(lambda: len(broker.published) == 5 and relay.status.failing is not None)
        assert relay.status.pending == 2
        await broker.open((QueueSpec("late", ("nobody's",)),))
        await flushed(relay)

    ids = [one.message_id for one in broker.published]
    assert ids == [*(f"other:{n}" for n in range(5)), "x:1", "x:2"]


async def test_a_queue_that_somebody_deletes_is_made_again() -> None:
    store, broker = MemoryStore(), MemoryBroker()
    async with running(Relay(store, broker, QUEUES)) as relay:
        await flushed(relay)
        broker._queues.clear()
        broker._bindings.clear()
        relay.offer(await commit(store, message(1, mandatory=True)))
        await flushed(relay)

    assert await broker.depth("processing_queue") == 1


async def test_a_broker_that_goes_is_noticed_though_nothing_waits() -> None:
    broker = MemoryBroker()
    async with running(Relay(MemoryStore(), broker, QUEUES)) as relay:
        await until(broker.is_available)
        await flushed(relay)
        for away in (False, True, False):
            broker.unavailable = away
            assert (relay.status.failing is not None) is away


async def test_more_than_fits_in_memory_comes_from_the_store_in_order() -> None:
    store, broker = MemoryStore(), MemoryBroker()
    broker.unavailable = True
    async with running(Relay(store, broker, QUEUES, limit=10, page=4)) as relay:
        for n in range(100):
            relay.offer(await commit(store, message(n, f"room{n % 7}")))
        before = relay.status
        assert before.more
        assert before.pending <= 14
        broker.unavailable = False
        await flushed(relay)
        assert not relay.status.more

    rooms = per_room(broker.published)
    assert sum(map(len, rooms.values())) == 100
    assert rooms["room3"] == [f"room3:{n}" for n in range(100) if n % 7 == 3]


async def test_a_relay_killed_and_run_again_goes_on_where_it_was() -> None:
    store, broker = MemoryStore(), MemoryBroker()
    relay = Relay(store, broker, QUEUES)
    for n in range(30):
        async with running(relay):
            relay.offer(await commit(store, message(n)))
            await asyncio.sleep(0.0005 * (n % 3))
    async with running(relay):
        await flushed(relay)

    ids = [one.message_id for one in broker.published]
    assert list(dict.fromkeys(ids)) == [f"uuid-1:{n}" for n in range(30)]


async def test_a_store_that_cannot_forget_repeats_nothing_meanwhile() -> None:
    store, broker = MemoryStore(), MemoryBroker()
    async with running(Relay(store, broker, QUEUES)) as relay:
        await flushed(relay)
        rows = await commit(store, message(1), message(2))
        store.failing = True
        relay.offer(rows)
        await until(lambda: len(broker.published) == 2)
        await asyncio.sleep(0.05)
        store.failing = False
        await flushed(relay)

    assert [one.message_id for one in broker.published] == ["uuid-1:1", "uuid-1:2"]
    assert store.pending_outbox(0, 10) == ()


async def test_a_store_that_cannot_be_read_is_asked_again() -> None:
    class Unreadable(MemoryStore):
        refusals = 3

        def pending_outbox(self, after_seq: int, limit: int) -> tuple[OutboxRow, ...]:
            self.refusals -= 1
            if self.refusals >= 0:
                raise Unavailable("busy")
            return super().pending_outbox(after_seq, limit)

    store, broker = Unreadable(), MemoryBroker()
    await commit(store, message(1))
    async with running(Relay(store, broker, QUEUES)) as relay:
        await flushed(relay)

    assert len(broker.published) == 1


async def test_the_lag_is_the_age_of_the_oldest_message() -> None:
    store, broker = MemoryStore(), MemoryBroker()
    broker.unavailable = True
    async with running(Relay(store, broker, QUEUES)) as relay:
        assert relay.status.lag_ms(5000) == 0
        broker.unavailable = False
        await flushed(relay)
        broker.unavailable = True
        relay.offer(await commit(store, message(3), message(4)))
        assert relay.status.oldest_ms == 1003
        assert relay.status.lag_ms(5000) == 3997
        assert relay.status.lag_ms(0) == 0


async def test_a_broker_that_can_never_work_ends_the_relay_with_its_error() -> None:
    class Damaged(MemoryBroker):
        async def open(self, queues: tuple[QueueSpec, ...]) -> None:
            raise Misconfigured("the file is damaged")

    with pytest.raises(Misconfigured):
        await Relay(MemoryStore(), Damaged(), QUEUES).run()
