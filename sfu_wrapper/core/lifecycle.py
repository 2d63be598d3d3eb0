"""The arrows of a room: its life and its capture. ``advance`` is the only door.

The arrows are given once, to one ``transitions.Machine`` each (no model, no callbacks); the
look-up table is computed from that Machine when this module is loaded, so that an advance costs
a dictionary look-up. The diagrams in docs/ and the tests come from the same arrows.
"""

from enum import StrEnum
from typing import TypeVar, cast

from transitions import Machine


class Life(StrEnum):
    """The life of a room."""

    WAITING = "waiting"
    ESTABLISHED = "established"
    ENDED = "ended"


class Phase(StrEnum):
    """The capture of a room: what its open segment is doing."""

    IDLE = "idle"
    STARTING = "starting"  # asked the media plane, not decided yet
    RECORDING = "recording"
    STOPPING = "stopping"  # asked the media plane, files not closed yet


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
    """The state after ``trigger``.

    Raises:
        ValueError: there is no such arrow. Callers check first whether people may; an arrow
            missing here is a bug of ours.
    """
    found = _ARROWS.get((state, trigger))
    if found is None:
        raise ValueError(f"no arrow {trigger!r} from {state!r}")
    return cast("State", found)
