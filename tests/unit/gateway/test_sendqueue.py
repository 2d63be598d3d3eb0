"""What waits for a peer: sent together where it is short, forgotten where the peer is gone."""

import asyncio
from typing import Any, cast

from websockets.exceptions import ConnectionClosedError

from sfu_wrapper.gateway.send_queue import Close, SendQueue


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
    queue.put([b"x"])
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
