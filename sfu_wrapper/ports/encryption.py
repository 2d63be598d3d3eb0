"""Encryption of finished files. Fails closed: where it raises, nothing readable was delivered."""

from pathlib import Path
from typing import Protocol


class Encryptor(Protocol):
    """One public key, configured.

    Raises, both of them:
        JobFailed: stage ``encrypt``; the key or the program cannot be used, or it took too long.
    """

    async def check(self) -> None:
        """Whether the key can be used right now; asked before any work is done."""
        ...

    async def encrypt(self, source: Path, target: Path, *, timeout_s: float) -> None:
        """Write ``source`` encrypted to ``target``, which appears whole or not at all."""
        ...
