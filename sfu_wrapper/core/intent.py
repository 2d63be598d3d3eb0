"""Intents of a room: pending requests, the wish to record, and the absence of its owner.

Frozen values; ``segments`` and ``limits`` decide with them. Deadlines are
milliseconds of the monotonic clock (``*_by_ms``, ``due_ms``); other times are milliseconds since
the epoch.

Source: policy.md, "Recording is wanted", "Limits and pauses", "Who may stop".
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile

from sfu_wrapper.core.policy import Decision
from sfu_wrapper.model.identity import RecordingType, UserId
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.model.trace import TraceContext


class PendingKind(StrEnum):
    """Kind of a pending request."""

    START = "start"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """Request whose answer depends on the media plane.

    Attributes:
        ref: name of the request for the reply.
        by: user that sent it.
        want: start or stop.
        due_ms: monotonic deadline, at which the answer is MEDIA_FAILED; None: not running yet.
        decision: of a start: decision that allowed it.
        trace: of a start: trace context of the request; None: it has none.
    """

    ref: str
    by: UserId
    want: PendingKind
    type: RecordingType = RecordingType.NONE
    due_ms: int | None = None
    decision: Decision | None = None
    trace: TraceContext | None = None


def leading(waiting: Iterable[PendingRequest], want: PendingKind) -> int:
    """Count the requests of this kind before the first of the other kind.

    Requests wait in order of arrival: starts of the open segment, then its stops, then starts of
    the next segment, and so on.
    """
    return sum(1 for _ in takewhile(lambda each: each.want is want, waiting))


@dataclass(frozen=True, slots=True)
class RecordingIntent:
    """Intent to record (policy.md, "Segments"): the next segment starts automatically.

    Attributes:
        type: media to record.
        failures: consecutive failed starts, for the back-off.
        due_ms: monotonic time of the next start; None: a segment is open.
        resumes_at_ms: epoch ms; set while the recording is paused.
        by: user that began the recording; None: the controller.
    """

    type: RecordingType
    failures: int = 0
    due_ms: int | None = None
    resumes_at_ms: int | None = None
    by: UserId | None = None


@dataclass(frozen=True, slots=True)
class Absence:
    """Absence of the owner while a recording runs.

    Attributes:
        since: first moment of both.
        stop_by_ms: monotonic deadline at which the recording is stopped; None: it goes on.
    """

    since: Instant
    stop_by_ms: int | None = None
