"""What a room is, before anything happens in it (policy.md, "Room kinds")."""

from enum import StrEnum


class Kind(StrEnum):
    """How a room came about; it decides who may record."""

    DIRECT = "direct"  # one-to-one or multiparty, by invitation
    MEETING = "meeting"
    PUBLIC = "public"


class Origin(StrEnum):
    """Where the call comes from. PSTN goes with DIRECT only."""

    INTERNAL = "internal"
    PSTN = "pstn"


class StopReason(StrEnum):
    """Why a segment that ran was stopped."""

    REQUESTED = "requested"
    CALL_ENDED = "callEnded"
    FAILED = "failed"
    RESTART = "restart"


class EndReason(StrEnum):
    """Why a room ended."""

    HANGUP = "hangup"
    CANCELLED = "cancelled"
    NO_ANSWER = "noAnswer"
    LAST_LEFT = "lastLeft"
    IDLE = "idle"
    ENDED = "ended"
