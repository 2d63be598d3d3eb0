"""Key set of an identity provider, for the verification of its tokens."""

from typing import Protocol


class KeySetSource(Protocol):
    """Remote key set (RFC 7517)."""

    async def fetch(self) -> bytes:
        """Return the current set; bounded in size and time.

        Raises:
            Unavailable: the set cannot be fetched now.
        """
        ...
