"""Composition of what operators see of a worker: its health, its metrics, and their HTTP server."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

from sfu_wrapper.adapters.os.threads import run_in_daemon_thread
from sfu_wrapper.adapters.storage.disks import disk
from sfu_wrapper.app.parts import http_settings
from sfu_wrapper.app.worker import encryptor
from sfu_wrapper.config.processing import Recording
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.observe.controller_metrics import watch_parts
from sfu_wrapper.observe.metrics import BROKER, STORE, Health, Metrics, Values, count_errors
from sfu_wrapper.observe.worker_metrics import WorkerMetrics
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.worker.key_watch import KeyWatch
from sfu_wrapper.service.worker.obstacles import DISK
from sfu_wrapper.service.worker.uploading import STORAGE

_LOOK_S: Final = 10.0
_DISK_S: Final = 5.0  # for the file systems to answer: a file server may hang

log = logging.getLogger(__name__)


class HealthWorkerMonitor:
    """``WorkerMonitor`` that carries the state to health, and knows the disks.

    Args:
        health: receives the reports.
        metrics: counts segments and stages.
        recording: configuration of the folders.
    """

    def __init__(self, health: Health, metrics: WorkerMetrics, recording: Recording) -> None:
        self._health = health
        self.begun, self.ended = metrics.begun, metrics.ended
        self.stage = metrics.stage
        self.processed, self.failed = metrics.processed, metrics.failed
        self._free: Values = {}
        self._named = {
            "destination_path": recording.destination_path,
            "recordings_path": recording.recordings_path,
        }
        self._folders = [recording.destination_path]
        if recording.should_encrypt:
            self._folders.append(recording.recordings_path)  # what is not encrypted yet

    def report(self, part: str, there: bool, detail: str = "") -> None:
        """See ``WorkerMonitor``."""
        self._health.report(part, there, detail)

    async def fullest_disk(self) -> str:
        """See ``WorkerMonitor``."""
        try:
            async with asyncio.timeout(_DISK_S):
                return await run_in_daemon_thread(self._fullest)
        except TimeoutError:
            return f"unknown: no answer within {_DISK_S:g} s"

    def free_bytes(self) -> Values:
        """Return the free space of the folders, by their configured name; none where unknown."""
        return self._free

    async def watch_disks(self) -> None:
        """Measure the disks every 10 s, in a thread, until cancelled: a file server may hang."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_DISK_S):
                    self._free = await run_in_daemon_thread(self._measured)
            await asyncio.sleep(_LOOK_S)

    def _measured(self) -> Values:
        found: dict[tuple[str, ...], float] = {}
        for name, folder in self._named.items():
            with suppress(OSError):
                found[name,] = float(disk(folder).free_bytes)
        return found

    def _fullest(self) -> str:
        try:
            return str(min(map(disk, self._folders), key=lambda each: each.free_bytes))
        except OSError as error:
            return f"unknown: {error.strerror}"


@asynccontextmanager
async def observed(settings: Settings, clock: Clock) -> AsyncIterator[HealthWorkerMonitor]:
    """Watch the key, count errors, and serve health and metrics, while the context lasts.

    Raises:
        Unavailable: the address is in use.
    """
    parts = (BROKER, STORE, DISK, *([STORAGE] if settings.storage.url != "file:" else []))
    health = Health(lambda: clock.now().wall_ms, parts, frozenset())
    metrics = WorkerMetrics(settings.worker.concurrency)
    monitor = HealthWorkerMonitor(health, metrics, settings.recording)
    watch_parts(metrics, health)
    metrics.watch_disks(monitor.free_bytes)
    encrypting = encryptor(settings.recording, settings.worker.confinement)
    async with AsyncExitStack() as stack:
        stack.enter_context(count_errors(metrics))
        if encrypting is not None:
            watch = KeyWatch(encrypting, clock, monitor.report)
            meaning = "Seconds until the encryption key expires"
            metrics.watch("encryption_key_expires_seconds", meaning, lambda: watch.left_s)
            watching = asyncio.create_task(watch.run())
            stack.callback(watching.cancel)
        if settings.worker.http_port:
            looking = asyncio.create_task(monitor.watch_disks())
            stack.callback(looking.cancel)
            await stack.enter_async_context(_serving(settings, health, metrics, clock))
        yield monitor


@asynccontextmanager
async def _serving(
    settings: Settings, health: Health, metrics: Metrics, clock: Clock
) -> AsyncIterator[None]:
    """Serve ``/health`` and ``/metrics``, with the limits of the controller's HTTP server."""
    # Only here, since their libraries take longer to load than the rest of a worker.
    from sfu_wrapper.gateway.rest.app import RestApp, operation_routes
    from sfu_wrapper.gateway.rest.server import serve_http

    worker = settings.worker
    limits = replace(http_settings(settings), host=worker.http_host, port=worker.http_port)
    app = RestApp(operation_routes(health, metrics, clock))
    async with serve_http(limits, app, metrics) as server:
        log.info("worker.serving", extra={"http": server.url})
        yield
