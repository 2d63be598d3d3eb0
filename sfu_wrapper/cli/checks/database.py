"""Check of the store."""

from collections.abc import AsyncIterator

from sfu_wrapper.adapters.os.threads import run_in_daemon_thread
from sfu_wrapper.adapters.sqlite.database import MIGRATIONS
from sfu_wrapper.adapters.sqlite.inspect import inspect
from sfu_wrapper.adapters.storage.disks import disk, nearest, try_writing
from sfu_wrapper.app.parts import store_file
from sfu_wrapper.cli.checks.folders import room
from sfu_wrapper.cli.checks.report import Finding, odd, wrong
from sfu_wrapper.config.settings import Settings


async def look(settings: Settings) -> AsyncIterator[Finding]:
    """Check the file and its disk, with or without a running controller."""
    file = store_file(settings)
    found = await run_in_daemon_thread(inspect, file, MIGRATIONS)
    folder = nearest(file.parent)
    try:
        await run_in_daemon_thread(try_writing, folder)
    except OSError as error:
        advice = "let this user write there, or change store.url"
        yield wrong(f"{file.parent}: cannot be written: {error.strerror}", advice)
        return
    on = await run_in_daemon_thread(disk, folder)
    if found is None:
        yield room(str(file), on, "created at the first start")
    else:
        use = ", in use by a controller" if found.in_use else ""
        yield room(str(file), on, f"intact, schema {found.version}{use}")
    if on.remote:
        yield odd(
            f"{file} is on a network file system ({on.kind}): locks and syncs may fail",
            "move it to a local disk (store.url)",
        )
