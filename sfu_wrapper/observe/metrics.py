"""Metrics in Prometheus' terms, and the health of the controller.

No label holds a value chosen by a client: the number of series stays bounded, and no metric
contains a user's name. The controller is ready while it is not draining and every vital part is
available; any other unavailable part only degrades it. The parts report themselves; ``/health``
reads.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sfu_wrapper.observe.logs import ROOT

_PREFIX = "sfu_wrapper"
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

Values = Mapping[tuple[str, ...], float]


class Metrics:
    """Metrics of one process, in a registry of its own: its errors and its HTTP server.

    Attributes:
        registry: where further metrics are registered, with the prefix ``sfu_wrapper``.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = self.counter(
            "http_requests",
            "HTTP requests by method, route and status",
            ("method", "route", "status"),
        )
        self._seconds = self.histogram(
            "http_request_seconds", "Seconds from a request's head to the end of its answer"
        )
        self._alarms = self.counter("alarms", "Log lines of level error or above")

    def http(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered HTTP request.

        Args:
            method: HTTP method, from a fixed set.
            route: our name of the route, not the requested path.
            status: HTTP status.
            seconds: time from the request's head to the end of the answer.
        """
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.observe(seconds)

    def alarm(self) -> None:
        """Count an error; see ``count_errors``."""
        self._alarms.inc()

    def watch(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Register a gauge; each scrape reads its value from ``read``.

        Raises:
            ValueError: the name is taken.
        """
        gauge = Gauge(name, meaning, namespace=_PREFIX, registry=self.registry)
        gauge.set_function(read)

    def watch_each(
        self, name: str, meaning: str, labels: tuple[str, ...], read: Callable[[], Values]
    ) -> None:
        """Register a gauge with labels; each scrape reads its values from ``read``.

        Raises:
            ValueError: the name is taken.
        """
        self.registry.register(_Watched(f"{_PREFIX}_{name}", meaning, labels, read))

    def counter(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Counter:
        """Register a counter; its name gets ``_total``."""
        return Counter(name, meaning, labels, namespace=_PREFIX, registry=self.registry)

    def histogram(
        self,
        name: str,
        meaning: str,
        labels: tuple[str, ...] = (),
        buckets: tuple[float, ...] = SECONDS,
    ) -> Histogram:
        """Register a histogram; ``buckets`` are upper limits, by default of seconds."""
        return Histogram(
            name, meaning, labels, namespace=_PREFIX, registry=self.registry, buckets=buckets
        )

    def render(self, accept: str | None) -> tuple[str, bytes]:
        """Return content type and body of a scrape.

        Args:
            accept: the ``Accept`` header of the request.
        """
        encode, content_type = choose_encoder(accept or "")
        return content_type, encode(self.registry)


class _Watched(Collector):
    """Gauge whose values are read at each scrape."""

    def __init__(
        self, name: str, meaning: str, labels: tuple[str, ...], read: Callable[[], Values]
    ) -> None:
        self._head = (name, meaning)
        self._labels = labels
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yield the gauge with its present values."""
        family = GaugeMetricFamily(*self._head, labels=self._labels)
        for values, number in self._read().items():
            family.add_metric(values, number)
        yield family

    def describe(self) -> Iterator[Metric]:
        """Yield the gauge without values, so that its registration reads none."""
        yield GaugeMetricFamily(*self._head, labels=self._labels)


@contextmanager
def count_errors(metrics: Metrics) -> Iterator[None]:
    """Count each log line of ours of level error or above while the context lasts.

    So no place that logs an error can be forgotten. Two controllers in one process count the
    lines of both.
    """
    counter = _ErrorCounter(metrics)
    logger = logging.getLogger(ROOT)
    logger.addHandler(counter)
    try:
        yield
    finally:
        logger.removeHandler(counter)


class _ErrorCounter(logging.Handler):
    """Handler that counts lines and writes none."""

    def __init__(self, metrics: Metrics) -> None:
        super().__init__(logging.ERROR)
        self._metrics = metrics

    def emit(self, record: logging.LogRecord) -> None:
        """Count one line."""
        self._metrics.alarm()


STORE = "store"
BROKER = "broker"
SFU = "sfu"
MIXER = "mixer"
KEYS = "keys"  # of tokens; a part only where a key set is fetched
PARTS = (STORE, BROKER, SFU, MIXER)


class Status(StrEnum):
    """Overall status."""

    OK = "ok"
    DEGRADED = "degraded"  # serving, with a part unavailable
    UNAVAILABLE = "unavailable"  # route no client here


@dataclass(frozen=True, slots=True)
class Part:
    """State of one dependency.

    Attributes:
        there: True while it is available.
        since_ms: epoch ms of the last change.
        detail: what an operator should know of it.
    """

    there: bool
    since_ms: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Readiness:
    """State of all parts at one moment."""

    status: Status
    draining: bool
    parts: Mapping[str, Part]


class Health:
    """State of every part; a part counts as available until it is reported unavailable.

    Args:
        now_ms: reads the wall clock, epoch ms.
        parts: names of the parts.
        vital: parts without which no client can be served.
    """

    def __init__(
        self,
        now_ms: Callable[[], int],
        parts: tuple[str, ...] = PARTS,
        vital: frozenset[str] = frozenset({STORE}),
    ) -> None:
        self._now_ms = now_ms
        self._vital = vital
        self._draining = False
        started_ms = now_ms()
        self._parts = {name: Part(True, started_ms) for name in parts}

    def report(self, part: str, there: bool, detail: str = "") -> None:
        """Set the state and the details of a part."""
        known = self._parts.get(part)
        if known is None or known.there is not there:
            self._parts[part] = Part(there, self._now_ms(), detail)
        elif known.detail != detail:
            self._parts[part] = Part(there, known.since_ms, detail)

    def drain(self) -> None:
        """Report unavailable from now on, so that no further client is routed here."""
        self._draining = True

    def readiness(self) -> Readiness:
        """Return the current state."""
        unavailable = {name for name, part in self._parts.items() if not part.there}
        status = Status.DEGRADED if unavailable else Status.OK
        if self._draining or unavailable & self._vital:
            status = Status.UNAVAILABLE
        return Readiness(status, self._draining, dict(self._parts))
