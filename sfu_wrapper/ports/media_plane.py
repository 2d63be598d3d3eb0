"""Media plane: an SFU and a mixer that record on request."""

from collections.abc import AsyncIterator
from typing import Protocol

from sfu_wrapper.core.media_plane import PlaneFact, PlaneRequest
from sfu_wrapper.model.media import Medium


class MediaPlane(Protocol):
    """Control of the media plane: requests go in without waiting, facts come out as a stream.

    A fact that answers a request may never arrive: the caller keeps the deadline. The plane
    executes the requests of one room in order; rooms do not wait for each other.
    """

    def is_there(self, medium: Medium) -> bool:
        """Return True while the server that writes this medium is reachable, as last known."""
        ...

    async def run(self) -> None:
        """Keep the plane connected until cancelled; raises only on our own bugs."""
        ...

    def tell(self, request: PlaneRequest) -> None:
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
