"""Outcome of an attack, judged by the limits. No I/O.

Times are compared within one run: others' waiting under attack against their waiting before it.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from scripts.attacks.catalogue import Attack
from scripts.attacks.prober import OK, Probed, Sample

MOST_P99_MS = 100.0
MOST_RATIO = 5.0
AFTER_MIB = 16  # that memory may grow between the end of the attack and the end of the run


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the run, in monotonic s."""

    begin_s: float
    end_s: float

    def __contains__(self, at_s: float) -> bool:
        return self.begin_s <= at_s < self.end_s


@dataclass(frozen=True, slots=True)
class Times:
    """Waiting times of one phase, in ms; NaN where there was no answer at all."""

    answers: int
    p50_ms: float
    p99_ms: float


@dataclass(slots=True)
class Run:
    """One run of one attack.

    Attributes:
        quiet, strike, after: the three phases.
        struck, found, notes: what the attack itself counted and found (``Field``).
        memory: monotonic s and MiB.
        cpu: share of one core that the controller used during the strike.
        starved: share of the strike in which it was ready to run and had to wait for a core.
        lost: segments whose start was answered ok and that were never announced.
        ended: exit code of the controller after SIGTERM.
        broke: actions of error lines in its log.
    """

    attack: Attack
    quiet: Phase
    strike: Phase
    after: Phase
    probed: Probed
    struck: dict[str, int] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    notes: dict[str, float] = field(default_factory=dict)
    memory: list[tuple[float, float]] = field(default_factory=list)
    cpu: float = 0.0
    starved: float = 0.0
    lost: list[tuple[str, int]] = field(default_factory=list)
    ended: int = 0
    broke: list[str] = field(default_factory=list)

    def times(self, phase: Phase) -> Times:
        """Return how long users waited for answers that they asked for in that phase."""
        took = sorted(each.took_ms for each in self._asked(phase))
        if not took:
            return Times(0, math.nan, math.nan)
        return Times(len(took), _percentile(took, 50), _percentile(took, 99))

    def refused(self) -> dict[str, int]:
        """Return what others got instead of an answer, and how often."""
        found: dict[str, int] = {}
        for sample in self.probed.samples:
            if sample.outcome != OK:
                name = f"{sample.kind} {sample.outcome}"
                found[name] = found.get(name, 0) + 1
        return found

    def mib(self, phase: Phase) -> float:
        """Return the most memory that it held in that phase."""
        return max((mib for at_s, mib in self.memory if at_s in phase), default=math.nan)

    @property
    def ratio(self) -> float:
        """Ratio of others' 99th percentile under attack to the quiet one."""
        return self.times(self.strike).p99_ms / self.times(self.quiet).p99_ms

    def _asked(self, phase: Phase) -> Iterable[Sample]:
        return (each for each in self.probed.samples if each.at_s in phase)


def broken_limits(run: Run, *, timed: bool = True) -> list[str]:
    """Return the limits that do not hold, in words; timed: those of waiting times as well."""
    return [*_facts(run), *(_waits(run) if timed else ())]


def _waits(run: Run) -> Iterator[str]:
    p99_ms = run.times(run.strike).p99_ms
    if not p99_ms <= MOST_P99_MS:
        yield f"p99 {p99_ms:.0f} ms"
    if not run.ratio <= MOST_RATIO:
        yield f"p99 {run.ratio:.1f} times its quiet value"


def _facts(run: Run) -> Iterator[str]:
    refused = run.refused()
    if refused:
        yield "others: " + ", ".join(f"{name} ({count})" for name, count in refused.items())
    if not run.probed.starts:
        yield "nothing was recorded"
    if run.lost:
        yield f"{len(run.lost)} recordings lost"
    if run.ended:
        yield f"controller ended with {run.ended}"
    if run.broke:
        yield f"log: {', '.join(run.broke)}"
    if not sum(run.struck.values()):
        yield "no strike"
    yield from run.found
    yield from _memory(run)
    yield from _health(run)


def _memory(run: Run) -> Iterator[str]:
    before, most, after = (run.mib(phase) for phase in (run.quiet, run.strike, run.after))
    if not most - before <= run.attack.growth_mib:
        yield f"memory grew by {most - before:.0f} MiB, of {run.attack.growth_mib}"
    if after > max(most, before) + AFTER_MIB:
        yield f"memory went on growing, by {after - most:.0f} MiB"


def _health(run: Run) -> Iterator[str]:
    """Health has to name what is unavailable, and nothing that is not, from the strike on."""
    since = Phase(run.strike.begin_s, run.after.end_s)
    seen = {frozenset(lacking) for at_s, _, lacking in run.probed.readiness if at_s in since}
    wrong = seen - {run.attack.degraded}
    if not seen:
        yield "health was not there"
    if wrong:
        yield f"health named {sorted(set().union(*wrong)) or 'nothing'}"


def _percentile(ordered: list[float], percent: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
