"""Metrics of a controller: rooms, segments, requests, commits, outbox, queues, webhooks.

What happens is counted where it happens; what is the case (rooms, queues, parts) is read at each
scrape. No label holds a value that a client chose.

Source: metrics.md, "Controller".
"""

from collections.abc import Callable
from typing import Final

from sfu_wrapper.core.effects import (
    Announcement,
    RecordingFailed,
    RecordingStarted,
    RecordingStopped,
)
from sfu_wrapper.model.identity import StopReason
from sfu_wrapper.observe.metrics import Health, Metrics, Values

WEBHOOK_OUTCOMES: Final = ("delivered", "failed", "givenUp")
TOGGLES: Final = ("startRoomRecording", "stopRoomRecording")
_STARTED: Final = "started"
_STOPPED: Final = "stopped"
_FAILED: Final = "failed"


class ControllerMetrics(Metrics):
    """Metrics of one controller."""

    def __init__(self) -> None:
        super().__init__()
        self._missed = self.counter(
            "recordings_missed", "Wanted recordings that failed to start three times"
        )
        self._webhooks = self.counter(
            "webhook_deliveries", "Attempts at webhook deliveries by outcome", ("outcome",)
        )
        self._segments = self.counter(
            "segments", "Segments that started, stopped or failed to start", ("outcome", "reason")
        )
        self._requests_sent = self.counter(
            "plane_requests", "Requests to the media plane by outcome", ("outcome",)
        )
        self._published = self.counter("published", "Messages that the broker has confirmed")
        toggles = self.histogram(
            "toggle_seconds", "Seconds from a start or stop to its answer", ("endpoint",)
        )
        self._commits = self.histogram("commit_seconds", "Seconds for which a commit took")
        self._toggles = {endpoint: toggles.labels(endpoint) for endpoint in TOGGLES}
        for outcome in WEBHOOK_OUTCOMES:  # all of these count from 0
            self._webhooks.labels(outcome)
        for reason in StopReason:
            self._segments.labels(_STOPPED, reason.value)
        self._segments.labels(_STARTED, "")
        self._sent, self._lost = map(self._requests_sent.labels, ("sent", "lost"))

    def recording_missed(self) -> None:
        """Count a recording that is wanted and could not be started."""
        self._missed.inc()

    def webhook(self, outcome: str) -> None:
        """Count an attempt at a webhook delivery by its outcome, one of ``WEBHOOK_OUTCOMES``."""
        self._webhooks.labels(outcome).inc()

    def announced(self, announcement: Announcement) -> None:
        """Count a segment that has started, stopped or failed to start."""
        match announcement:
            case RecordingStarted():
                self._segments.labels(_STARTED, "").inc()
            case RecordingStopped(segment=segment):
                self._segments.labels(_STOPPED, segment.reason or "").inc()
            case RecordingFailed(code=code):
                self._segments.labels(_FAILED, code).inc()
            case _:
                pass  # the others follow from these

    def answered(self, endpoint: str, seconds: float) -> None:
        """Observe the time from a request to its answer."""
        toggle = self._toggles.get(endpoint)
        if toggle is not None:
            toggle.observe(seconds)

    def committed(self, seconds: float) -> None:
        """Observe the time of a commit of a room."""
        self._commits.observe(seconds)

    def published(self) -> None:
        """Count a message that the broker has confirmed."""
        self._published.inc()

    def plane_request(self, *, sent: bool) -> None:
        """Count a request to the media plane; one that could not be sent is lost."""
        (self._sent if sent else self._lost).inc()

    def watch_rooms(self, read: Callable[[], Values]) -> None:
        """Register the number of rooms, by kind, state and phase of the recording."""
        self.watch_each("rooms", "Rooms in memory", ("kind", "state", "phase"), read)

    def watch_queues(self, read: Callable[[], Values]) -> None:
        """Register the number of messages that wait in the queues, by purpose of the queue."""
        self.watch_each("queue_messages", "Messages waiting in a queue", ("queue",), read)


def watch_parts(metrics: Metrics, health: Health) -> None:
    """Register the availability of the parts of a process: 1, or 0 while one is unavailable."""

    def read() -> Values:
        return {(name,): float(part.there) for name, part in health.readiness().parts.items()}

    metrics.watch_each("available", "Whether a part is available", ("part",), read)
