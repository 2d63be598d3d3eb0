"""The media plane: an SFU and a mixer that can be told to write what they carry."""

from collections.abc import AsyncIterator
from typing import Protocol

from sfu_wrapper.core.facts import PlaneFact
from sfu_wrapper.core.requests import PlaneRequest
from sfu_wrapper.model.media import Medium


class MediaPlane(Protocol):
    """Requests go in without waiting, facts come out as a stream.

    An answer may never come: whoever asks keeps the deadline. Requests of one room are carried
    out in order; rooms do not wait for each other.
    """

    def is_there(self, medium: Medium) -> bool:
        """Whether what writes this medium can be reached, as far as is known."""
        ...

    async def run(self) -> None:
        """Keep the plane connected until cancelled; raises only on our own bugs."""
        ...

    def tell(self, request: PlaneRequest) -> None:
        """Hand over a request; never blocks.

        Raises:
            Unavailable: the queue towards the plane is full.
        """
        ...

    def facts(self) -> AsyncIterator[PlaneFact]:
        """What the plane reports, in order per room. One reader.

        A plane whose rooms outlive the controller tells of those that it finds (``RoomFound``).
        """
        ...

    async def close(self) -> None:
        """Stop whatever still runs and release everything, within 5 s."""
        ...
