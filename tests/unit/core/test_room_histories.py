"""Whatever happens to a room, in whatever order, these hold (facts of planes, restarts, clocks)."""

from hypothesis import settings

from tests.helpers.histories import Histories

Histories.TestCase.settings = settings(stateful_step_count=40, deadline=None)
TestHistories = Histories.TestCase
