"""Calls from the telephone network, as whoever answers the trunk announces them.

What is announced comes from outside: every text in it is to be judged before it is used.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from sfu_wrapper.model.ids import ConfbridgeId


@dataclass(frozen=True, slots=True)
class TrunkCall:
    """One call. id: its own for ever, so that it is recognised after a restart of either side.

    conference: where it is mixed. caller, called: numbers as the trunk gives them, may be empty.
    room_id, invited: what the dialplan wishes, if anything.
    """

    id: str
    conference: ConfbridgeId
    caller: str
    called: str = ""
    room_id: str | None = None
    invited: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class CallArrived:
    """It is being put through to its conference."""

    call: TrunkCall


@dataclass(frozen=True, slots=True)
class CallEntered:
    """It is in its conference: it can be heard."""

    id: str


@dataclass(frozen=True, slots=True)
class CallLeft:
    """It has left its conference, by hanging up as a rule."""

    id: str


@dataclass(frozen=True, slots=True)
class CallsPresent:
    """Every call that is in a conference now; said after a time in which nothing was heard.

    ``room_id`` and ``invited`` of calls that nobody had announced are not known.
    """

    calls: tuple[TrunkCall, ...]


CallNews = CallArrived | CallEntered | CallLeft | CallsPresent


class Trunk(Protocol):
    """Calls come out as a stream, the ends of rooms go in."""

    def calls(self) -> AsyncIterator[CallNews]:
        """What happens to calls, in order per call. One reader; ends once it is closed."""
        ...

    def hang_up(self, call_id: str) -> None:
        """End one call, if it is still there; never blocks."""
        ...
