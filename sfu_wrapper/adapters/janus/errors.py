"""Refusals by Janus: one table from its error codes to the kinds that callers act on.

The core and both plugins each use a range of codes. Plugins refuse inside an answer whose envelope
reports success.
"""

from enum import StrEnum
from typing import Final

from sfu_wrapper.model.errors import RecordingError


class Trouble(StrEnum):
    """Kinds of refusals that a caller handles."""

    NO_SUCH_ROOM = "noSuchRoom"  # never created, destroyed, or lost in a restart of Janus
    ROOM_EXISTS = "roomExists"
    ID_TAKEN = "idTaken"
    ROOM_FULL = "roomFull"
    UNAUTHORIZED = "unauthorized"  # a secret is wrong or missing
    NO_SUCH_SESSION = "noSuchSession"  # of the session or of the handle
    OTHER = "other"  # a request that should not have been sent


_TROUBLES: Final = {
    403: Trouble.UNAUTHORIZED,
    458: Trouble.NO_SUCH_SESSION,
    459: Trouble.NO_SUCH_SESSION,
    # VideoRoom
    426: Trouble.NO_SUCH_ROOM,
    427: Trouble.ROOM_EXISTS,
    432: Trouble.ROOM_FULL,
    433: Trouble.UNAUTHORIZED,
    436: Trouble.ID_TAKEN,
    # AudioBridge
    485: Trouble.NO_SUCH_ROOM,
    486: Trouble.ROOM_EXISTS,
    489: Trouble.UNAUTHORIZED,
    490: Trouble.ID_TAKEN,
}


class JanusRefused(RecordingError):
    """Janus refused a request and changed nothing.

    Attributes:
        number: Error code of Janus; 0 if it gave none.
        trouble: Kind of refusal.
    """

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"Janus: {reason} ({number})")
        self.number = number
        self.trouble = _TROUBLES.get(number, Trouble.OTHER)


class ForeignRoom(JanusRefused):
    """The room exists, but another installation created it."""

    def __init__(self, room: str) -> None:
        super().__init__(
            0, f"room {room} exists without a secret, so another client of Janus created it"
        )


def refusal(error: object, number_key: str, text_key: str) -> JanusRefused:
    """Return the exception for the error part of an answer, which may have any shape."""
    fields = error if isinstance(error, dict) else {}
    number = fields.get(number_key)
    return JanusRefused(number if isinstance(number, int) else 0, str(fields.get(text_key, error)))
