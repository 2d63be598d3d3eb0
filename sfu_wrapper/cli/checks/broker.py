"""Check of the broker: reachable, and existing queues have the declared arguments."""

from collections.abc import AsyncIterator

from sfu_wrapper.adapters.os.threads import run_in_daemon_thread
from sfu_wrapper.adapters.queue_file.rows import MIGRATIONS
from sfu_wrapper.adapters.sqlite.inspect import inspect as inspect_file
from sfu_wrapper.app.parts import queue_file, queues
from sfu_wrapper.cli.checks.report import Finding, good, odd, wrong
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Unavailable


async def look(settings: Settings) -> AsyncIterator[Finding]:
    """Inspect the broker without declaring, publishing or consuming anything."""
    looking = _embedded if settings.rabbitmq.embedded else _rabbitmq
    async for finding in looking(settings):
        yield finding


async def _embedded(settings: Settings) -> AsyncIterator[Finding]:
    file = queue_file(settings)
    found = await run_in_daemon_thread(inspect_file, file, MIGRATIONS)
    state = "created at the first start" if found is None else f"intact, schema {found.version}"
    yield good(f"embedded, {file}: {state}")


async def _rabbitmq(settings: Settings) -> AsyncIterator[Finding]:
    # Only here, since its library takes longer to load than everything else together.
    from sfu_wrapper.adapters.rabbitmq.inspect import inspect
    from sfu_wrapper.adapters.rabbitmq.topology import EXCHANGE

    try:
        found = await inspect(settings.rabbitmq.address, EXCHANGE, queues(settings))
    except Unavailable as error:
        yield wrong(error.detail, "start it, or correct rabbitmq.address")
        return
    yield good(f"{found.product} answers")
    for queue in found.queues:
        if queue.differs:
            advice = "it is used unchanged; to change it, stop all processes, empty and delete it"
            yield odd(f"queue {queue.name}: {queue.differs}", advice)
        elif queue.waiting is None:
            yield good(f"queue {queue.name} is created at the first start")
        else:
            yield good(f"queue {queue.name}: {queue.waiting} messages ready")
