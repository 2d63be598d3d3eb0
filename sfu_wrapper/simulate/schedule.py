"""Schedule of a run: begins, pauses and names, which follow from the seed. Pure.

No call depends on another one's random numbers, so that call 7 is the same with 10 calls or 300.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from random import Random

from sfu_wrapper.simulate.scenario import Scenario, Step


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """Call of a scenario.

    Attributes:
        number: 1 for the first.
        begin_s: seconds after the begin of the run.
        names: user ids and room ids by their names in the scenario.
        seed: seed of its think times.
    """

    number: int
    begin_s: float
    names: Mapping[str, str]
    seed: str

    def pause_s(self, step: Step, turn: int) -> float:
        """Return the length of a pause in seconds.

        Args:
            step: the step with ``pause``.
            turn: how many times this call has played the step before.
        """
        match step.pause:
            case (low, high):
                return self._random(f"{step.line}:{turn}").uniform(low, high)
            case float() as exact:
                return exact
        return 0.0

    def _random(self, what: str) -> Random:
        return Random(f"{self.seed}:{what}")  # noqa: S311 - it has to be the same each time


def plan(scenario: Scenario, seed: int, run: str) -> list[PlannedCall]:
    """Return the calls of a scenario, in the order of their begin.

    Args:
        scenario: what is played.
        seed: of all random choices.
        run: part of room ids that tells this run from others against the same controller.
    """
    count = scenario.calls.count
    begins = sorted(_begin(scenario, seed, number) for number in range(1, count + 1))
    return [
        PlannedCall(number, begin_s, _names(scenario, number, run), f"{seed}:{number}")
        for number, begin_s in enumerate(begins, 1)
    ]


def _begin(scenario: Scenario, seed: int, number: int) -> float:
    """Return the begin of a call in seconds."""
    calls = scenario.calls
    share = (number - 1) / calls.count
    match calls.ramp:
        case "even":
            return calls.within * share
        case "rising":  # as many a second as seconds have passed
            return calls.within * sqrt(share)
        case "random":
            return calls.within * Random(f"{seed}:begin:{number}").random()  # noqa: S311


def _names(scenario: Scenario, number: int, run: str) -> dict[str, str]:
    alone = scenario.calls.count == 1
    people = {
        name: name if alone or person.shared else f"{name}-{number}"
        for name, person in scenario.clients.items()
    }
    return people | {name: f"{name}-{run}-{number}" for name in scenario.rooms}


def users(scenario: Scenario, name: str) -> list[str]:
    """Return the user ids that a client of the scenario has, in all calls."""
    numbers = range(1, scenario.calls.count + 1)
    return sorted({_names(scenario, number, "")[name] for number in numbers})
