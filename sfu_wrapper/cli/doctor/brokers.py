"""Checks of the broker: its queues, what is bound to our exchange, and its consumer timeout.

Nothing is declared, published or consumed; each check works with or without a running controller.
A queue that was renamed in the configuration stays bound under its old name and goes on collecting
messages, which no process of ours reads.
"""

import shlex
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sfu_wrapper.adapters.os.threads import run_in_daemon_thread
from sfu_wrapper.adapters.queue_file import rows
from sfu_wrapper.adapters.sqlite.database import inspect as inspect_file
from sfu_wrapper.adapters.sqlite.database import open_reader, translated
from sfu_wrapper.app.parts import is_configured, queue_file, queues
from sfu_wrapper.config.processing import is_sendable
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.observe.findings import Finding, ok, warning, wrong

if TYPE_CHECKING:
    from sfu_wrapper.adapters.rabbitmq.inspect import Inspected, Queue

_LIMITED: Final = (
    "it is used unchanged, and a result is lost after 21 deliveries without acknowledgement, "
    "unless a policy sets delivery-limit to -1 (docs/reference/brokers.md)"
)
_UNCHANGED: Final = "it is used unchanged; to change it, stop all processes, empty and delete it"


async def check_broker(settings: Settings) -> AsyncIterator[Finding]:
    """Inspect the broker, its queues and their bindings."""
    check = _embedded if settings.rabbitmq.embedded else _rabbitmq
    async for finding in check(settings):
        yield finding


async def _embedded(settings: Settings) -> AsyncIterator[Finding]:
    file = queue_file(settings)
    found = await run_in_daemon_thread(inspect_file, file, rows.MIGRATIONS)
    state = "created at the first start" if found is None else f"intact, schema {found.version}"
    yield ok(f"embedded, {file}: {state}")
    if found is None or not found.version:
        return
    for queue, key, waiting in await run_in_daemon_thread(_bound_in, file):
        if not is_configured(settings, queue, key):
            yield _left_bound(queue, key, waiting)


def _bound_in(file: Path) -> list[tuple[str, str, int]]:
    """Return queue, routing key and number of waiting messages of each binding."""
    with closing(open_reader(file)) as connection, translated(file):
        return [
            (queue, key, rows.waiting(connection, queue))
            for queue, key in rows.bindings(connection)
        ]


async def _rabbitmq(settings: Settings) -> AsyncIterator[Finding]:
    # Only here, since its library takes longer to load than everything else together.
    from sfu_wrapper.adapters.rabbitmq.inspect import inspect
    from sfu_wrapper.ports.broker import EXCHANGE

    address = settings.rabbitmq.address
    try:
        found = await inspect(address, EXCHANGE, queues(settings))
    except Unavailable as error:
        refused = "ACCESS_REFUSED" in error.detail
        repair = "correct user and password in" if refused else "start it, or correct"
        yield wrong(error.detail, f"{repair} rabbitmq.address")
        return
    yield ok(f"{found.product} answers")
    for queue in found.queues:
        yield _judge_queue(queue)
    for finding in _judge_timeout(settings, found):
        yield finding
    async for finding in _bindings(settings):
        yield finding


def _judge_queue(queue: "Queue") -> Finding:
    text = f"queue {queue.name}: {queue.differs or queue.denied}"
    if queue.differs:
        return warning(text, _LIMITED if queue.limited else _UNCHANGED)
    if queue.denied:
        return ok(f"{text}; it is used as it is, its arguments are not compared")
    if queue.waiting is None:
        return ok(f"queue {queue.name} is created at the first start")
    return ok(f"queue {queue.name}: {queue.waiting} messages ready")


def _judge_timeout(settings: Settings, found: "Inspected") -> Iterator[Finding]:
    """Yield a warning where the timeout of the server counts, which no client can read."""
    if found.obeys_timeout:
        return
    needed_s = settings.worker.consumer_timeout_seconds
    yield warning(
        f"{found.product} ignores the consumer timeout of a queue, and no client can read its own: "
        f"30 minutes unless configured; worker.consumerTimeoutSeconds = {needed_s}",
        f"look: rabbitmqctl environment | grep consumer_timeout; unless it is {1000 * needed_s} ms "
        f"or more, set consumer_timeout = {1000 * needed_s} in rabbitmq.conf",
    )


async def _bindings(settings: Settings) -> AsyncIterator[Finding]:
    """Yield each binding that the configuration does not name."""
    from sfu_wrapper.adapters.rabbitmq import management
    from sfu_wrapper.adapters.rabbitmq.inspect import lengths
    from sfu_wrapper.ports.broker import EXCHANGE

    address, configured = settings.rabbitmq.address, settings.rabbitmq.management_url
    try:
        bound = await management.bindings(address, configured, EXCHANGE)
    except Unavailable as error:
        host = shlex.quote(management.virtual_host(address))
        yield ok(
            f"bindings of {EXCHANGE} are unknown ({error.detail}); to see them: rabbitmqctl "
            f"list_bindings -p {host} source_name routing_key destination_name"
        )
        return
    left = [each for each in bound if not is_configured(settings, each.queue, each.routing_key)]
    names = {each.queue for each in left if is_sendable(each.queue)}
    waiting = await lengths(address, names) if names else {}
    for each in left:
        yield _left_bound(each.queue, each.routing_key, waiting.get(each.queue))
    if not left:
        yield ok(f"{len(bound)} bindings of {EXCHANGE}, all of them configured")


def _left_bound(queue: str, key: str, waiting: int | None) -> Finding:
    count = "" if waiting is None else f"; {waiting} messages ready"
    command = f"sfu-wrapper queues unbind {shlex.join((queue, key))}"
    advice = command if is_sendable(queue) else "unbind it on the management page of RabbitMQ"
    return warning(
        f"queue {queue} gets all messages of key {key}, and the configuration does not name that "
        f"binding{count}",
        f"unless a program of yours reads it: {advice}",
    )
