"""How a sender's clock runs against the recorder's."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.formats.media_clock import Drift, DriftMeter, fitted

HZ = 90_000
FPS = 15


def measured(
    seconds: float, ppm: float = 0, jitter_s: float = 0, first_late_s: float = 0, stall_s: float = 0
) -> Drift:
    """Of a stream that comes with up to so much delay, and stalls for a while in its middle."""
    chance, meter = random.Random(3), DriftMeter(HZ)  # noqa: S311 - nothing secret
    for number in range(round(seconds * FPS)):
        at_s = number / FPS
        stalled = max(0.0, seconds / 2 + stall_s - at_s) if at_s > seconds / 2 else 0.0
        late_s = max(chance.random() * jitter_s, stalled) if number else 0.0
        media_s = at_s * (1 + ppm / 1e6) + first_late_s
        meter.note(round(media_s * HZ), int((at_s + late_s) * 1000))
    return meter.drift()


@pytest.mark.parametrize("ppm", [200.0, -75.0, 0.0])
@pytest.mark.parametrize(
    ("seconds", "jitter_s"), [(60, 0.0), (60, 0.03), (600, 0.03), (600, 0.2), (3600, 0.2)]
)
def test_a_drift_is_found_through_any_jitter(seconds: int, ppm: float, jitter_s: float) -> None:
    found = measured(seconds, ppm, jitter_s)

    assert found.ppm == pytest.approx(ppm, rel=0.05, abs=10)
    assert found.ahead_ms == pytest.approx(0, abs=10)


@pytest.mark.parametrize("seconds", [3, 60, 600])
def test_a_first_packet_that_was_late_puts_all_the_others_ahead(seconds: int) -> None:
    assert measured(seconds, jitter_s=0.02, first_late_s=0.08).ahead_ms == pytest.approx(80, abs=3)


def test_a_stall_bends_nothing() -> None:
    found = measured(120, 50, 0.03, stall_s=12)

    assert found.ppm == pytest.approx(50, abs=10)
    assert found.ahead_ms == pytest.approx(0, abs=5)


def test_half_a_minute_is_too_short_to_tell() -> None:
    assert measured(25, 500).ppm is None
    assert measured(40, 500).ppm is not None


def test_a_few_packets_in_a_long_time_are_too_few_to_tell() -> None:
    assert fitted([(0, 0.0), (60_000, 9.0)]) == Drift(4.5, None)


def test_nothing_noted_is_nothing_off() -> None:
    assert DriftMeter(HZ).drift() == Drift(0.0, None)


@given(st.lists(st.tuples(st.integers(-(2**40), 2**40), st.integers(0, 2**32 - 1)), max_size=300))
def test_any_times_give_a_finite_answer(noted: list[tuple[int, int]]) -> None:
    meter = DriftMeter(HZ)
    for time, received_ms in noted:
        meter.note(time, received_ms)
    found = meter.drift()
    assert abs(found.ahead_ms) < 2**50
    assert found.ppm is None or abs(found.ppm) < 2**62
