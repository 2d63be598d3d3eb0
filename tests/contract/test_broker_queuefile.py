"""Processes that share the embedded queue: killed, hung, replaced, listening."""

import asyncio
import functools
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.adapters.queue_file import broker as adapter
from sfu_wrapper.adapters.queue_file import listeners
from sfu_wrapper.adapters.queue_file.broker import QueueFile
from sfu_wrapper.adapters.queue_file.listeners import is_alive
from sfu_wrapper.model.errors import Unavailable
from tests.helpers import queue_file
from tests.helpers.brokers import COPY, QUEUES, WORK, BrokerBench, message, numbers
from tests.helpers.wait import logged

bench = queue_file.bench
path = queue_file.path


HELD = """
import asyncio, sys
from pathlib import Path
from sfu_wrapper.adapters.queue_file.broker import QueueFile
from tests.helpers.brokers import QUEUES, WORK

async def main():
    broker = QueueFile(Path(sys.argv[1]))
    await broker.open(QUEUES)
    async for delivery in broker.consume(WORK, 1):
        print(delivery.message_id, flush=True)

asyncio.run(main())
"""

LISTENS = """
import asyncio, sys
from pathlib import Path
from sfu_wrapper.adapters.queue_file.broker import QueueFile

async def main():
    broker = QueueFile(Path(sys.argv[1]))
    await broker.open(())
    async for heard in broker.listen(("progress",), 5):
        print(heard.message_id, flush=True)

asyncio.run(main())
"""

CONFIRMED = """
import asyncio, sys
from pathlib import Path
from sfu_wrapper.adapters.queue_file.broker import QueueFile
from tests.helpers.brokers import QUEUES, message

async def main():
    broker = QueueFile(Path(sys.argv[1]))
    await broker.open(QUEUES)
    for n in range(100_000):
        await broker.publish(message(n))
        print(n, flush=True)

asyncio.run(main())
"""


@contextmanager
def other_process(script: str, path: Path) -> Iterator["subprocess.Popen[str]"]:
    argv = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return (await asyncio.to_thread(process.stdout.readline)).strip()


async def test_what_a_killed_process_held_is_delivered_again(
    bench: BrokerBench, path: Path
) -> None:
    broker = await bench.connect()
    await broker.publish(message(1))
    with other_process(HELD, path) as process:
        assert await line(process) == "uuid:1"
        process.kill()
        (delivery,) = await bench.take(broker)

    assert delivery.message_id == "uuid:1"
    assert delivery.deliveries == 1


async def test_an_acknowledgement_that_is_given_up_counts_once(bench: BrokerBench) -> None:
    broker = await bench.connect()
    for n in range(5):
        await broker.publish(message(n))
    async with aclosing(broker.consume(WORK, 1)) as deliveries:
        (first,) = await bench.next(deliveries)
        giving_up = asyncio.ensure_future(first.ack())
        await asyncio.sleep(0)
        giving_up.cancel()
        await asyncio.wait([giving_up])
        with suppress(Unavailable):  # it may have been done after all
            await first.requeue()
        await bench.next(deliveries)

        assert await broker.depth(WORK) in (3, 4), "no more is taken than may be unsettled"


