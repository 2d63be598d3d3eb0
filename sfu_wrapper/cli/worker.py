"""``sfu-wrapper worker``: run the recording service until a stop signal or an empty queue."""

import asyncio
import os
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.os.threads import run_in_daemon_thread
from sfu_wrapper.adapters.sqlite.leases import SqliteLeases
from sfu_wrapper.app.objects import object_store
from sfu_wrapper.app.parts import open_broker, queues, store_file
from sfu_wrapper.app.worker import (
    announce,
    deleter,
    encryptor,
    output_rules,
    processor,
    require_confinement,
    require_folders,
    require_preprocessor,
    uploads,
)
from sfu_wrapper.app.worker_health import observed
from sfu_wrapper.cli import common
from sfu_wrapper.cli.common import stop_requested
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.core.job import Retry
from sfu_wrapper.observe import logs
from sfu_wrapper.observe.logs import recording_logs
from sfu_wrapper.ports.broker import Broker
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.worker.scheduling import WorkerSettings
from sfu_wrapper.service.worker.worker import Worker


def add_arguments(parser: ArgumentParser) -> None:
    """Add the ``--once`` flag."""
    parser.add_argument("--once", action="store_true", help="end when the queue is empty")


def run(args: Namespace) -> int:
    """Run the worker. SIGTERM and SIGINT finish or requeue the running segments."""
    return asyncio.run(_work(common.start(args), once=args.once))


async def _work(settings: Settings, *, once: bool) -> int:
    async with (
        open_broker(settings) as broker,
        working(settings, broker, SystemClock()) as worker,
    ):
        listening = asyncio.create_task(_stop_on_signal(worker))
        try:
            await (worker.run_once() if once else worker.run())
        finally:
            listening.cancel()
            await asyncio.wait([listening])
    return common.DONE


async def _stop_on_signal(worker: Worker) -> None:
    await stop_requested()
    worker.stop()


@asynccontextmanager
async def working(settings: Settings, broker: Broker, clock: Clock) -> AsyncIterator[Worker]:
    """Create a worker from the configuration; close its leases at the end.

    Raises:
        JobFailed: finished files are to be encrypted, and the key cannot be used.
        Misconfigured: the store cannot be used, or the preprocessor is not installed.
        Unavailable: the store or a folder cannot be used now, or media processes cannot be
            confined as the configuration requires.
    """
    announce(output_rules(settings.recording))
    await _require_usable(settings)
    objects = object_store(settings, os.environ)
    leases = SqliteLeases(store_file(settings))
    formatter = logs.formatter(common.log_settings(settings))
    try:
        with (
            recording_logs(settings.recording.logs_path, formatter),
            processor(
                settings.recording,
                clock,
                last_attempt=settings.worker.attempts,
                confinement=settings.worker.confinement,
                store_url=None if objects is None else objects.url,
            ) as worked_by,
        ):
            async with observed(settings, clock) as monitor:
                yield Worker(
                    broker,
                    leases,
                    worked_by,
                    clock,
                    queues(settings),
                    worker_settings(settings),
                    monitor,
                    deleter(settings, clock, objects),
                    uploads(settings.recording, objects),
                )
    finally:
        leases.close()


async def _require_usable(settings: Settings) -> None:
    """Fail before taking a segment that could not be processed, delivered or encrypted."""
    require_preprocessor(settings.recording)
    await run_in_daemon_thread(require_folders, settings.recording)
    await run_in_daemon_thread(require_confinement, settings.worker.confinement)
    encrypting = encryptor(settings.recording, settings.worker.confinement)
    if encrypting is not None:
        await encrypting.check()


def worker_settings(settings: Settings) -> WorkerSettings:
    """Return the settings of the worker's loop."""
    recording, worker = settings.recording, settings.worker
    return WorkerSettings(
        queue=recording.processing_queue,
        concurrency=worker.concurrency,
        retry=Retry(attempts=worker.attempts),
        drain_s=worker.drain_seconds,
        clean_raw=recording.clean_temporary_files,
        look_ahead=worker.look_ahead,
    )
