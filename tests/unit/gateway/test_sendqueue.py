"""What waits for a peer: sent together where it is short, forgotten where the peer is gone."""

import asyncio
from typing import Any, cast

import pytest
from websockets.exceptions import ConnectionClosedError

from sfu_wrapper.gateway import send_queue
from sfu_wrapper.gateway.send_queue import Close, SendQueue
from tests.helpers.wait import until


class Gone:
    """A connection that has been lost."""

    async def send_together(self, frames: list[bytes]) -> None:
        raise ConnectionClosedError(None, None)


class Taking:
    """A connection that notes what is sent together, and how it ends."""

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []
        self.closed: tuple[int, str] | None = None

    async def send_together(self, frames: list[bytes]) -> None:
        self.sent.append(frames)

    async def close(self, code: int, reason: str) -> None:
        self.closed = code, reason


async def test_a_reader_never_waits_for_room_once_nobody_sends() -> None:
    queue = SendQueue(cast("Any", Gone()), 100, 10)
    queue.put([b"x" * 50])
    await queue.run()
    queue.put([b"x" * 50])  # of messages that had been received before

    async with asyncio.timeout(10):
        await queue.wait_until_writable()


async def test_short_frames_leave_together_and_in_order() -> None:
    connection = Taking()
    queue = SendQueue(cast("Any", connection), 1_000_000, 10)
    frames = [b"%d" % number for number in range(100)]
    queue.put([*frames, Close(1000, "bye"), b"after the end"])
    await queue.run()

    assert connection.sent == [frames]
    assert connection.closed == (1000, "bye")


async def test_long_frames_leave_alone() -> None:
    connection = Taking()
    queue = SendQueue(cast("Any", connection), 1_000_000, 10)
    queue.put([b"x" * 10_000, b"y" * 10_000, b"z", b"l" * 100_000, b"a", Close(1000, "bye")])
    await queue.run()

    assert [[len(frame) for frame in frames] for frames in connection.sent] == [
        [10_000],
        [10_000, 1],
        [100_000],
        [1],
    ]


class Gated(Taking):
    """A connection whose peer reads one write for each ``read``."""

    def __init__(self) -> None:
        super().__init__()
        self._reads = asyncio.Semaphore(0)

    def read(self) -> None:
        self._reads.release()

    async def send_together(self, frames: list[bytes]) -> None:
        await self._reads.acquire()
        await super().send_together(frames)


class Deaf(Taking):
    """A connection whose peer answers no closing handshake."""

    def __init__(self) -> None:
        super().__init__()
        self.transport = self
        self.aborted = False

    async def close(self, code: int, reason: str) -> None:
        await asyncio.Event().wait()

    def abort(self) -> None:
        self.aborted = True


async def test_the_reader_waits_from_a_quarter_of_the_limit_down_to_an_eighth() -> None:
    connection = Gated()
    queue = SendQueue(cast("Any", connection), 160_000, 1000)
    queue.put([b"x" * 15_000] * 2)
    await queue.wait_until_writable()  # returns at once
    queue.put([b"x" * 15_000])
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        reader = group.create_task(queue.wait_until_writable())
        group.create_task(queue.run())
        connection.read()
        await until(lambda: len(connection.sent) == 1)
        assert not reader.done()
        connection.read()
        await reader
        assert len(connection.sent) == 2
        queue.finish()
        connection.read()


async def test_a_queue_that_is_full_is_replaced_by_a_close() -> None:
    connection = Taking()
    queue = SendQueue(cast("Any", connection), 100, 10)
    queue.put([b"x" * 60])
    queue.put([b"x" * 60])
    queue.put([b"x"])
    await queue.run()

    assert connection.sent == []
    assert connection.closed is not None
    assert connection.closed[0] == 1013


class Late(Gated):
    """A connection whose peer reads only once it is being closed."""

    async def close(self, code: int, reason: str) -> None:
        await super().close(code, reason)
        self.read()


async def test_a_peer_that_does_not_read_in_time_is_closed_and_gets_nothing_more() -> None:
    connection = Late()
    queue = SendQueue(cast("Any", connection), 1_000_000, 0.01)
    queue.put([b"x" * 10_000, b"y" * 10_000])
    await queue.run()
    queue.put([b"z"])
    await queue.run()

    assert connection.sent == []
    assert connection.closed is not None
    assert connection.closed[0] == 1013


async def test_a_peer_that_answers_no_close_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send_queue, "_CLOSE_S", 0.01)
    connection = Deaf()
    queue = SendQueue(cast("Any", connection), 100, 10)
    queue.put([Close(1000, "bye")])
    await queue.run()

    assert connection.aborted


async def test_nothing_is_sent_over_a_connection_that_is_lost() -> None:
    connection = Taking()
    queue = SendQueue(cast("Any", connection), 100, 10)
    queue.put([b"x"])
    queue.finish()
    queue.put([b"y"])
    await queue.run()

    assert connection.sent == []
