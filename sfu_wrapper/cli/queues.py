"""``sfu-wrapper queues``: show the lengths of the queues, and empty those of results.

``take`` prints each message before it is removed, so that a crash in between prints a message twice
and loses none. It takes the messages that wait when it starts. The queue of segments to be
processed is left to the workers.
"""

import asyncio
import json
from argparse import ArgumentParser, Namespace
from contextlib import aclosing
from typing import Final

from sfu_wrapper.app.parts import open_broker, queues
from sfu_wrapper.cli import common
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.ports.broker import Broker, Delivery

PREFETCH: Final = 32  # messages in transit
_NEXT_S: Final = 10.0  # for the next of the messages that were counted
_ALL: Final = 1_000_000  # more than an embedded queue holds


def add_arguments(parser: ArgumentParser) -> None:
    """Add the two actions."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    show = "print each queue with the number of its waiting messages"
    take = "print the messages of a queue of results, one JSON object a line, and remove them"
    showing = actions.add_parser("show", help=show, description=show)
    taking = actions.add_parser("take", help=take, description=take)
    taking.add_argument("queue", metavar="QUEUE", help="processed_queue or failure_queue")
    taking.add_argument("--limit", metavar="N", type=int, default=_ALL, help="at most N messages")
    for inner, action in ((showing, _show), (taking, _take)):
        common.add_common(inner)
        inner.set_defaults(action=action)


def run(args: Namespace) -> int:
    """Run the action.

    Raises:
        Malformed: the queue is not one of results.
        Unavailable: the broker cannot be reached.
    """
    return asyncio.run(_run(args, common.start(args)))


async def _run(args: Namespace, settings: Settings) -> int:
    specs = queues(settings)
    if args.action is _take:
        _require_results(args.queue, settings)
    async with open_broker(settings) as broker:
        await broker.open(specs)
        if args.action is _take:
            await _take(broker, args.queue, args.limit)
        else:
            await _show(args, broker, [spec.name for spec in specs])
    return common.DONE


def _require_results(queue: str, settings: Settings) -> None:
    recording = settings.recording
    allowed = (recording.processed_queue, recording.failure_queue)
    if queue not in allowed:
        raise Malformed(f"{queue}: not a queue of results; use {' or '.join(allowed)}")


async def _show(args: Namespace, broker: Broker, names: list[str]) -> None:
    for name in names:
        waiting = await broker.depth(name)
        common.emit(args, f"{name} {waiting}", queue=name, messages=waiting)


async def _take(broker: Broker, queue: str, limit: int) -> None:
    """Print and remove the messages that wait now, fewer if another consumer takes some."""
    waiting = min(limit, await broker.depth(queue))
    if waiting <= 0:
        return
    async with aclosing(broker.consume(queue, min(PREFETCH, waiting))) as deliveries:
        for _ in range(waiting):
            try:
                delivery = await asyncio.wait_for(anext(deliveries), _NEXT_S)
            except (TimeoutError, StopAsyncIteration):
                return
            print(_line(delivery), flush=True)
            await delivery.ack()


def _line(delivery: Delivery) -> str:
    """Return the message as one JSON object; a body that is no JSON stays a text."""
    body = delivery.body.decode("utf-8", "replace")
    try:
        content: object = json.loads(body)
    except ValueError:
        content = body
    return json.dumps({"messageId": delivery.message_id, "body": content}, ensure_ascii=False)
