"""What a real RabbitMQ refuses: passwords, queues that are full, missing rights."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import aclosing

import aio_pika
import pytest

from sfu_wrapper.adapters.rabbitmq import topology
from sfu_wrapper.adapters.rabbitmq.broker import RabbitBroker
from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.ports.broker import QueueSpec
from tests.helpers import rabbitmq_rows
from tests.helpers.rabbitmq import ApartBroker, Names, RabbitServer
from tests.helpers.rabbitmq_rows import DEADLINE_S, QUEUES, WORK, plain, published

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

broker = rabbitmq_rows.broker
names = rabbitmq_rows.names


async def test_more_queues_can_be_asked_for_later(broker: RabbitBroker) -> None:
    await broker.open((QueueSpec("other", ("processed",)),))
    await broker.publish(plain(1, "processed"))

    assert await broker.depth("other") == 1


async def test_a_wrong_password_is_unavailable_and_told_to_nobody(
    rabbitmq: RabbitServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    broker = RabbitBroker(rabbitmq.url.replace("guest:guest", "guest:s3cr3t-w0rd"))
    with pytest.raises(Unavailable) as caught:
        await broker.open(QUEUES)

    assert "s3cr3t" not in str(caught.value) + repr(caught.value.__cause__) + caplog.text
    with pytest.raises(Unavailable):
        await broker.publish(plain(1))


async def test_nobody_there_is_unavailable_within_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    monkeypatch.setattr("sfu_wrapper.adapters.rabbitmq.link.CONNECT_S", 0.3)
    with pytest.raises(Unavailable):
        await RabbitBroker(f"amqp://guest:guest@127.0.0.1:{port}/").open(QUEUES)
    silent.close()
    with pytest.raises(Unavailable):
        await RabbitBroker(f"amqp://guest:guest@127.0.0.1:{port}/").open(QUEUES)


async def test_a_broker_that_stays_away_is_asked_with_growing_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = 0
    pauses_s: list[float] = []
    enough = asyncio.Event()

    async def turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.close()

    class Noted(Backoff):
        def __iter__(self) -> Iterator[float]:
            for pause_s in super().__iter__():
                pauses_s.append(pause_s)
                if len(pauses_s) == 5:
                    enough.set()
                yield pause_s / 10

    monkeypatch.setattr("sfu_wrapper.adapters.rabbitmq.broker.BACKOFF", Noted(0.05, 0.2))
    door = await asyncio.start_server(turn_away, "127.0.0.1", 0)
    port = door.sockets[0].getsockname()[1]
    broker = RabbitBroker(f"amqp://guest:guest@127.0.0.1:{port}/")
    trying = asyncio.create_task(broker._reconnect())
    async with asyncio.timeout(DEADLINE_S):
        await enough.wait()
    trying.cancel()
    await asyncio.wait([trying])
    door.close()

    assert pauses_s[:5] == [0.05, 0.1, 0.2, 0.2, 0.2]
    assert asked >= 5


async def test_a_queue_that_is_full_refuses_and_nothing_is_taken_for_sent(
    rabbitmq: RabbitServer, names: Names
) -> None:
    async with await aio_pika.connect(rabbitmq.url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(
            names.name(WORK),
            durable=True,
            arguments={"x-max-length": 1, "x-overflow": "reject-publish"},
        )
    broker = ApartBroker(rabbitmq.url, names)
    await broker.open(QUEUES)
    outcomes = [await published(broker, plain(n)) for n in range(4)]
    await broker.close()

    assert outcomes[0]
    assert not outcomes[-1]


async def test_an_exchange_of_another_kind_is_told_and_leaves_no_connection(
    rabbitmq: RabbitServer, names: Names
) -> None:
    async with await aio_pika.connect(rabbitmq.url) as connection:
        channel = await connection.channel()
        await channel.declare_exchange(names.exchange, "direct", durable=True)
    with pytest.raises(Unavailable, match=names.exchange):
        await ApartBroker(rabbitmq.url, names).open(QUEUES)


async def limited_broker(
    rabbitmq: RabbitServer,
    names: Names,
    user: str,
    *rights: str,
    queues: tuple[QueueSpec, ...] = QUEUES,
) -> ApartBroker:
    """Connect as a new user with these rights: configure, write, read."""

    def limit() -> None:
        rabbitmq.ctl("add_user", user, "pass-word")
        rabbitmq.ctl("set_permissions", user, *rights)

    await asyncio.to_thread(limit)
    limited = ApartBroker(rabbitmq.url.replace("guest:guest", f"{user}:pass-word"), names)
    await limited.open(queues)
    return limited


async def test_a_user_who_may_declare_nothing_uses_what_is_there(
    rabbitmq: RabbitServer, broker: RabbitBroker, names: Names
) -> None:
    limited = await limited_broker(rabbitmq, names, "worker", "^$", ".*events.*", "processing.*")
    await limited.publish(plain(1))
    async with aclosing(limited.consume(WORK, 1)) as deliveries:
        delivery = await anext(deliveries)
        await delivery.ack()
    await limited.close()

    assert delivery.message_id == "uuid:1"


async def test_a_user_who_may_declare_nothing_connects_without_a_queue_that_later_versions_added(
    rabbitmq: RabbitServer,
    broker: RabbitBroker,
    names: Names,
    caplog: pytest.LogCaptureFixture,
) -> None:
    added = (*QUEUES, QueueSpec("deletion_queue", ("deletionRequested",), essential=False))
    limited = await limited_broker(rabbitmq, names, "old", "^$", ".*", ".*", queues=added)
    await limited.publish(plain(1))
    waiting = await limited.depth(WORK)
    await limited.close()

    assert waiting == 1
    (missing,) = [each for each in caplog.records if each.getMessage() == "broker.queueMissing"]
    assert vars(missing)["queue"] == names.name("deletion_queue")


async def test_a_user_who_may_declare_nothing_does_not_connect_without_an_essential_queue(
    rabbitmq: RabbitServer, broker: RabbitBroker, names: Names
) -> None:
    added = (*QUEUES, QueueSpec("deletion_queue", ("deletionRequested",)))
    with pytest.raises(Unavailable, match="deletion_queue"):
        await limited_broker(rabbitmq, names, "strict", "^$", ".*", ".*", queues=added)


async def test_the_depth_of_a_queue_without_any_right_is_shown_or_the_right_is_named(
    rabbitmq: RabbitServer, broker: RabbitBroker, names: Names
) -> None:
    """RabbitMQ before 4.3 shows it to everybody."""
    limited = await limited_broker(rabbitmq, names, "reader", "^$", "^$", "processing.*")
    try:
        shown: int | str = await limited.depth("failure_queue")
    except Unavailable as error:
        shown = error.detail if error.context["denied"] else "another error"
    waiting = await limited.depth(WORK)
    await limited.close()

    assert shown in (0, f"{names.name('failure_queue')}: this user has no right on the queue")
    assert waiting == 0


@pytest.mark.parametrize(
    ("product", "version", "limits"),
    [
        ("RabbitMQ", "3.10.8", False),
        ("RabbitMQ", "3.13.7", False),
        ("RabbitMQ", "4.0.5", True),
        ("RabbitMQ", "4.3.6", True),
        ("RabbitMQ", "10.0.0", True),
        ("RabbitMQ", "", False),
        ("Another broker", "4.3.6", False),
    ],
)
def test_only_a_server_with_a_limit_of_its_own_is_asked_for_none(
    product: str, version: str, *, limits: bool
) -> None:
    asks = topology.limits_returns(product, version)
    results = topology.arguments(QUEUES[1], "events", limits_returns=asks)
    work = topology.arguments(QUEUES[0], "events", limits_returns=asks)

    assert asks is limits
    assert results.get("x-delivery-limit") == (-1 if limits else None)
    assert work["x-delivery-limit"] == QUEUES[0].delivery_limit
