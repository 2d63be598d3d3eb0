"""Media time: the sender's clock while it can be true, the recorder's where it cannot."""

import itertools
from collections import deque
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.formats.media_clock import MediaClock

HZ = 90_000
FRAME = 3_000  # ticks of 1/30 s


_coming = deque[tuple[int, int]]()  # what follows in the recording


def seconds(clock: MediaClock, stamps: list[tuple[float, float]]) -> list[float]:
    """Media seconds for pairs of (timestamp s, received s)."""
    base = 4_294_900_000  # wraps within a second
    _coming.clear()
    _coming.extend(
        ((base + round(raw * HZ)) % 2**32, round(received * 1000)) for raw, received in stamps
    )
    return [clock.at(*_coming.popleft()) / HZ for _ in stamps]


def timed() -> MediaClock:
    def upcoming() -> Iterator[tuple[int, int]]:
        until_ms = _coming[0][1] + 2000 if _coming else 0
        return (stamp for stamp in _coming if stamp[1] <= until_ms)

    return MediaClock(HZ, timed=True, upcoming=upcoming)


def test_the_senders_clock_decides_across_the_wrap_and_through_jitter() -> None:
    clock = timed()
    jitter = [0, 0.03, -0.02, 0.05, 0.01]
    stamps = [(n / 30, max(0, n / 30 + jitter[n % 5])) for n in range(90)]
    assert seconds(clock, stamps) == pytest.approx([n / 30 for n in range(90)], abs=1e-4)
    assert clock.jumps == 0


def test_time_begins_when_the_first_packet_was_received() -> None:
    assert seconds(timed(), [(7, 1.5), (8, 2.5)]) == pytest.approx([1.5, 2.5])


@pytest.mark.parametrize("gap", [8, 20, 3600])
def test_a_long_silence_keeps_its_length(gap: float) -> None:
    clock = timed()
    assert seconds(clock, [(0, 0), (gap, gap)])[-1] == pytest.approx(gap)
    assert clock.jumps == 0


@pytest.mark.parametrize("jump", [40_000, 4, -40_000, -15])
def test_a_jump_of_the_timestamps_leaves_no_trace_in_time(jump: float) -> None:
    clock = timed()
    stamps = [(n / 30 + (jump if n >= 30 else 0), n / 30) for n in range(60)]
    found = seconds(clock, stamps)
    assert found == pytest.approx([n / 30 for n in range(60)], abs=0.002)
    assert clock.jumps == 1


def test_a_single_wrong_timestamp_hurts_only_its_own_packet() -> None:
    clock = timed()
    stamps = [(n / 30 + (500 if n == 30 else 0), n / 30) for n in range(60)]
    assert seconds(clock, stamps)[31:] == pytest.approx([n / 30 for n in range(31, 60)], abs=0.002)


def test_a_stalled_link_that_delivers_late_changes_nothing() -> None:
    clock = timed()
    stamps = [(n / 30, n / 30 if n < 30 else max(n / 30, 7)) for n in range(300)]
    assert seconds(clock, stamps) == pytest.approx([n / 30 for n in range(300)], abs=1e-4)
    assert clock.jumps == 0


def test_a_sender_whose_clock_stood_still_is_put_right_within_seconds() -> None:
    clock = timed()
    stamps = [(n / 30, n / 30 + (5 if n >= 30 else 0)) for n in range(150)]
    found = seconds(clock, stamps)
    assert found[-1] == pytest.approx(149 / 30 + 5, abs=0.01)
    assert found == sorted(found)


def test_a_recording_that_starts_with_a_backlog_is_put_right_and_never_runs_back() -> None:
    clock = timed()
    stamps = [(n / 30, max(0, n / 30 - 2)) for n in range(300)]
    found = seconds(clock, stamps)
    assert found[-1] == pytest.approx(stamps[-1][1], abs=0.1)
    assert all(later > earlier for earlier, later in itertools.pairwise(found))


def test_clocks_that_drift_apart_are_no_jump() -> None:
    clock = timed()
    stamps = [(n * 1.0001, float(n)) for n in range(0, 40_000, 2)]  # 100 ppm for eleven hours: 4 s
    found = seconds(clock, stamps)
    assert clock.jumps == 0
    assert found[-1] == pytest.approx(stamps[-1][0])


def test_without_times_of_receipt_timestamps_are_believed() -> None:
    clock = MediaClock(HZ, timed=False)
    assert seconds(clock, [(0, 0), (5, 0), (9_000, 0)]) == pytest.approx([0, 5, 9_000])
    clock.restart()
    found = seconds(clock, [(77, 0), (78, 0)])
    assert found == pytest.approx([9_000, 9_001], abs=0.001)


def test_a_new_sender_goes_on_where_receipt_places_it() -> None:
    clock = timed()
    seconds(clock, [(0, 0), (1, 1)])
    clock.restart()
    assert seconds(clock, [(1234, 3), (1235, 4)]) == pytest.approx([3, 4])


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)), max_size=30))
def test_any_timestamps_give_finite_times(stamps: list[tuple[int, int]]) -> None:
    clock = timed()
    times = [clock.at(raw, ms) for raw, ms in stamps]
    assert all(abs(time) < 2**45 for time in times)


@pytest.mark.parametrize("pause", [1.0, 3.0, 5.0, 9.0, 60.0])
def test_a_sender_whose_clock_stops_in_a_pause_is_right_from_the_first_frame_after_it(
    pause: float,
) -> None:
    stamps = [(n / 15, n / 15 + (pause if n >= 60 else 0)) for n in range(150)]
    clock = timed()
    assert seconds(clock, stamps) == pytest.approx([at for _, at in stamps], abs=0.02)
    assert clock.jumps == 1


@pytest.mark.parametrize("leap", [-20.0, -2.5, -1.2, -0.5, 0.5, 1.2, 2.5, 20.0])
def test_a_leap_of_a_sender_s_clock_is_corrected_from_the_first_frame_on(leap: float) -> None:
    stamps = [(n / 15 + (leap if n >= 60 else 0), n / 15) for n in range(150)]
    clock = timed()
    assert seconds(clock, stamps) == pytest.approx([at for _, at in stamps], abs=0.02)
    assert clock.jumps == 1


def test_a_clock_that_moves_in_the_last_second_is_corrected_too() -> None:
    stamps = [(n / 15, n / 15 + (4 if n >= 60 else 0)) for n in range(66)]
    assert seconds(timed(), stamps)[-1] == pytest.approx(stamps[-1][1], abs=0.02)


def test_one_frame_from_the_future_moves_no_other() -> None:
    stamps = [(n / 15 + (2 if n == 60 else 0), n / 15) for n in range(150)]
    found = seconds(timed(), stamps)
    assert found == pytest.approx([at for _, at in stamps], abs=0.02)
    assert found == sorted(found)


@pytest.mark.parametrize("delay", [0.5, 0.8, 1.5, 6.0])
def test_a_backlog_that_drains_is_no_leap(delay: float) -> None:
    """The link stalls, then delivers what waited at three times the pace."""
    stamps = []
    for n in range(300):
        behind = max(0.0, delay - (n - 60) / 15 * 2) if n >= 60 else 0.0
        stamps.append((n / 15, n / 15 + behind))
    clock = timed()
    found = seconds(clock, stamps)
    assert found[-1] == pytest.approx(stamps[-1][0], abs=0.05)
    assert clock.jumps <= (delay > 3)
