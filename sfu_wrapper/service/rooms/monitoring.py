"""Reports of the rooms to health and metrics, without knowledge of either."""

from typing import Protocol


class Signals(Protocol):
    """Receiver of these reports."""

    def stored(self, done: bool) -> None:
        """Report that a commit was written (True) or failed."""
        ...

    def recording_missed(self) -> None:
        """Report that a wanted recording failed to start three times in a row."""
        ...


class Unheard:
    """Receiver that drops them."""

    def stored(self, done: bool) -> None:
        """See ``Signals``."""

    def recording_missed(self) -> None:
        """See ``Signals``."""
