"""Health of the controller, reported by its parts and read by ``/health``.

Ready while it is not draining and every vital part is available; any other unavailable part only
degrades it. This module neither checks parts nor takes decisions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

STORE = "store"
BROKER = "broker"
SFU = "sfu"
MIXER = "mixer"
KEYS = "keys"  # of tokens; a part only where a key set is fetched
PARTS = (STORE, BROKER, SFU, MIXER)


class Status(StrEnum):
    """Overall status."""

    OK = "ok"
    DEGRADED = "degraded"  # serving, with a part unavailable
    UNAVAILABLE = "unavailable"  # route no client here


@dataclass(frozen=True, slots=True)
class Part:
    """State of one dependency.

    Attributes:
        there: True while it is available.
        since_ms: epoch ms of the last change.
    """

    there: bool
    since_ms: int


@dataclass(frozen=True, slots=True)
class Readiness:
    """State of all parts at one moment."""

    status: Status
    draining: bool
    parts: Mapping[str, Part]


class Health:
    """State of every part; a part counts as available until it is reported unavailable.

    Args:
        now_ms: reads the wall clock, epoch ms.
        parts: names of the parts.
        vital: parts without which no client can be served.
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
        """Set the state of a part; without effect if unchanged."""
        known = self._parts.get(part)
        if known is None or known.there is not there:
            self._parts[part] = Part(there, self._now_ms())

    def drain(self) -> None:
        """Report unavailable from now on, so that no further client is routed here."""
        self._draining = True

    def readiness(self) -> Readiness:
        """Return the current state."""
        unavailable = {name for name, part in self._parts.items() if not part.there}
        status = Status.DEGRADED if unavailable else Status.OK
        if self._draining or unavailable & self._vital:
            status = Status.UNAVAILABLE
        return Readiness(status, self._draining, dict(self._parts))
