"""The embedded queue when it is full, locked, damaged, or its file was exchanged."""

import asyncio
import os
import resource
import sqlite3
import stat
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from sfu_wrapper.adapters.queue_file import broker as adapter
from sfu_wrapper.adapters.queue_file import listeners
from sfu_wrapper.adapters.queue_file.broker import QueueFile
from sfu_wrapper.adapters.queue_file.listeners import Presence, is_alive, sweep
from sfu_wrapper.model.errors import Misconfigured, Unavailable
from sfu_wrapper.ports.broker import QueueSpec
from tests.helpers import queue_file
from tests.helpers.brokers import COPY, QUEUES, WORK, BrokerBench, message, numbers
from tests.helpers.wait import logged

bench = queue_file.bench
path = queue_file.path


def size(path: Path) -> int:
    return path.stat().st_size


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def spoil(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no queue at all" * 100)


async def test_a_full_queue_refuses_and_takes_again_when_there_is_room(path: Path) -> None:
    bench = BrokerBench(lambda: QueueFile(path, max_depth=2))
    broker = await bench.connect()
    await broker.publish(message(1, "processed"))
    await broker.publish(message(2))
    with pytest.raises(Unavailable, match="full"):
        await broker.publish(message(3))

    assert await broker.depth(WORK) == 1
    (delivery,) = await bench.take(broker, queue=COPY)
    await delivery.ack()
    await broker.publish(message(3))
    await bench.close()


async def test_of_messages_published_side_by_side_those_are_refused_that_have_no_place(
    path: Path,
) -> None:
    bench = BrokerBench(lambda: QueueFile(path, max_depth=3))
    broker = await bench.connect()
    messages = [message(1), message(2, "nobody"), message(3), message(4), message(5)]
    outcomes = await asyncio.gather(
        *(broker.publish(each) for each in messages), return_exceptions=True
    )

    refused = [isinstance(outcome, Unavailable) for outcome in outcomes]
    assert refused == [False, True, False, False, True]
    assert "no queue is bound to nobody" in str(outcomes[1])
    assert "full" in str(outcomes[4])
    assert numbers(await bench.take(broker, 3)) == ["uuid:1", "uuid:3", "uuid:4"]
    await bench.close()


async def test_a_full_disk_refuses_and_keeps_what_it_has(bench: BrokerBench, path: Path) -> None:
    broker = await bench.connect()
    await broker.publish(message(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    log_bytes = size(Path(f"{path}-wal"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (log_bytes, hard))
    try:
        with pytest.raises(Unavailable):
            await broker.publish(message(2))
        async with aclosing(broker.consume(WORK, 1)) as deliveries:
            waiting = asyncio.ensure_future(anext(deliveries))
            await asyncio.wait([waiting], timeout=0.2)
            assert not waiting.done()
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            async with asyncio.timeout(20):
                delivery = await waiting
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert delivery.message_id == "uuid:1"
    assert await broker.depth(WORK) == 0


async def test_a_database_that_stays_locked_is_unavailable_after_a_deadline(
    bench: BrokerBench, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "DEADLINE_S", 0.1)
    broker = await bench.connect()
    blocker = sqlite3.connect(path)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(Unavailable, match="was not written within"):
            await broker.publish(message(1))
    finally:
        blocker.rollback()
        blocker.close()


async def test_dead_letters_that_nobody_takes_are_kept(path: Path) -> None:
    queues = (QueueSpec(WORK, ("recordingInfo",), dead_letter_key="failed", delivery_limit=0),)
    broker = QueueFile(path)
    await broker.open(queues)
    await broker.publish(message(1))
    async with aclosing(broker.consume(WORK, 1)) as deliveries:
        await (await anext(deliveries)).requeue()
    await broker.close()

    with sqlite3.connect(path) as file:
        assert file.execute("SELECT message_id FROM messages").fetchall() == [("uuid:1",)]
    file.close()


def remove(path: Path) -> None:
    path.unlink()


def replace_file(path: Path) -> None:
    path.rename(path.with_name("past.db"))
    path.touch()


@pytest.mark.parametrize("spoil", [remove, replace_file])
async def test_nothing_is_taken_for_sent_that_went_to_a_file_of_the_past(
    path: Path, spoil: Callable[[Path], None]
) -> None:
    broker = QueueFile(path)
    await broker.open(QUEUES)
    spoil(path)

    assert not broker.is_available()
    with pytest.raises(Unavailable, match="removed or replaced"):
        await broker.publish(message(1))
    await broker.close()


async def test_nobody_else_may_read_it(bench: BrokerBench, path: Path) -> None:
    await bench.connect()
    consumers = path.parent / "queue.db.consumers"

    assert (mode(path), mode(consumers)) == (0o600, 0o700)


async def test_a_damaged_file_is_refused(path: Path) -> None:
    spoil(path)

    with pytest.raises(Misconfigured, match=r"queue\.db is damaged"):
        await QueueFile(path).open(QUEUES)


async def test_a_folder_that_cannot_be_written_is_unavailable(path: Path) -> None:
    path.parent.mkdir()
    (path.parent / "queue.db.consumers").touch()

    with pytest.raises(Unavailable):
        await QueueFile(path).open(QUEUES)


async def test_a_beat_that_fails_is_tried_again(
    bench: BrokerBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Presence) -> bool:
        raise OSError("I/O error")

    monkeypatch.setattr(adapter, "BEAT_S", 0.01)
    monkeypatch.setattr(Presence, "beat", broken, raising=True)
    with monkeypatch.context() as whole:
        whole.setattr(Presence, "beat", lambda _: True)
        broker = await bench.connect()
    await logged(caplog, "queue.watchFailed")
    await broker.publish(message(1))

    assert numbers(await bench.take(broker)) == ["uuid:1"]


def test_presences_of_the_dead_are_swept_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    living, dead = Presence(tmp_path), Presence(tmp_path)
    os.close(dead._fd)  # as a kill does: no clean-up, no lock
    sweep(tmp_path)
    assert (tmp_path / dead.id).exists()  # too young to tell from one that is just starting
    monkeypatch.setattr(listeners, "_STALE_S", -1.0)
    sweep(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [living.id]
    assert is_alive(tmp_path, living.id)
    assert not is_alive(tmp_path, dead.id)
    living.close()
