"""Encryption of finished files. Fails closed: after an error nothing readable was delivered."""

from pathlib import Path
from typing import Protocol


class Encryptor(Protocol):
    """Encryption to one configured public key.

    Raises, in both methods:
        JobFailed: stage ``encrypt``; the key or the program cannot be used, or it took too long.
    """

    async def check(self) -> None:
        """Check that the key can be used now; called before any work is done."""
        ...

    async def encrypt(self, source: Path, target: Path, *, timeout_s: float) -> None:
        """Write ``source`` encrypted to ``target``, which appears whole or not at all."""
        ...
