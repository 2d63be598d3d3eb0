"""State machines of a room: its life (``Life``) and its capture (``Phase``).

Theory of operation
    * In: the current state and the name of a trigger. Out: the next state.
    * Callers: ``membership`` advances the life, ``segments`` the phase. Each stores the result in
      ``Room.life`` or ``Room.capture`` in the same step.
    * Rule: ``advance`` is the only way to a next state. A trigger without an arrow is a bug of the
      caller, which checks before if the request is allowed.

The arrows are declared once, for one ``transitions.Machine`` each (no model, no callbacks). The
lookup table is computed from these machines at import, so that an advance costs one dictionary
lookup. The diagrams in docs/ and the tests use the same arrows.
"""

from enum import StrEnum
from typing import TypeVar, cast

from transitions import Machine


class Life(StrEnum):
    """Life of a room."""

    WAITING = "waiting"
    ESTABLISHED = "established"
    ENDED = "ended"


class Phase(StrEnum):
    """Phase of the open segment of a room; IDLE: no segment is open."""

    IDLE = "idle"
    STARTING = "starting"  # start requested, outcome not known yet
    RECORDING = "recording"
    STOPPING = "stopping"  # stop requested, files not closed yet


LIFE_ARROWS = (
    # trigger      from              to
    ("establish", Life.WAITING, Life.ESTABLISHED),
    ("end", Life.WAITING, Life.ENDED),
    ("end", Life.ESTABLISHED, Life.ENDED),
)

CAPTURE_ARROWS = (
    # trigger      from              to
    ("start", Phase.IDLE, Phase.STARTING),
    ("started", Phase.STARTING, Phase.RECORDING),
    ("failed", Phase.STARTING, Phase.IDLE),
    ("stop", Phase.STARTING, Phase.STOPPING),
    ("stop", Phase.RECORDING, Phase.STOPPING),
    ("stopped", Phase.STOPPING, Phase.IDLE),
)

State = TypeVar("State", Life, Phase)


def _machine(states: type[StrEnum], arrows: tuple[tuple[str, StrEnum, StrEnum], ...]) -> Machine:
    return Machine(
        model=None,
        states=states,
        transitions=[list(arrow) for arrow in arrows],
        initial=next(iter(states)),
        auto_transitions=False,
    )


def _table(machine: Machine, states: type[State]) -> dict[tuple[StrEnum, str], StrEnum]:
    return {
        (states[source], trigger): states[str(arrows[0].dest)]
        for trigger, event in machine.events.items()
        for source, arrows in event.transitions.items()
    }


LIFE_MACHINE = _machine(Life, LIFE_ARROWS)
CAPTURE_MACHINE = _machine(Phase, CAPTURE_ARROWS)

_ARROWS = _table(LIFE_MACHINE, Life) | _table(CAPTURE_MACHINE, Phase)


def advance(state: State, trigger: str) -> State:
    """Return the state after ``trigger``.

    Raises:
        ValueError: no arrow has this trigger and state, which is a bug of the caller.
    """
    found = _ARROWS.get((state, trigger))
    if found is None:
        raise ValueError(f"no arrow {trigger!r} from {state!r}")
    return cast("State", found)
