"""``sfu-wrapper serve``: run the controller until a stop signal arrives."""

import asyncio
import resource
from argparse import ArgumentParser, Namespace
from contextlib import closing, suppress

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.sqlite.leases import SqliteLeases
from sfu_wrapper.app.collector import Collector
from sfu_wrapper.app.controller import Parts, controller
from sfu_wrapper.app.parts import open_broker, open_store, store_file
from sfu_wrapper.app.planes import browser_media, media_plane, trunk_of
from sfu_wrapper.cli import common
from sfu_wrapper.cli.common import stop_signals
from sfu_wrapper.config.settings import Settings


def add_arguments(parser: ArgumentParser) -> None:
    """Add no arguments: the configuration defines everything."""


def run(args: Namespace) -> int:
    """Run the controller. SIGTERM and SIGINT close it cleanly."""
    settings = common.start(args)
    _allow_many_sockets()
    return asyncio.run(_serve(settings))


def _allow_many_sockets() -> None:
    """Raise the limit of open files to the maximum: the default is often 1024, one a client."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # then it stays with what was given
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(settings: Settings) -> int:
    clock = SystemClock()
    with open_store(settings) as store, closing(SqliteLeases(store_file(settings))) as leases:
        async with open_broker(settings) as broker:
            plane = media_plane(settings, clock)
            optional = browser_media(settings), trunk_of(plane, settings), leases
            parts = Parts(store, broker, plane, clock, *optional)
            with stop_signals() as requested:
                async with controller(settings, parts):
                    with Collector():
                        await requested.wait()
    return common.DONE
