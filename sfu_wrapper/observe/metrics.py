"""What is counted, in Prometheus' terms. Counts what it is told and decides nothing.

No label holds anything that a client chose: numbers of series stay bounded, and nobody's name is
in them.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

_PREFIX = "sfu_wrapper"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The numbers of one controller, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "http_requests",
            "HTTP requests by method, route and status",
            ("method", "route", "status"),
            namespace=_PREFIX,
            registry=self._registry,
        )
        self._seconds = Histogram(
            "http_request_seconds",
            "From a request's head to the end of its answer, seconds",
            namespace=_PREFIX,
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._missed = self._counter(
            "recordings_missed", "Recordings that are wanted and could not be started three times"
        )
        self._alarms = self._counter("alarms", "Errors that a person should look at")

    def http(self, method: str, route: str, status: int, seconds: float) -> None:
        """One HTTP request is answered. method, route: as we name them, not as they were sent."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.observe(seconds)

    def recording_missed(self) -> None:
        """A recording is wanted and does not come about."""
        self._missed.inc()

    def alarm(self) -> None:
        """Something has happened that a person should look at."""
        self._alarms.inc()

    def watch(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Ask ``read`` for a number whenever all are asked for.

        Raises:
            ValueError: the name is taken.
        """
        gauge = Gauge(name, meaning, namespace=_PREFIX, registry=self._registry)
        gauge.set_function(read)

    def render(self, accept: str | None) -> tuple[str, bytes]:
        """All of them: content type and body. accept: the header of whoever asks."""
        encode, content_type = choose_encoder(accept or "")
        return content_type, encode(self._registry)

    def _counter(self, name: str, meaning: str) -> Counter:
        return Counter(name, meaning, namespace=_PREFIX, registry=self._registry)
