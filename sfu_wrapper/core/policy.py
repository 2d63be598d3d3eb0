"""Recording policy: the decision for a room and its reason, and the limits of a recording.

Pure: reads permissions and configuration, returns a ``Decision``; never raises, never logs.
Source: policy.md, "The grant", "Kinds of rooms", "Why a room does not start automatically",
"Limits and pauses".
"""

from dataclasses import dataclass
from enum import StrEnum

from sfu_wrapper.model.identity import (
    Kind,
    Origin,
    OwnerPermissions,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    StopReason,
)


class Source(StrEnum):
    """Level that decided."""

    USER = "user"
    DOMAIN = "domain"
    SYSTEM = "system"
    TRUNK = "trunk"


class Reason(StrEnum):
    """Reason why a room does not start recording automatically; the first that applies."""

    NO_PERMISSION = "NO_PERMISSION"
    PROFILE = "PROFILE"
    TYPE_NONE = "TYPE_NONE"
    NOT_ASKED = "NOT_ASKED"
    AT_START_OFF = "AT_START_OFF"
    PUBLIC_ROOM = "PUBLIC_ROOM"
    PSTN_OFF = "PSTN_OFF"
    PSTN_CONFLICT = "PSTN_CONFLICT"


class PstnConflict(StrEnum):
    """Handling of ``recordIncomingPSTN`` without ``recordRecordingAtStart``."""

    WARN = "warn"
    REFUSE = "refuse"
    RECORD = "record"


class StopBy(StrEnum):
    """Users who may stop a recording, besides the room service and administrators."""

    OWNER = "owner"
    PARTICIPANTS = "participants"


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """Configuration of the policy (policy.md)."""

    system: RecordingType = RecordingType.NONE  # rooms.record
    record_at_start: bool = True  # recordRecordingAtStart
    record_incoming_pstn: bool = False  # trunk.recordIncomingPSTN
    pstn_conflict: PstnConflict = PstnConflict.WARN  # trunk.conflict
    optional_allows_manual: bool = False  # policy.optionalAllowsManual
    stop_by: StopBy = StopBy.OWNER  # policy.stopBy


@dataclass(frozen=True, slots=True)
class RecordingLimits:
    """Limits at which a recording is stopped; 0: none.

    Attributes:
        max_segment_ms: length of a segment, after which the next one starts.
        max_room_ms: recorded time of a room, after which recording is over.
        unattended_ms: time of a recording without its owner in the room.
    """

    max_segment_ms: int = 0
    max_room_ms: int = 0
    unattended_ms: int = 0

    def spent(self, recorded_ms: int) -> bool:
        """Return True if no more may be recorded in a room with so much recorded time."""
        return 0 < self.max_room_ms <= recorded_ms

    def end_of_segment(self, started_ms: int, recorded_ms: int) -> tuple[int, StopReason] | None:
        """Return the monotonic end of a segment, and the reason for it; None: no limit applies.

        Args:
            started_ms: monotonic start of the segment.
            recorded_ms: length of the earlier segments of the room.
        """
        ends = []
        if self.max_room_ms:
            left_ms = max(0, self.max_room_ms - recorded_ms)
            ends.append((started_ms + left_ms, StopReason.MAX_ROOM))
        if self.max_segment_ms:
            ends.append((started_ms + self.max_segment_ms, StopReason.MAX_LENGTH))
        return min(ends, key=lambda end: end[0], default=None)  # at a tie, that of the room


@dataclass(frozen=True, slots=True)
class Grant:
    """Result of the stored permissions for one owner."""

    source: Source
    type: RecordingType
    profile: RecordingProfile

    @property
    def records(self) -> bool:
        """True if calls of this owner may be recorded at all."""
        return self.profile is RecordingProfile.ALWAYS and self.type is not RecordingType.NONE


@dataclass(frozen=True, slots=True)
class Decision:
    """Decision of the policy for one room.

    Attributes:
        allowed: True if the owner may start a segment.
        automatic: True if recording starts when the room is established.
        type: media of a segment; NONE: recording is not allowed.
        source: level that decided; None: no level applies (public rooms).
        reason: why recording does not start automatically; None: it does.
    """

    allowed: bool
    automatic: bool
    type: RecordingType
    source: Source | None
    reason: Reason | None


def grant(permissions: OwnerPermissions, system: RecordingType) -> Grant:
    """Return the grant of the first level with a permission: user, then domain, then system."""
    if permissions.user is not None:
        return _stored(Source.USER, permissions.user)
    if permissions.domain is not None:
        return _stored(Source.DOMAIN, permissions.domain)
    return Grant(Source.SYSTEM, system, RecordingProfile.ALWAYS)


def asks(kind: Kind, flag: bool | None) -> bool:
    """Return the effective record flag: absent means True for direct calls, else False."""
    return kind is Kind.DIRECT if flag is None else flag


def decide(
    kind: Kind,
    origin: Origin,
    flag: bool | None,
    permissions: OwnerPermissions,
    settings: PolicySettings,
) -> Decision:
    """Apply the decision table of policy.md. Only the owner's permissions count."""
    if kind is Kind.PUBLIC:
        return Decision(False, False, RecordingType.NONE, None, Reason.PUBLIC_ROOM)
    if origin is Origin.PSTN:
        return _decide_pstn(settings)
    granted = grant(permissions, settings.system)
    by_hand = granted.records or _optional_by_hand(granted, settings)
    reason = _why_not(granted) or _why_not_by_itself(kind, flag, settings)
    return Decision(
        allowed=by_hand,
        automatic=reason is None,
        type=granted.type if by_hand else RecordingType.NONE,
        source=granted.source,
        reason=reason,
    )


def _stored(source: Source, permission: RecordingPermissions) -> Grant:
    return Grant(source, permission.recording_type, permission.recording_profile)


def _decide_pstn(settings: PolicySettings) -> Decision:
    """Decide from the configuration alone; permissions, flag and requests do not count."""
    reason = None
    if not settings.record_incoming_pstn:
        reason = Reason.PSTN_OFF
    elif not settings.record_at_start and settings.pstn_conflict is not PstnConflict.RECORD:
        reason = Reason.PSTN_CONFLICT
    recorded = RecordingType.ALL if reason is None else RecordingType.NONE
    return Decision(False, reason is None, recorded, Source.TRUNK, reason)


def _optional_by_hand(granted: Grant, settings: PolicySettings) -> bool:
    return (
        settings.optional_allows_manual
        and granted.profile is RecordingProfile.OPTIONAL
        and granted.type is not RecordingType.NONE
    )


def _why_not(granted: Grant) -> Reason | None:
    if granted.source is Source.SYSTEM and granted.type is RecordingType.NONE:
        return Reason.NO_PERMISSION
    if granted.profile is not RecordingProfile.ALWAYS:
        return Reason.PROFILE
    return Reason.TYPE_NONE if granted.type is RecordingType.NONE else None


def _why_not_by_itself(kind: Kind, flag: bool | None, settings: PolicySettings) -> Reason | None:
    if not asks(kind, flag):
        return Reason.NOT_ASKED
    return None if settings.record_at_start else Reason.AT_START_OFF
