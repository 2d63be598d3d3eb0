"""``sfu-wrapper serve``: the controller, until it is told to stop."""

import asyncio
import resource
from argparse import ArgumentParser, Namespace
from contextlib import suppress

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.cli import common
from sfu_wrapper.cli.collector import Collector
from sfu_wrapper.cli.controller import Parts, controller
from sfu_wrapper.cli.parts import open_broker, open_store
from sfu_wrapper.cli.planes import browser_media, media_plane, trunk_of
from sfu_wrapper.cli.signals import stop_requested
from sfu_wrapper.config.settings import Settings


def add_arguments(parser: ArgumentParser) -> None:
    """Nothing of its own: everything is configuration."""


def run(args: Namespace) -> int:
    """Serve. SIGTERM and SIGINT close cleanly."""
    settings = common.start(args)
    _allow_many_sockets()
    return asyncio.run(_serve(settings))


def _allow_many_sockets() -> None:
    """As many files as the system lets us have: often 1024 are given, and a client is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # then it stays with what was given
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(settings: Settings) -> int:
    clock = SystemClock()
    with open_store(settings) as store:
        async with open_broker(settings) as broker:
            plane = media_plane(settings, clock)
            beside = browser_media(settings), trunk_of(plane, settings)
            parts = Parts(store, broker, plane, clock, *beside)
            async with controller(settings, parts):
                with Collector():
                    await stop_requested()
    return common.DONE
