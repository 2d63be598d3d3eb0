"""``sfu-wrapper queues``: show the lengths of the queues, and empty those of results.

``take`` prints each message before it is removed, and waits until a file that it prints to is on
disk, so that a crash in between prints a message twice and loses none. It takes the messages that
wait when it starts. The queue of segments to be processed is left to the workers.

``unbind`` ends what a queue under an old name collects; ``doctor`` finds such queues.
"""

import asyncio
import json
import os
import stat
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from contextlib import aclosing
from typing import Final

from sfu_wrapper.app.parts import is_configured, open_broker, queues
from sfu_wrapper.cli import common
from sfu_wrapper.config.processing import is_sendable
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Malformed, Unavailable
from sfu_wrapper.ports.broker import Broker, Delivery

PREFETCH: Final = 32  # messages in transit
_NEXT_S: Final = 10.0  # for the next of the messages that were counted
_ALL: Final = 1_000_000  # more than an embedded queue holds


def add_arguments(parser: ArgumentParser) -> None:
    """Add the actions."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    show = "print each queue with the number of its waiting messages"
    take = "print the messages of a queue of results, one JSON object a line, and remove them"
    showing = actions.add_parser("show", help=show, description=show)
    taking = actions.add_parser("take", help=take, description=take)
    taking.add_argument("queue", metavar="QUEUE", help="processed_queue or failure_queue")
    taking.add_argument(
        "--limit", metavar="N", type=_limit, default=_ALL, help="at most N messages"
    )
    unbind = "put no more messages of a key into a queue that the configuration does not name"
    unbinding = actions.add_parser("unbind", help=unbind, description=unbind)
    unbinding.add_argument("queue", metavar="QUEUE", help="as doctor names it")
    unbinding.add_argument("key", metavar="KEY", help="routing key, as doctor names it")
    for inner, action in ((showing, _show), (taking, _take), (unbinding, _unbind)):
        common.add_common(inner)
        inner.set_defaults(action=action)


def _limit(text: str) -> int:
    try:
        limit = int(text)
    except ValueError:
        limit = 0
    if limit < 1:
        raise ArgumentTypeError(f"{text!r} is not a number of messages; at least 1")
    return limit


def run(args: Namespace) -> int:
    """Run the action.

    Raises:
        Malformed: the queue is not one of results.
        Unavailable: the broker cannot be reached, or the output cannot be written.
    """
    return asyncio.run(_run(args, common.start(args)))


async def _run(args: Namespace, settings: Settings) -> int:
    specs = queues(settings)
    if args.action is _take:
        _require_results(args.queue, settings)
    elif args.action is _unbind:
        _require_unnamed(settings, args.queue, args.key)
    async with open_broker(settings) as broker:
        await broker.open(specs)
        if args.action is _take:
            await _take(broker, args.queue, args.limit)
        elif args.action is _unbind:
            await _unbind(args, broker)
        else:
            await _show(args, broker, [spec.name for spec in specs])
    return common.DONE


def _require_results(queue: str, settings: Settings) -> None:
    recording = settings.recording
    allowed = (recording.processed_queue, recording.failure_queue)
    if queue not in allowed:
        raise Malformed(f"{queue}: not a queue of results; use {' or '.join(allowed)}")


def _require_unnamed(settings: Settings, queue: str, key: str) -> None:
    if is_configured(settings, queue, key):
        raise Malformed(f"{queue}: the configuration binds it by {key}; it would be bound again")
    if not is_sendable(queue):
        raise Malformed(f"{queue}: not a name that can be sent; use the management page")


async def _unbind(args: Namespace, broker: Broker) -> None:
    waiting = await broker.depth(args.queue)  # or a queue that does not exist would look unbound
    await broker.unbind(args.queue, args.key)
    text = f"{args.queue} gets no more messages of key {args.key}; {waiting} stay in it"
    common.emit(args, text, queue=args.queue, key=args.key, messages=waiting)


async def _show(args: Namespace, broker: Broker, names: list[str]) -> None:
    for name in names:
        try:
            waiting = await broker.depth(name)
        except Unavailable as error:
            if "denied" not in error.context:
                raise
            common.emit(args, error.detail, queue=name, messages=None)
        else:
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
            _print_durably(_line(delivery))
            await delivery.ack()


def _print_durably(line: str) -> None:
    """Print a line; where standard output is a file, return once the line is on disk.

    Raises:
        Unavailable: the line cannot be written, as on a full disk.
    """
    try:
        print(line, flush=True)
        descriptor = sys.stdout.fileno()
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fsync(descriptor)
    except BrokenPipeError:  # the reader has exited; ``main`` handles that for all commands
        raise
    except OSError as error:
        raise Unavailable(f"standard output: {error.strerror}; the message stays queued") from error


def _line(delivery: Delivery) -> str:
    """Return the message as one JSON object; a body that is no JSON stays a text."""
    body = delivery.body.decode("utf-8", "replace")
    try:
        content: object = json.loads(body)
    except ValueError:
        content = body
    return json.dumps({"messageId": delivery.message_id, "body": content}, ensure_ascii=False)