async def test_what_a_hung_process_held_is_delivered_again(
    bench: BrokerBench, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = await bench.connect()
    await broker.publish(message(1))
    with other_process(HELD, path) as process:
        assert await line(process) == "uuid:1"
        impatient = functools.partial(is_alive, lease_s=0.5)
        monkeypatch.setattr(adapter, "is_alive", impatient)
        os.kill(process.pid, signal.SIGSTOP)
        (delivery,) = await bench.take(broker)
        os.kill(process.pid, signal.SIGCONT)
        await delivery.ack()

    assert delivery.message_id == "uuid:1"


async def test_a_process_that_was_given_up_settles_nothing_and_takes_part_again(
    bench: BrokerBench, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "BEAT_S", 0.01)
    slow = await bench.connect()
    assert isinstance(slow, QueueFile)
    await slow.publish(message(1))
    (held,) = await bench.take(slow)
    before = slow.holder
    (path.parent / "queue.db.consumers" / before).unlink()  # as one does who takes it for dead
    await bench.eventually(lambda: _changed(slow, before))
    quick = await bench.connect()
    (again,) = await bench.take(quick)
    with pytest.raises(Unavailable):
        await held.ack()
    await again.ack()
    await quick.publish(message(2))

    assert numbers(await bench.take(slow)) == ["uuid:2"]


async def test_a_process_that_was_given_up_hands_nothing_back_that_another_has(
    bench: BrokerBench, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "BEAT_S", 0.01)
    slow, quick = await bench.connect(), await bench.connect()
    assert isinstance(slow, QueueFile)
    for n in (1, 2):
        await slow.publish(message(n))
    async with aclosing(slow.consume(WORK, 2)) as ahead:
        await bench.next(ahead)  # the second one was taken with it
        before = slow.holder
        (path.parent / "queue.db.consumers" / before).unlink()
        await bench.eventually(lambda: _changed(slow, before))
        again = await bench.take(quick, 2)

    await slow.publish(message(3))  # what was handed back is handed back before that
    for delivery in again:
        await delivery.ack()
    assert numbers(await bench.take(quick)) == ["uuid:3"]


async def _changed(broker: QueueFile, holder: str) -> bool:
    return broker.holder != holder


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as file:
        (rows,) = file.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 ours
        return int(rows)


async def test_what_a_killed_listener_has_not_heard_goes_with_it(
    bench: BrokerBench, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "BEAT_S", 0.05)
    broker = await bench.connect()
    with other_process(LISTENS, path) as process:
        heard = asyncio.ensure_future(line(process))
        while not heard.done():
            await broker.publish(message(1, "progress", mandatory=False))
            await asyncio.wait([heard], timeout=0.05)
        os.kill(process.pid, signal.SIGSTOP)
        await broker.publish(message(2, "progress", mandatory=False))
        assert count(path, "notices") >= 1
        process.kill()
        await bench.eventually(lambda: _none(path, "listeners"))

    assert count(path, "notices") == 0


async def _none(path: Path, table: str) -> bool:
    return count(path, table) == 0


async def test_a_process_that_was_given_up_listens_again(
    bench: BrokerBench, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "BEAT_S", 0.01)
    slow, quick = await bench.connect(), await bench.connect()
    assert isinstance(slow, QueueFile)
    async with bench.listening(slow, "progress") as listener:
        before = slow.holder
        (path.parent / "queue.db.consumers" / before).unlink()  # as one does who takes it for dead
        await bench.eventually(lambda: _changed(slow, before))
        await listener.settle_in(quick, "progress")
        await quick.publish(message(1, "progress", mandatory=False))
        assert (await listener.next()).message_id == "uuid:1"


async def test_a_file_that_cannot_be_read_is_listened_to_again(
    bench: BrokerBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker = await bench.connect()
    async with bench.listening(broker, "progress") as listener:
        with monkeypatch.context() as trouble:
            trouble.setattr(listeners, "has_notices", _unreadable)
            waiting = asyncio.ensure_future(listener.next())
            await logged(caplog, "queue.readFailed")
        await broker.publish(message(1, "progress", mandatory=False))
        assert (await waiting).message_id == "uuid:1"


async def test_a_message_that_a_listener_does_not_hear_does_not_wake_it(bench: BrokerBench) -> None:
    broker = await bench.connect()
    assert isinstance(broker, QueueFile)
    async with bench.listening(broker, "progress"):
        (listener,) = broker._listeners
        listener.changed.clear()
        await broker.publish(message(1))
        assert not listener.changed.is_set()
        await broker.publish(message(2, "progress", mandatory=False))
        assert listener.changed.is_set()


def _unreadable(connection: sqlite3.Connection, listener: str) -> bool:
    raise Unavailable("I/O error")


async def test_a_listener_that_ends_leaves_nothing_behind(bench: BrokerBench, path: Path) -> None:
    broker = await bench.connect()
    async with bench.listening(broker, "progress"):
        await broker.publish(message(1, "progress", mandatory=False))
        assert count(path, "listeners") == 1
    await bench.eventually(lambda: _none(path, "listeners"))

    assert count(path, "notices") == 0


async def test_a_killed_process_loses_nothing_that_was_confirmed(path: Path) -> None:
    with other_process(CONFIRMED, path) as process:
        lines = [await line(process) for _ in range(100)]
        process.kill()
        assert process.stdout is not None
        lines += process.stdout.read().split("\n")
    confirmed = [int(text) for text in lines if text.strip()]
    bench = BrokerBench(lambda: QueueFile(path))
    broker = await bench.connect()
    stored = numbers(await bench.take(broker, await broker.depth(WORK)))
    await bench.close()

    assert len(stored) - len(confirmed) in (0, 1)
    assert stored == [f"uuid:{n}" for n in range(len(stored))]


async def test_processes_publish_and_consume_at_the_same_time(
    bench: BrokerBench, path: Path
) -> None:
    broker = await bench.connect()
    with other_process(CONFIRMED, path) as process:
        async with asyncio.timeout(30), aclosing(broker.consume(WORK, 5)) as deliveries:
            seen: list[str | None] = []
            while len(seen) < 60:
                delivery = await anext(deliveries)
                seen.append(delivery.message_id)
                await delivery.ack()
                await broker.publish(message(1, "processed"))
        process.kill()

    assert seen == [f"uuid:{n}" for n in range(60)]
    assert await broker.depth(COPY) >= 120


async def test_a_delivery_kept_for_too_long_goes_to_another(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "BEAT_S", 0.01)
    broker = QueueFile(path)
    await broker.open(tuple(replace(spec, consumer_timeout_s=0) for spec in QUEUES))
    await broker.publish(message(1))
    async with asyncio.timeout(20), aclosing(broker.consume(WORK, 2)) as deliveries:
        first = await anext(deliveries)
        second = await anext(deliveries)

    assert (first.deliveries, second.deliveries) == (0, 1)
    await broker.close()
