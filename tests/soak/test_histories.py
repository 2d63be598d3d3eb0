"""Many histories of rooms, each another one every time: on the pure machine, and on a live one."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.helpers.histories import Histories
from tests.helpers.lockstep import LiveHistories

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


@pytest.mark.parametrize(
    ("rules", "histories"), [(Histories, 5_000), (LiveHistories, 1_000)], ids=["pure", "live"]
)
def test_whatever_happens_to_a_room(
    rules: type[Histories], histories: int, record_property: Callable[[str, object], None]
) -> None:
    run_state_machine_as_test(
        rules,
        settings=settings(
            max_examples=histories,
            stateful_step_count=50,
            deadline=None,
            derandomize=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    record_property("histories of up to 50 steps", histories)
