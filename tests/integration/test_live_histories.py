"""Whatever happens to a room, a live controller does what the pure machine does.

A few histories; thousands are tried by scripts/soak.
"""

from hypothesis import HealthCheck, settings

from tests.helpers.lockstep import LiveHistories

LiveHistories.TestCase.settings = settings(
    max_examples=10,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestLiveHistories = LiveHistories.TestCase
