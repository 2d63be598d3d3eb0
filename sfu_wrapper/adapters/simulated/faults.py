"""Injected faults of the simulated plane: values, and their compact text form.

A fault is consumed when the request that it applies to is handed to the plane.

The text is a list of terms separated by commas:

    [video.|audio.]start=WAY[*N]   refuse   answered with a refusal, nothing is written
                                   hang     neither done nor answered
                                   mute     done, never answered
                                   late:S   done and answered S seconds later
    [video.|audio.]stop=WAY[*N]    the same; a refused stop has no answer and the capture goes on
    [video.|audio.]lose=S[*N]      that one capture is lost S seconds after its start
    [video.|audio.]die=S[*N]       the plane kills itself S seconds after the start of a capture
    freeze=S                       the plane stands still for S seconds, once, from now on

Without a medium a term counts for both; ``*N`` limits it to the next N requests (of each medium).
Example: ``video.start=refuse*2, audio.stop=late:3, die=2.5*1``.
"""

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from sfu_wrapper.model.errors import Misconfigured
from sfu_wrapper.model.media import Medium

EVER: Final = -1


class Way(StrEnum):
    """The way in which a request fails."""

    OK = "ok"
    REFUSE = "refuse"
    HANG = "hang"
    MUTE = "mute"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """Treatment of one request; ``after_s`` is the delay of LATE, lose and die, in seconds."""

    way: Way = Way.OK
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault for the next ``left`` requests, or for every one (EVER)."""

    injected: InjectedFault
    left: int = EVER


@dataclass(frozen=True, slots=True)
class MediumFaults:
    """The faults of one medium."""

    start: Fault | None = None
    stop: Fault | None = None
    lose: Fault | None = None
    die: Fault | None = None


@dataclass(frozen=True, slots=True)
class Faults:
    """Faults in force; the plane freezes for ``freeze_s`` once, when they are set."""

    audio: MediumFaults = field(default=MediumFaults())
    video: MediumFaults = field(default=MediumFaults())
    freeze_s: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Faults":
        """Parse the compact form; the empty text means no faults. Raises Misconfigured."""
        faults = cls()
        for term in filter(None, (part.strip() for part in text.split(","))):
            faults = faults._with(term)
        return faults

    def take(self, medium: Medium, point: str) -> tuple[InjectedFault | None, "Faults"]:
        """Consume a fault of the next request.

        Args:
            medium: medium of the request.
            point: start, stop, lose or die.

        Returns:
            The fault, None where there is none; and the faults left after it.
        """
        own: MediumFaults = getattr(self, medium)
        fault: Fault | None = getattr(own, point)
        if fault is None:
            return None, self
        if fault.left == EVER:
            return fault.injected, self
        rest = replace(fault, left=fault.left - 1) if fault.left > 1 else None
        return fault.injected, self._put(medium, point, rest)

    def _put(self, medium: Medium, point: str, fault: Fault | None) -> "Faults":
        own: MediumFaults = replace(getattr(self, medium), **{point: fault})
        return replace(self, audio=own) if medium is Medium.AUDIO else replace(self, video=own)

    def _with(self, term: str) -> "Faults":
        if freeze := _FREEZE.fullmatch(term):
            return replace(self, freeze_s=float(freeze[1]))
        match = _REQUEST.fullmatch(term)
        if match is None:
            raise Misconfigured(
                f"media.simulatedFaults: {term!r} is not a fault; write such as "
                "start=refuse*2, audio.stop=late:3, lose=2, die=2.5 or freeze=1"
            )
        injected = InjectedFault(
            Way(match["way"] or match["late"] or Way.OK), float(match["seconds"] or 0)
        )
        fault = Fault(injected, int(match["times"] or EVER))
        faults = self
        for medium in [Medium(match["medium"])] if match["medium"] else Medium:
            faults = faults._put(medium, match["point"] or match["end"], fault)
        return faults


_SECONDS = r"\d+(?:\.\d+)?"
_FREEZE = re.compile(rf"freeze=({_SECONDS})")
_REQUEST = re.compile(
    r"(?:(?P<medium>audio|video)\.)?"
    r"(?:(?P<point>start|stop)=(?:(?P<way>refuse|hang|mute)|(?P<late>late):(?=\d))"
    r"|(?P<end>lose|die)=(?=\d))"
    rf"(?P<seconds>(?<=[:=]){_SECONDS})?"
    r"(?:\*(?P<times>[1-9]\d*))?"
)
