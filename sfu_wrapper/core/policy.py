"""Who is recorded, and why.

Pure: reads permissions and configuration, returns a ``Decision``; never raises, never logs.
Source: policy.md, "The grant", "Kinds of rooms", "Why a room does not start automatically".
"""

from dataclasses import dataclass
from enum import StrEnum

from sfu_wrapper.model.identity import (
    OwnerPermissions,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
)
from sfu_wrapper.model.room import Kind, Origin


class Source(StrEnum):
    """The level that decided."""

    USER = "user"
    DOMAIN = "domain"
    SYSTEM = "system"
    TRUNK = "trunk"


class Reason(StrEnum):
    """Why a room does not start recording by itself; the first that applies."""

    NO_PERMISSION = "NO_PERMISSION"
    PROFILE = "PROFILE"
    TYPE_NONE = "TYPE_NONE"
    NOT_ASKED = "NOT_ASKED"
    AT_START_OFF = "AT_START_OFF"
    PUBLIC_ROOM = "PUBLIC_ROOM"
    PSTN_OFF = "PSTN_OFF"
    PSTN_CONFLICT = "PSTN_CONFLICT"


class PstnConflict(StrEnum):
    """What ``recordIncomingPSTN`` without ``recordRecordingAtStart`` comes to."""

    WARN = "warn"
    REFUSE = "refuse"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """The part of the configuration that decides (policy.md)."""

    system: RecordingType = RecordingType.NONE  # rooms.record
    record_at_start: bool = True  # recordRecordingAtStart
    record_incoming_pstn: bool = False  # trunk.recordIncomingPSTN
    pstn_conflict: PstnConflict = PstnConflict.WARN  # trunk.conflict
    optional_allows_manual: bool = False  # policy.optionalAllowsManual


@dataclass(frozen=True, slots=True)
class Grant:
    """What the stored permissions come to for one owner."""

    source: Source
    type: RecordingType
    profile: RecordingProfile

    @property
    def records(self) -> bool:
        """Whether a call of this owner may be recorded at all."""
        return self.profile is RecordingProfile.ALWAYS and self.type is not RecordingType.NONE


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy says about one room now.

    allowed: a start by the owner would pass.
    automatic: it starts by itself when it is established.
    type: what a segment would hold; NONE where nothing may be recorded.
    source: the level that decided; None where no level has a say (public rooms).
    reason: why not automatic; None where it is.
    """

    allowed: bool
    automatic: bool
    type: RecordingType
    source: Source | None
    reason: Reason | None


def grant(permissions: OwnerPermissions, system: RecordingType) -> Grant:
    """First level that says anything wins, whole: user, then domain, then system."""
    if permissions.user is not None:
        return _stored(Source.USER, permissions.user)
    if permissions.domain is not None:
        return _stored(Source.DOMAIN, permissions.domain)
    return Grant(Source.SYSTEM, system, RecordingProfile.ALWAYS)


def asks(kind: Kind, flag: bool | None) -> bool:
    """The record flag as it counts: absent means yes for a direct call, no for the others."""
    return kind is Kind.DIRECT if flag is None else flag


def decide(
    kind: Kind,
    origin: Origin,
    flag: bool | None,
    permissions: OwnerPermissions,
    settings: PolicySettings,
) -> Decision:
    """The decision table of policy.md. Only the owner's permissions count, nobody else's."""
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
    """Permissions and the flag play no part, and nobody may start it by hand."""
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
