"""State machines of a room: its life, the phase of its segment, and the state of each capture.

Theory of operation
    * In: the current state and the name of a trigger. Out: the next state.
    * Callers: ``membership`` advances the life, ``segments`` the phase; ``captures``, ``segments``
      and ``timers`` the captures. Each stores the result in the room in the same step.
    * Rule: ``advance`` is the only way to a next state. A trigger without an arrow is a bug of the
      caller, which checks before if the request is allowed. Facts of the media plane cannot be
      refused: each has an arrow from every state of a capture.

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


class CaptureState(StrEnum):
    """State of one capture within its segment.

    The segment needs a capture that is REQUESTED, RUNNING or FAILED. One that is STOPPING or CLOSED
    is not needed any more, and is stopped if it writes all the same.
    """

    REQUESTED = "asked"  # start requested, no answer yet; the value is the one that stores hold
    RUNNING = "running"
    FAILED = "failed"  # refused, unanswered or lost; requested again at ``due_ms``
    STOPPING = "stopping"  # stop requested, not confirmed yet
    CLOSED = "closed"  # no file is open any more


LIFE_ARROWS = (
    # trigger      from              to
    ("establish", Life.WAITING, Life.ESTABLISHED),
    ("end", Life.WAITING, Life.ENDED),
    ("end", Life.ESTABLISHED, Life.ENDED),
)

PHASE_ARROWS = (
    # trigger      from              to
    ("start", Phase.IDLE, Phase.STARTING),
    ("started", Phase.STARTING, Phase.RECORDING),
    ("failed", Phase.STARTING, Phase.IDLE),
    ("stop", Phase.STARTING, Phase.STOPPING),
    ("stop", Phase.RECORDING, Phase.STOPPING),
    ("stopped", Phase.STOPPING, Phase.IDLE),
)

CAPTURE_ARROWS = (
    # trigger      from                    to
    # facts: what the media plane reports (``core.media_plane``)
    ("started", CaptureState.REQUESTED, CaptureState.RUNNING),
    ("started", CaptureState.RUNNING, CaptureState.RUNNING),
    ("started", CaptureState.FAILED, CaptureState.RUNNING),  # after all
    ("started", CaptureState.STOPPING, CaptureState.STOPPING),  # the stop is requested again
    ("started", CaptureState.CLOSED, CaptureState.STOPPING),  # a late start is stopped
    ("failed", CaptureState.REQUESTED, CaptureState.FAILED),
    ("failed", CaptureState.RUNNING, CaptureState.RUNNING),  # of an earlier request
    ("failed", CaptureState.FAILED, CaptureState.FAILED),
    ("failed", CaptureState.STOPPING, CaptureState.CLOSED),
    ("failed", CaptureState.CLOSED, CaptureState.CLOSED),
    ("changed", CaptureState.REQUESTED, CaptureState.REQUESTED),
    ("changed", CaptureState.RUNNING, CaptureState.RUNNING),
    ("changed", CaptureState.FAILED, CaptureState.FAILED),
    ("changed", CaptureState.STOPPING, CaptureState.STOPPING),
    ("changed", CaptureState.CLOSED, CaptureState.STOPPING),  # it writes all the same
    ("stopped", CaptureState.REQUESTED, CaptureState.FAILED),  # by itself: no stop was requested
    ("stopped", CaptureState.RUNNING, CaptureState.FAILED),
    ("stopped", CaptureState.FAILED, CaptureState.FAILED),
    ("stopped", CaptureState.STOPPING, CaptureState.CLOSED),
    ("stopped", CaptureState.CLOSED, CaptureState.CLOSED),
    ("lost", CaptureState.REQUESTED, CaptureState.FAILED),
    ("lost", CaptureState.RUNNING, CaptureState.FAILED),
    ("lost", CaptureState.FAILED, CaptureState.FAILED),
    ("lost", CaptureState.STOPPING, CaptureState.CLOSED),
    ("lost", CaptureState.CLOSED, CaptureState.CLOSED),
    # decisions of the controller
    ("due", CaptureState.REQUESTED, CaptureState.FAILED),  # no answer in time
    ("due", CaptureState.FAILED, CaptureState.REQUESTED),  # the next attempt
    ("due", CaptureState.STOPPING, CaptureState.STOPPING),  # the stop is requested again
    ("stop", CaptureState.REQUESTED, CaptureState.STOPPING),
    ("stop", CaptureState.RUNNING, CaptureState.STOPPING),
    ("stop", CaptureState.FAILED, CaptureState.STOPPING),  # a start was never answered
    ("stop", CaptureState.STOPPING, CaptureState.STOPPING),
    ("release", CaptureState.FAILED, CaptureState.CLOSED),  # nothing can be writing
    ("resume", CaptureState.REQUESTED, CaptureState.REQUESTED),  # after a restart
    ("resume", CaptureState.RUNNING, CaptureState.REQUESTED),
)

State = TypeVar("State", Life, Phase, CaptureState)


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
PHASE_MACHINE = _machine(Phase, PHASE_ARROWS)
CAPTURE_MACHINE = _machine(CaptureState, CAPTURE_ARROWS)

# By kind of state: members of two enumerations with the same value are equal.
_ARROWS: dict[type[StrEnum], dict[tuple[StrEnum, str], StrEnum]] = {
    Life: _table(LIFE_MACHINE, Life),
    Phase: _table(PHASE_MACHINE, Phase),
    CaptureState: _table(CAPTURE_MACHINE, CaptureState),
}


def advance(state: State, trigger: str) -> State:
    """Return the state after ``trigger``.

    Raises:
        ValueError: no arrow has this trigger and state, which is a bug of the caller.
    """
    found = _ARROWS[type(state)].get((state, trigger))
    if found is None:
        raise ValueError(f"no arrow {trigger!r} from {state!r}")
    return cast("State", found)
