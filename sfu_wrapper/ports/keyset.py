"""Where an identity provider publishes the keys that its tokens can be checked with."""

from typing import Protocol


class KeySetSource(Protocol):
    """One key set (RFC 7517), somewhere else."""

    async def fetch(self) -> bytes:
        """The set as it is now; bounded in size and in time.

        Raises:
            Unavailable: it cannot be had now.
        """
        ...
