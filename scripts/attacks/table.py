"""The table of a campaign: a Markdown row an attack, or one JSON object."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from scripts.attacks.judge import Phase, Run

_COLUMNS = (
    "attack",
    "strikes",
    "others p50, p99 before",
    "under attack, ms",
    "after",
    "times",
    "MiB before, most, after",
    "CPU, starved",
    "limits",
)
_BEFORE = "base: p99, times, MiB more"


def head(compared: bool) -> str:
    """Return the first two lines; compared: with a column of another checkout."""
    names = [*_COLUMNS, *((_BEFORE,) if compared else ())]
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}"


def row(run: Run, broken: Sequence[str], tries: int, before: Run | None) -> str:
    """Return one line."""
    phases = (run.quiet, run.strike, run.after)
    cells = [
        run.attack.name,
        f"{sum(run.struck.values()):,}",
        *(_times(run, phase) for phase in phases),
        f"{run.ratio:.1f}",
        ", ".join(f"{run.mib(phase):.0f}" for phase in phases),
        f"{100 * run.cpu:.0f} %, {100 * run.starved:.0f} %",
        "; ".join(broken) or ("hold" if tries == 1 else f"hold at try {tries}"),
    ]
    if before is not None:
        cells.append(_beside(before))
    return f"| {' | '.join(cells)} |"


def as_json(run: Run, broken: Sequence[str], tries: int) -> dict[str, Any]:
    """Return all figures."""
    phases = {"quiet": run.quiet, "strike": run.strike, "after": run.after}
    return {
        "attack": run.attack.name,
        "threat": run.attack.threat,
        "struck": run.struck,
        "times": {name: asdict(run.times(phase)) for name, phase in phases.items()},
        "memoryMiB": {name: round(run.mib(phase), 1) for name, phase in phases.items()},
        "cpu": round(run.cpu, 2),
        "starved": round(run.starved, 2),
        "refused": run.refused(),
        "notes": run.notes,
        "recorded": len(run.probed.starts),
        "lost": len(run.lost),
        "tries": tries,
        "broken": list(broken),
    }


def notes(run: Run) -> str:
    """Return the attack's own figures, where it has any."""
    return ", ".join(f"{name}: {value:g}" for name, value in run.notes.items())


def _times(run: Run, phase: Phase) -> str:
    times = run.times(phase)
    return f"{times.p50_ms:.1f}, {times.p99_ms:.1f}"


def _beside(run: Run) -> str:
    grown = run.mib(run.strike) - run.mib(run.quiet)
    cells = [f"{run.times(run.strike).p99_ms:.0f} ms", f"{run.ratio:.1f}", f"{grown:.0f}"]
    refused = sum(run.refused().values())
    if refused:
        cells.append(f"{refused} refused")
    if run.lost:
        cells.append(f"{len(run.lost)} lost")
    return ", ".join(cells)
