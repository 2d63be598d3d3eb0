"""What the rooms let the outside know of themselves, without knowing who listens."""

from typing import Protocol


class Signals(Protocol):
    """For health and metrics."""

    def stored(self, done: bool) -> None:
        """A commit was written, or could not be."""
        ...

    def alarm(self) -> None:
        """Something has happened that a person should look at."""
        ...

    def recording_missed(self) -> None:
        """A recording is wanted, and could not be started three times in a row."""
        ...


class Unheard:
    """Nobody listens."""

    def stored(self, done: bool) -> None:
        """See ``Signals``."""

    def alarm(self) -> None:
        """See ``Signals``."""

    def recording_missed(self) -> None:
        """See ``Signals``."""
