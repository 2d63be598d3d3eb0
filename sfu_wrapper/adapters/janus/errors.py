"""What Janus says no with: one table from its numbers to what one does about them.

Its core has numbers of its own; VideoRoom and AudioBridge each have a block, and say no inside an
answer whose envelope is a success.
"""

from enum import StrEnum
from typing import Final

from sfu_wrapper.model.errors import RecordingError


class Trouble(StrEnum):
    """Kinds of refusals that somebody acts upon."""

    NO_SUCH_ROOM = "noSuchRoom"  # never made, destroyed, or Janus was restarted
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
    """Janus said no; nothing was done. number: its own code."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"Janus: {reason} ({number})")
        self.number = number
        self.trouble = _TROUBLES.get(number, Trouble.OTHER)


class ForeignRoom(JanusRefused):
    """A room of that name is there that was not made by this installation."""

    def __init__(self, room: str) -> None:
        super().__init__(0, f"room {room} is there without a secret, so it was made by others")


def refusal(error: object, number_key: str, text_key: str) -> JanusRefused:
    """What an answer with an error in it comes to, whatever it looks like."""
    fields = error if isinstance(error, dict) else {}
    number = fields.get(number_key)
    return JanusRefused(number if isinstance(number, int) else 0, str(fields.get(text_key, error)))
