"""What the ``recording`` object of the protocol says of a room (protocol.md, "Endpoints")."""

from dataclasses import dataclass

from sfu_wrapper.core.lifecycle import Phase
from sfu_wrapper.core.policy import PolicySettings, Reason, Source, decide
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.ids import SegmentNo
from sfu_wrapper.model.permission import OwnerPermissions, RecordingType


@dataclass(frozen=True, slots=True)
class RecordingView:
    """allowed and automatic as in ``core.policy.Decision``; the running segment beside them."""

    allowed: bool
    automatic: bool
    type: RecordingType
    source: Source | None
    reason: Reason | None
    active: bool
    segment: SegmentNo | None = None
    started_ms: int | None = None


def recording_view(
    room: Room, permissions: OwnerPermissions, settings: PolicySettings
) -> RecordingView:
    """Allowed as of now; automatic as decided at establishment, before that as forecast."""
    now = decide(room.kind, room.origin, room.flag, permissions, settings)
    start = room.decision or now
    running = room.segments[-1] if room.capture is Phase.RECORDING else None
    return RecordingView(
        allowed=now.allowed,
        automatic=start.automatic,
        type=now.type,
        source=now.source,
        reason=start.reason,
        active=running is not None,
        segment=running.number if running is not None else None,
        started_ms=running.started.wall_ms if running is not None and running.started else None,
    )
