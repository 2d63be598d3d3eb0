"""Audit chains: the hash that links an entry to the one before it, and what is wrong with a chain.

The hash of an entry is SHA-256 over the 32 bytes of the hash before it (nothing for the first
entry) and the canonical JSON of the entry, which holds its number. So a changed, removed or added
entry breaks the chain at its place, and the last hash covers all entries before it. A chain
that lost its end, or was written again as a whole, is consistent in itself: only a head that was
saved before shows that. Source: audit.md, "The chain".
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

NO_HASH: Final = b""
"""Hash before the first entry."""


def linked(previous: bytes, entry: bytes) -> bytes:
    """Return the hash of an entry.

    Args:
        previous: hash of the entry before it; ``NO_HASH`` for the first one.
        entry: canonical JSON of the entry.
    """
    return hashlib.sha256(previous + entry).digest()


class Fault(StrEnum):
    """Kind of a fault in a chain."""

    CHANGED = "changed"
    GAP = "gap"
    MISSING_TAIL = "missingTail"
    OTHER_CHAIN = "otherChain"


@dataclass(frozen=True, slots=True)
class ChainFault:
    """First fault of a chain.

    Attributes:
        fault: kind.
        number: first entry concerned.
        last: last entry concerned: of a gap or a missing tail, the last one that is missing.
    """

    fault: Fault
    number: int
    last: int

    def __str__(self) -> str:
        """Return one sentence for an operator."""
        one = self.number == self.last
        entries = f"entry {self.number}" if one else f"entries {self.number} to {self.last}"
        missing = f"{entries} {'is' if one else 'are'} missing"
        match self.fault:
            case Fault.CHANGED:
                return f"{entries} was changed: its hash does not follow from the entry before it"
            case Fault.GAP:
                return f"{missing}: removed from between others"
            case Fault.MISSING_TAIL:
                return f"{missing}: the saved head has more, the end of the chain was cut off"
            case Fault.OTHER_CHAIN:
                return f"{entries} differs from the saved head: the chain was written again"
            case _:
                assert_never(self.fault)


@dataclass(frozen=True, slots=True)
class SavedHead:
    """Head of a chain that was saved earlier: number and hash of its last entry then."""

    number: int
    hash: bytes


class ChainCheck:
    """Verification of one chain, entry by entry; memory does not grow with the chain.

    Args:
        saved: head saved earlier, which the chain must contain; None: none.

    Attributes:
        number: number of the last good entry.
        hash: its hash.
    """

    def __init__(self, saved: SavedHead | None = None) -> None:
        self._saved = saved
        self.number = 0
        self.hash = NO_HASH

    def check(self, number: int, entry: bytes, stored: bytes) -> ChainFault | None:
        """Check the next stored entry.

        Args:
            number: number under which it is stored.
            entry: its canonical JSON.
            stored: its stored hash.

        Returns:
            The fault; no further entries can be checked after it.
        """
        expected = self.number + 1
        if number > expected:
            return ChainFault(Fault.GAP, expected, number - 1)
        own = linked(self.hash, entry)
        if number < expected or own != stored:
            return ChainFault(Fault.CHANGED, number, number)
        saved = self._saved
        if saved is not None and saved.number == number and saved.hash != own:
            return ChainFault(Fault.OTHER_CHAIN, number, number)
        self.number, self.hash = number, own
        return None

    def end(self) -> ChainFault | None:
        """Return the fault that shows once all entries are checked: a missing tail."""
        saved = self._saved
        if saved is None or saved.number <= self.number:
            return None
        return ChainFault(Fault.MISSING_TAIL, self.number + 1, saved.number)
