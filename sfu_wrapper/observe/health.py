"""How the controller is: told by those who notice, asked by whoever routes traffic to it.

Ready while it does not drain and every vital part is there; what else is away only degrades it.
Decides nothing else and watches nothing by itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

STORE = "store"
BROKER = "broker"
SFU = "sfu"
MIXER = "mixer"
KEYS = "keys"  # of tokens; a part only where they are fetched
PARTS = (STORE, BROKER, SFU, MIXER)


class Status(StrEnum):
    """All of it in a word."""

    OK = "ok"
    DEGRADED = "degraded"  # it works; something is away
    UNAVAILABLE = "unavailable"  # send nobody here


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is needed. since_ms: epoch ms, when it came to be as it is."""

    there: bool
    since_ms: int


@dataclass(frozen=True, slots=True)
class Readiness:
    """All parts at one moment."""

    status: Status
    draining: bool
    parts: Mapping[str, Part]


class Health:
    """The state of every part. A part counts as there until it is said not to be.

    now_ms: the wall clock. vital: without these nobody can be served.
    """

    def __init__(
        self,
        now_ms: Callable[[], int],
        parts: tuple[str, ...] = PARTS,
        vital: frozenset[str] = frozenset({STORE}),
    ) -> None:
        self._now_ms = now_ms
        self._vital = vital
        self._draining = False
        started_ms = now_ms()
        self._parts = {name: Part(True, started_ms) for name in parts}

    def report(self, part: str, there: bool) -> None:
        """Say how a part is; the same again changes nothing."""
        known = self._parts.get(part)
        if known is None or known.there is not there:
            self._parts[part] = Part(there, self._now_ms())

    def drain(self) -> None:
        """From now on nobody is to be sent here."""
        self._draining = True

    def readiness(self) -> Readiness:
        """How it is now."""
        away = {name for name, part in self._parts.items() if not part.there}
        status = Status.DEGRADED if away else Status.OK
        if self._draining or away & self._vital:
            status = Status.UNAVAILABLE
        return Readiness(status, self._draining, dict(self._parts))
