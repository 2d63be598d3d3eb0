"""The relay and the adapter against a real RabbitMQ that crashes, hangs, refuses and forgets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.connection import make_url

from sfu_wrapper.adapters.rabbitmq.broker import RabbitBroker
from sfu_wrapper.adapters.rabbitmq.link import drop
from sfu_wrapper.adapters.rabbitmq.subscription import Subscription
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import ConfbridgeId, RoomId, RoomUuid, SegmentNo, UserId
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import Presence, SegmentInfo
from sfu_wrapper.ports.store import Commit, OutboxRow
from sfu_wrapper.service.rooms.relay import Relay
from sfu_wrapper.wire.recording_info import encode_announcement
from tests.helpers import rabbitmq_rows
from tests.helpers.rabbitmq import ApartBroker, Names, RabbitServer
from tests.helpers.rabbitmq_rows import DEADLINE_S, QUEUES, WORK, plain, published

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

broker = rabbitmq_rows.broker
names = rabbitmq_rows.names


ROOMS, SEGMENTS = 8, 25


def segment(room: int, number: int) -> SegmentInfo:
    start_ms = 1_590_392_548_633 + number * 60_000
    uuid, stop_ms = f"uuid-{room}", start_ms + 15_000
    video = f"/{uuid}/janus-{uuid}-alice-sfuvideo-{start_ms}-video.mjr"
    return SegmentInfo(
        room=RoomId(f"room-{room}"),
        uuid=RoomUuid(uuid),
        confbridge_id=ConfbridgeId(f"bridge-{room}"),
        segment=SegmentNo(number),
        started_ms=start_ms,
        completed_ms=stop_ms,
        video=(RawFile(video, Stream.CAMERA, start_ms, stop_ms, UserId("alice")),),
        presences=(Presence(UserId("alice"), start_ms, stop_ms),),
    )


def row(room: int, number: int) -> OutboxRow:
    info = segment(room, number)
    announced = encode_announcement(info)
    return OutboxRow(
        room=info.uuid,
        routing_key=announced.routing_key,
        message_id=announced.message_id,
        correlation_id=announced.correlation_id,
        body=announced.body,
        created_ms=info.completed_ms,
        mandatory=announced.mandatory,
    )


class Outsider:
    """A consumer that knows events.md and nothing of ours; it drops repeats by message_id."""

    def __init__(self) -> None:
        self.messages: dict[str, AbstractIncomingMessage] = {}
        self.received = 0

    async def read(self, url: str, count: int) -> None:
        """Until so many different messages have come, over every crash of the broker."""
        while len(self.messages) < count:
            connection = aio_pika.Connection(make_url(url))
            try:
                await connection.connect(timeout=5)
                channel = await connection.channel()
                await channel.set_qos(prefetch_count=10)
                queue = await channel.get_queue(WORK, ensure=False)
                await self._drain(queue, count)
            except (aio_pika.exceptions.AMQPError, OSError, RuntimeError):
                await asyncio.sleep(0.2)
            finally:
                await drop(connection)

    async def _drain(self, queue: aio_pika.abc.AbstractQueue, count: int) -> None:
        while len(self.messages) < count:
            message = await queue.get(fail=False, timeout=5)
            if message is None:
                await asyncio.sleep(0.02)
                continue
            self.received += 1
            assert message.message_id is not None
            self.messages.setdefault(message.message_id, message)
            await message.ack()


def a_time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def require_recording_info(message: AbstractIncomingMessage) -> None:
    """What events.md says of the message and of its body."""
    told = json.loads(message.body)
    info = told["recordingInfo"]
    assert message.routing_key == message.type == "recordingInfo"
    assert message.content_type == "application/json"
    assert message.app_id == "sfu-wrapper"
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert message.correlation_id == told["conferenceId"]
    assert message.message_id == f"{info['uuid']}:{info['segment']}"
    assert message.timestamp is not None
    assert a_time(info["started"]) < a_time(info["completed"])
    for streams in info["video"].values():
        for name, files in streams.items():
            assert name in ("sfuvideo", "sfuscreen")
            for file in files.values():
                assert file["filename"].endswith(".mjr")
                assert a_time(file["startTime"]) <= a_time(file["stopTime"])
    assert info["incomplete"] is False


@asynccontextmanager
async def relaying(store: SqliteStore, broker: RabbitBroker) -> AsyncIterator[Relay]:
    relay = Relay(store, broker, QUEUES)
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_every_segment_arrives_once_and_in_order_over_crashes_of_the_broker(
    rabbitmq: RabbitServer, tmp_path: Path
) -> None:
    broker = RabbitBroker(rabbitmq.url)
    store = SqliteStore(tmp_path / "store.db")
    outsider = Outsider()
    reading = asyncio.create_task(outsider.read(rabbitmq.url, ROOMS * SEGMENTS))
    async with asyncio.timeout(90), relaying(store, broker) as relay:
        for number in range(1, SEGMENTS + 1):
            if number in (8, 16):
                await asyncio.to_thread(rabbitmq.kill)
                restarted = asyncio.create_task(asyncio.to_thread(rabbitmq.start))
            rows = [row(room, number) for room in range(ROOMS)]
            commits = [store.commit(Commit(outbox=(one,)), 1) for one in rows]
            for done in await asyncio.gather(*commits):
                relay.offer(done)
            if number in (12, 20):
                await restarted
            await asyncio.sleep(0.05)
        await relay.flushed()
        await reading
    left = store.pending_outbox(0, 10)
    store.close()
    await broker.close()

    assert left == ()
    assert len(outsider.messages) == ROOMS * SEGMENTS
    for message in outsider.messages.values():
        require_recording_info(message)
    for room in range(ROOMS):
        mine = [key for key in outsider.messages if key.startswith(f"uuid-{room}:")]
        assert mine == [f"uuid-{room}:{number}" for number in range(1, SEGMENTS + 1)]


async def test_a_hanging_broker_delays_a_publish_no_longer_than_its_deadline(
    rabbitmq: RabbitServer, names: Names
) -> None:
    broker = ApartBroker(rabbitmq.url, names, publish_timeout_s=1.0)
    await broker.open(QUEUES)
    rabbitmq.pause()
    try:
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises(Unavailable):
                await broker.publish(plain(1))
    finally:
        rabbitmq.resume()

    async with asyncio.timeout(DEADLINE_S):
        while not await published(broker, plain(2)):
            pass
    await broker.close()


async def test_a_connection_is_closed_even_where_closing_it_is_cancelled(
    rabbitmq: RabbitServer,
) -> None:
    connection = aio_pika.Connection(make_url(rabbitmq.url))
    await connection.connect()
    rabbitmq.pause()
    try:
        closing = asyncio.create_task(drop(connection))
        await asyncio.wait([closing], timeout=0.2)
        assert not connection.is_closed
        closing.cancel()
        await asyncio.wait([closing])
    finally:
        rabbitmq.resume()

    assert closing.cancelled()
    assert connection.is_closed


async def test_a_consumer_goes_on_by_itself_after_a_crash_of_the_broker(
    rabbitmq: RabbitServer, broker: RabbitBroker
) -> None:
    await broker.publish(plain(1))
    async with asyncio.timeout(DEADLINE_S), aclosing(broker.consume(WORK, 1)) as deliveries:
        held = await anext(deliveries)
        await asyncio.to_thread(rabbitmq.kill)
        await asyncio.to_thread(rabbitmq.start)
        again = await anext(deliveries)
        with pytest.raises(Unavailable):
            await held.ack()
        await again.ack()

    assert again.message_id == "uuid:1"
    assert again.deliveries >= 1


async def test_a_publish_while_the_broker_is_away_waits_for_it(
    rabbitmq: RabbitServer, names: Names
) -> None:
    broker = ApartBroker(rabbitmq.url, names, publish_timeout_s=DEADLINE_S)
    await broker.open(QUEUES)
    await asyncio.to_thread(rabbitmq.kill)
    while await published(broker, plain(1), within_s=0.5):
        pass  # the loss of the link is not noticed yet
    waiting = asyncio.create_task(published(broker, plain(2)))
    await asyncio.to_thread(rabbitmq.start)
    async with asyncio.timeout(DEADLINE_S):
        # A queue that is not up again yet refuses it; the publisher sends it again.
        while not await waiting:
            waiting = asyncio.create_task(published(broker, plain(2)))
        async with aclosing(broker.consume(WORK, 2)) as deliveries:
            ids = {(await anext(deliveries)).message_id}
            while "uuid:2" not in ids:
                ids.add((await anext(deliveries)).message_id)
    await broker.close()


async def test_an_existing_queue_of_another_kind_is_used_as_it_is(
    rabbitmq: RabbitServer, names: Names
) -> None:
    async with await aio_pika.connect(rabbitmq.url) as connection:
        channel = await connection.channel()
        existing = names.name(WORK)
        await channel.declare_queue(existing, durable=True, arguments={"x-max-length": 10})
    broker = ApartBroker(rabbitmq.url, names)
    await broker.open(QUEUES)
    await broker.publish(plain(1))
    async with aclosing(broker.consume(WORK, 1)) as deliveries:
        first = await anext(deliveries)
        await first.requeue()
        second = await anext(deliveries)
        await second.ack()
    await broker.close()

    assert (first.deliveries, second.deliveries) == (0, 1)


async def test_a_missing_queue_is_noticed_and_mended_by_its_return(
    rabbitmq: RabbitServer, broker: RabbitBroker, names: Names
) -> None:
    async with await aio_pika.connect(rabbitmq.url) as connection:
        channel = await connection.channel()
        await channel.queue_delete(names.name(WORK))
        with pytest.raises(Unavailable) as caught:
            await broker.publish(plain(1))
        assert caught.value.context["unroutable"] is True
        await broker.open(QUEUES)
        await broker.publish(plain(1))

    assert await broker.depth(WORK) == 1


async def test_a_crash_is_noticed_though_nothing_is_published(
    rabbitmq: RabbitServer, broker: RabbitBroker
) -> None:
    assert broker.is_available()
    rabbitmq.kill()
    async with asyncio.timeout(DEADLINE_S):
        while broker.is_available():  # noqa: ASYNC110  # the broker tells nobody
            await asyncio.sleep(0.02)
        await asyncio.to_thread(rabbitmq.start)
        while not broker.is_available():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_consumer_whose_queue_was_deleted_comes_back_with_it(
    rabbitmq: RabbitServer, broker: RabbitBroker, names: Names
) -> None:
    async with aclosing(broker.consume(WORK, 1)) as deliveries:
        waiting = asyncio.ensure_future(anext(deliveries))
        await asyncio.wait([waiting], timeout=0.2)
        async with await aio_pika.connect(rabbitmq.url) as connection:
            channel = await connection.channel()
            await channel.queue_delete(names.name(WORK))
        await asyncio.wait([waiting], timeout=0.2)
        await opened(broker)
        await broker.publish(plain(7))
        async with asyncio.timeout(DEADLINE_S):
            delivery = await waiting
        await delivery.ack()

    assert delivery.message_id == "uuid:7"


@pytest.mark.parametrize("ends", [TimeoutError, asyncio.CancelledError])
async def test_a_consumer_that_does_not_wait_for_its_answer_keeps_nothing_back(
    broker: RabbitBroker, ends: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Subscription.start

    async def begin_unheard(self: Subscription) -> None:
        await begin(self)
        raise ends

    with monkeypatch.context() as patched:
        patched.setattr(Subscription, "start", begin_unheard)
        deliveries = broker.consume(WORK, 1)
        unheard = asyncio.ensure_future(anext(deliveries))
        await asyncio.wait([unheard], timeout=0.5)
        unheard.cancel()
        await asyncio.wait([unheard])
    await broker.publish(plain(8))
    async with aclosing(broker.consume(WORK, 1)) as heard, asyncio.timeout(DEADLINE_S):
        delivery = await anext(heard)
        await delivery.ack()

    assert delivery.message_id == "uuid:8"


async def test_a_link_that_does_not_let_a_consumer_end_is_given_up(
    broker: RabbitBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await broker.publish(plain(9))
    await broker.publish(plain(10))
    monkeypatch.setattr("sfu_wrapper.adapters.rabbitmq.subscription._CLOSE_S", 0.0)
    async with aclosing(broker.consume(WORK, 2)) as deliveries, asyncio.timeout(DEADLINE_S):
        first = await anext(deliveries)
    monkeypatch.undo()
    async with aclosing(broker.consume(WORK, 2)) as deliveries, asyncio.timeout(DEADLINE_S):
        again = [await anext(deliveries), await anext(deliveries)]

    assert {each.message_id for each in again} == {"uuid:9", "uuid:10"}
    with pytest.raises(Unavailable):
        await first.ack()


@pytest.mark.parametrize(("turns", "returns"), [(0, True), (1, False)])
async def test_an_acknowledgement_that_is_given_up_costs_no_other_delivery(
    broker: RabbitBroker, turns: int, returns: bool
) -> None:
    """turns: of the loop that it is given. A worker that ends hands back what it gave up."""
    for number in (11, 12):
        await broker.publish(plain(number))
    async with aclosing(broker.consume(WORK, 2)) as deliveries, asyncio.timeout(DEADLINE_S):
        first, second = await anext(deliveries), await anext(deliveries)
    giving_up = asyncio.ensure_future(first.ack())
    for _ in range(turns):
        await asyncio.sleep(0)
    giving_up.cancel()
    await asyncio.wait([giving_up])
    await first.requeue()
    await second.ack()

    await broker.publish(plain(13))
    async with aclosing(broker.consume(WORK, 1)) as deliveries, asyncio.timeout(DEADLINE_S):
        again = []
        while "uuid:13" not in again:
            delivery = await anext(deliveries)
            again.append(delivery.message_id)
            await delivery.ack()
    assert set(again) == {"uuid:13"} | ({"uuid:11"} if returns else set())


async def opened(broker: RabbitBroker) -> None:
    """Open it, as often as its link is lost on the way: heartbeats are missed on busy machines."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                await broker.open(QUEUES)
            except Unavailable:
                await asyncio.sleep(0.1)
            else:
                return
