"""Media of one browser: what it sends to the SFU and the mixer, and what it gets from them.

Session descriptions and candidates, and nothing else. Whoever implements this writes every request
to the SFU itself, so that nothing that a browser says can be one about recording, about a room or
about anybody else.
"""

from collections.abc import Callable
from typing import Protocol

from sfu_wrapper.model.browsermedia import Ask, MediaNews, Outcome, Place


class Line(Protocol):
    """One browser's media. Nothing here blocks."""

    def ask(self, ask: Ask, done: Callable[[Outcome], None]) -> None:
        """Carry it out, after all that was asked before; ``done`` is called exactly once.

        It is called with Unavailable where the SFU is away, does not answer in time or too much
        waits already, and with Refused where this cannot be had.
        """
        ...

    def close(self) -> None:
        """Let go of everything; ``done`` of what is under way is still called, no news are told."""
        ...


class BrowserMedia(Protocol):
    """Opens lines."""

    async def run(self) -> None:
        """Do what was asked, until cancelled; raises only on our own bugs."""
        ...

    def open(self, place: Place, tell: Callable[[MediaNews], None]) -> Line:
        """A line of this user in this room. What others publish already is told first.

        ``tell`` is never called before this returns. A line that was open in this place is lost.

        Raises:
            Unavailable: the SFU is away.
        """
        ...
