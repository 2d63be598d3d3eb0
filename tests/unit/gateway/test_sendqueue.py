"""What waits for a peer that is gone."""

import asyncio
from typing import Any, cast

from websockets.exceptions import ConnectionClosedError

from sfu_wrapper.gateway.sendqueue import SendQueue


class Gone:
    """A connection that has been lost."""

    async def send(self, frame: bytes, text: bool) -> None:
        raise ConnectionClosedError(None, None)


async def test_a_reader_never_waits_for_room_once_nobody_sends() -> None:
    queue = SendQueue(cast("Any", Gone()), 100, 10)
    queue.put([b"x"])
    await queue.run()
    queue.put([b"x" * 50])  # of messages that had been received before

    async with asyncio.timeout(10):
        await queue.room()
