"""Fixed properties of a room and the reasons for its ends (policy.md, "Kinds of rooms")."""

from enum import StrEnum


class Kind(StrEnum):
    """Kind of a room, by its creation; it decides who may record."""

    DIRECT = "direct"  # one-to-one or multiparty, by invitation
    MEETING = "meeting"
    PUBLIC = "public"


class Origin(StrEnum):
    """Origin of the call. PSTN is possible for DIRECT rooms only."""

    INTERNAL = "internal"
    PSTN = "pstn"


class StopReason(StrEnum):
    """Reason for the stop of a running segment."""

    REQUESTED = "requested"
    CALL_ENDED = "callEnded"
    FAILED = "failed"
    RESTART = "restart"


class EndReason(StrEnum):
    """Reason for the end of a room."""

    HANGUP = "hangup"
    CANCELLED = "cancelled"
    NO_ANSWER = "noAnswer"
    LAST_LEFT = "lastLeft"
    IDLE = "idle"
    ENDED = "ended"
