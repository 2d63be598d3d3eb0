"""Read the results of the recording service from RabbitMQ: one line for each segment.

    python read_results.py amqp://my-consumer:password@127.0.0.1/

Needs the package "aio-pika". The page docs/how-to/empty-the-queues.md explains it.
"""

import asyncio
import json
import sys
from collections import OrderedDict
from contextlib import suppress

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

QUEUES = ("processed_queue", "failure_queue")
REMEMBERED = 10_000  # message ids; a message may be delivered twice


class Results:
    """Prints each result once."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()

    async def take(self, message: AbstractIncomingMessage) -> None:
        """Handle one message; it is acknowledged only after that, so that none is lost."""
        async with message.process(requeue=True):
            if message.message_id in self._seen:
                return
            body = json.loads(message.body)
            if body["status"] == "processed":
                names = [file["filename"] for file in body["files"]]
                print(body["uuid"], body["segment"], *names, flush=True)
            else:
                error = body["error"]
                print(body["uuid"], body["segment"], error["code"], error["message"], flush=True)
            self._seen[message.message_id or ""] = None
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)


async def main(address: str) -> None:
    """Read both queues until interrupted; the library reconnects by itself."""
    connection = await aio_pika.connect_robust(address)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=20)
        results = Results()
        for name in QUEUES:
            # passive: the queues exist, and this user may not declare any.
            queue = await channel.declare_queue(name, passive=True)
            await queue.consume(results.take)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1]))
