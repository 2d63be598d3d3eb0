"""The arrows, and the page that is drawn from them."""

from itertools import product
from pathlib import Path

import pytest

from sfu_wrapper.core.lifecycle import (
    CAPTURE_ARROWS,
    LIFE_ARROWS,
    Life,
    Phase,
    _machine,
    _table,
    advance,
)

TOP = Path(__file__).parents[3]
TRIGGERS = sorted({arrow[0] for arrow in (*LIFE_ARROWS, *CAPTURE_ARROWS)})
LIVES = {(source, trigger) for trigger, source, _ in LIFE_ARROWS}
PHASES = {(source, trigger) for trigger, source, _ in CAPTURE_ARROWS}


@pytest.mark.parametrize(("trigger", "source", "target"), LIFE_ARROWS)
def test_every_arrow_of_a_life(trigger: str, source: Life, target: Life) -> None:
    assert advance(source, trigger) is target


@pytest.mark.parametrize(("trigger", "source", "target"), CAPTURE_ARROWS)
def test_every_arrow_of_a_capture(trigger: str, source: Phase, target: Phase) -> None:
    assert advance(source, trigger) is target


@pytest.mark.parametrize(("life", "trigger"), sorted({*product(Life, TRIGGERS)} - LIVES))
def test_a_life_has_no_other_arrow(life: Life, trigger: str) -> None:
    with pytest.raises(ValueError, match=f"no arrow '{trigger}'"):
        advance(life, trigger)


@pytest.mark.parametrize(("phase", "trigger"), sorted({*product(Phase, TRIGGERS)} - PHASES))
def test_a_capture_has_no_other_arrow(phase: Phase, trigger: str) -> None:
    with pytest.raises(ValueError, match=f"no arrow '{trigger}'"):
        advance(phase, trigger)


@pytest.mark.parametrize(("states", "arrows"), [(Life, LIFE_ARROWS), (Phase, CAPTURE_ARROWS)])
def test_the_table_is_that_of_a_machine_made_of_the_arrows(
    states: type[Life] | type[Phase], arrows: tuple[tuple[str, Life | Phase, Life | Phase], ...]
) -> None:
    machine = _machine(states, arrows)

    assert machine.models == []  # it is a table, and drives nothing
    assert machine.initial == next(iter(states)).name
    assert set(machine.events) == {trigger for trigger, _, _ in arrows}  # no arrow of its own
    table = _table(machine, states)  # type: ignore[type-var]  # either of both
    assert table == {(source, trigger): target for trigger, source, target in arrows}


def test_an_ended_room_stays_ended() -> None:
    assert not [arrow for arrow in LIFE_ARROWS if arrow[1] is Life.ENDED]


def test_every_state_can_be_reached_and_every_phase_left() -> None:
    assert {target for _, _, target in LIFE_ARROWS} | {Life.WAITING} == set(Life)
    assert {target for _, _, target in CAPTURE_ARROWS} == set(Phase)
    assert {source for _, source, _ in CAPTURE_ARROWS} == set(Phase)
