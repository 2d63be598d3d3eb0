"""The arrows, and the page that is drawn from them."""

from enum import StrEnum
from itertools import product
from pathlib import Path

import pytest

from sfu_wrapper.core.lifecycle import (
    CAPTURE_ARROWS,
    LIFE_ARROWS,
    PHASE_ARROWS,
    CaptureState,
    Life,
    Phase,
    _machine,
    _table,
    advance,
)

TOP = Path(__file__).parents[3]
TRIGGERS = sorted({arrow[0] for arrow in (*LIFE_ARROWS, *PHASE_ARROWS)})
LIVES = {(source, trigger) for trigger, source, _ in LIFE_ARROWS}
PHASES = {(source, trigger) for trigger, source, _ in PHASE_ARROWS}


@pytest.mark.parametrize(("trigger", "source", "target"), LIFE_ARROWS)
def test_every_arrow_of_a_life(trigger: str, source: Life, target: Life) -> None:
    assert advance(source, trigger) is target


@pytest.mark.parametrize(("trigger", "source", "target"), PHASE_ARROWS)
def test_every_arrow_of_a_phase(trigger: str, source: Phase, target: Phase) -> None:
    assert advance(source, trigger) is target


@pytest.mark.parametrize(("life", "trigger"), sorted({*product(Life, TRIGGERS)} - LIVES))
def test_a_life_has_no_other_arrow(life: Life, trigger: str) -> None:
    with pytest.raises(ValueError, match=f"no arrow '{trigger}'"):
        advance(life, trigger)


@pytest.mark.parametrize(("phase", "trigger"), sorted({*product(Phase, TRIGGERS)} - PHASES))
def test_a_phase_has_no_other_arrow(phase: Phase, trigger: str) -> None:
    with pytest.raises(ValueError, match=f"no arrow '{trigger}'"):
        advance(phase, trigger)


@pytest.mark.parametrize(
    ("states", "arrows"),
    [(Life, LIFE_ARROWS), (Phase, PHASE_ARROWS), (CaptureState, CAPTURE_ARROWS)],
)
def test_the_table_is_that_of_a_machine_made_of_the_arrows(
    states: type[Life] | type[Phase] | type[CaptureState],
    arrows: tuple[tuple[str, StrEnum, StrEnum], ...],
) -> None:
    machine = _machine(states, arrows)

    assert machine.models == []  # it is a table, and drives nothing
    assert machine.initial == next(iter(states)).name
    assert set(machine.events) == {trigger for trigger, _, _ in arrows}  # no arrow of its own
    table = _table(machine, states)  # type: ignore[type-var]  # one of these
    assert table == {(source, trigger): target for trigger, source, target in arrows}


@pytest.mark.parametrize(("trigger", "source", "target"), PHASE_ARROWS + CAPTURE_ARROWS)
def test_states_of_the_same_name_do_not_share_their_arrows(
    trigger: str, source: Phase | CaptureState, target: Phase | CaptureState
) -> None:
    after = advance(source, trigger)  # type: ignore[type-var]  # either of both

    assert type(after) is type(target)


def test_an_ended_room_stays_ended() -> None:
    assert not [arrow for arrow in LIFE_ARROWS if arrow[1] is Life.ENDED]


def test_every_state_can_be_reached_and_every_phase_left() -> None:
    assert {target for _, _, target in LIFE_ARROWS} | {Life.WAITING} == set(Life)
    assert {target for _, _, target in PHASE_ARROWS} == set(Phase)
    assert {source for _, source, _ in PHASE_ARROWS} == set(Phase)
