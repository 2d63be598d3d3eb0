"""WebRTC media of one browser: its streams to the SFU and mixer, and theirs to the browser.

Only session descriptions and ICE candidates pass through. The implementation composes each request
to the SFU itself, so that no text from a browser can become a request about recording, about rooms
or about other users.
"""

from collections.abc import Callable
from typing import Protocol

from sfu_wrapper.model.webrtc import Ask, MediaNews, Outcome, Place


class Line(Protocol):
    """Media session of one browser. No method blocks."""

    def ask(self, ask: Ask, done: Callable[[Outcome], None]) -> None:
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

    def open(self, place: Place, tell: Callable[[MediaNews], None]) -> Line:
        """Open a media session of this user in this room; existing feeds arrive first as news.

        An earlier session of the same place is lost. News arrive through ``tell``, which is never
        called before this method returns.

        Raises:
            Unavailable: the SFU is unavailable.
        """
        ...
