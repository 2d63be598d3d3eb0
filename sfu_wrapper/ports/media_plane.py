"""Media plane: an SFU and a mixer that record on request, a trunk, and WebRTC media of browsers.

``MediaPlane`` takes requests about rooms and captures, and yields facts. ``Trunk`` yields calls
from the telephone network, as announced by the server that answers the trunk; their texts come from
outside and must be validated. ``BrowserMedia`` opens one media session per browser.

Only session descriptions and ICE candidates of a browser pass through. The implementation composes
each request to the SFU itself, so that no text from a browser can become a request about recording,
about rooms or about other users.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from sfu_wrapper.core.media_plane import PlaneFact, PlaneRequest
from sfu_wrapper.model.identity import ConfbridgeId
from sfu_wrapper.model.media import Medium
from sfu_wrapper.model.webrtc import LineRequest, MediaNews, MediaPlace, Outcome


class MediaPlane(Protocol):
    """Control of the media plane: requests go in without waiting, facts come out as a stream.

    A fact that answers a request may never arrive: the caller keeps the deadline. The plane
    executes the requests of one room in order; rooms do not wait for each other.
    """

    def is_available(self, medium: Medium) -> bool:
        """Return True while the server that writes this medium is reachable, as last known."""
        ...

    async def run(self) -> None:
        """Keep the plane connected until cancelled; raises only on our own bugs."""
        ...

    def send(self, request: PlaneRequest) -> None:
        """Queue a request; never blocks.

        Raises:
            Unavailable: the queue to the plane is full.
        """
        ...

    def facts(self) -> AsyncIterator[PlaneFact]:
        """Yield the plane's facts, in order per room, to one reader.

        A plane that keeps its rooms over a restart of the controller reports them (``RoomFound``).
        """
        ...

    async def close(self) -> None:
        """Stop running captures and release all resources, within 5 s."""
        ...


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


class Line(Protocol):
    """Media session of one browser. No method blocks."""

    def request(self, request: LineRequest, done: Callable[[Outcome], None]) -> None:
        """Execute a request after all earlier ones; call ``done`` exactly once.

        ``done`` receives Unavailable where the SFU is unavailable, does not answer in time or has
        too many requests waiting, and Refused where the request is not possible.
        """
        ...

    def close(self) -> None:
        """Release all connections; pending ``done`` callbacks are still called, news end."""
        ...


class BrowserMedia(Protocol):
    """Factory of media sessions."""

    async def run(self) -> None:
        """Execute requests until cancelled; raises only on our own bugs."""
        ...

    def open(self, place: MediaPlace, report: Callable[[MediaNews], None]) -> Line:
        """Open a media session of this user in this room; existing feeds arrive first as news.

        An earlier session of the same place is lost. News arrive through ``report``, which is never
        called before this method returns.

        Raises:
            Unavailable: the SFU is unavailable.
        """
        ...
