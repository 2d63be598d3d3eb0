"""Calls from the telephone network, as announced by the server that answers the trunk.

All announced texts come from outside; consumers must validate them.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from sfu_wrapper.model.identity import ConfbridgeId


@dataclass(frozen=True, slots=True)
class TrunkCall:
    """Call from the trunk.

    Attributes:
        id: unique and stable, so that a call is recognised after a restart of either side.
        conference: conference in which the call is mixed.
        caller: number of the caller as the trunk gives it; may be empty.
        called: number called; may be empty.
        room_id: room id requested by the dialplan; None: not given.
        invited: user ids requested by the dialplan; None: not given.
    """

    id: str
    conference: ConfbridgeId
    caller: str
    called: str = ""
    room_id: str | None = None
    invited: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class CallArrived:
    """Announcement of a call on its way to its conference."""

    call: TrunkCall


@dataclass(frozen=True, slots=True)
class CallEntered:
    """Entry of a call into its conference; its audio is mixed from now on."""

    id: str


@dataclass(frozen=True, slots=True)
class CallLeft:
    """Exit of a call from its conference, usually by hanging up."""

    id: str


@dataclass(frozen=True, slots=True)
class CallsPresent:
    """Complete list of the calls in conferences, sent after a connection loss.

    ``room_id`` and ``invited`` are unknown for calls without an announcement.
    """

    calls: tuple[TrunkCall, ...]


CallNews = CallArrived | CallEntered | CallLeft | CallsPresent


class Trunk(Protocol):
    """Trunk: calls come out as a stream, the ends of rooms go in."""

    def calls(self) -> AsyncIterator[CallNews]:
        """Yield call events, in order per call, to one reader; ends once the trunk is closed."""
        ...

    def hang_up(self, call_id: str) -> None:
        """End a call if it still exists; never blocks."""
        ...
