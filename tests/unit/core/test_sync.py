"""What is said of a track's clock, and what is put right."""

from dataclasses import replace

import pytest

from sfu_wrapper.core.sync import mix_pace, mix_sync, notes, pace, why_kept, with_use
from sfu_wrapper.model.identity import UserId
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import TrackSync
from tests.helpers.builders import segment_info

HOUR_MS = 3_600_000
OWN_TIME = "than the event says: its own time was taken"
INFO = segment_info(started_ms=1_000, length_ms=HOUR_MS)


def camera(
    offset_ms: int = 0, drift_ppm: float | None = None, received: int = 0, lost: int = 0,
    gaps: int = 0,
) -> TrackSync:  # fmt: skip
    return TrackSync("a.mjr", Stream.CAMERA, UserId("alice"), 0, 1, offset_ms, drift_ppm,
                     received, lost, gaps)  # fmt: skip


def mix(length_ms: float, start_ms: int = 0, delay_ms: int = 0,
        stopped_ms: int | None = None) -> TrackSync:  # fmt: skip
    file = RawFile("mix.wav", Stream.AUDIO, 1_000 + start_ms, stopped_ms, delay_ms=delay_ms)
    return mix_sync(INFO, file, round(length_ms * 1000))


def test_a_second_of_a_fast_clock_lasts_less() -> None:
    assert pace(200.0) == pytest.approx(1 - 200e-6, abs=1e-7)
    assert pace(-200.0) > 1


@pytest.mark.parametrize("ppm", [None, 0.0, 1_500.0, -40_000.0])
def test_what_cannot_be_a_clock_is_left_as_it_is(ppm: float | None) -> None:
    assert pace(ppm) == 1.0


def test_a_long_mix_that_is_a_little_short_had_a_slow_clock() -> None:
    found = mix(HOUR_MS - 720)

    assert found.offset_ms == 0
    assert found.drift_ppm == pytest.approx(-200)
    assert mix_pace(found) == pytest.approx(1 + 200e-6, abs=1e-7)
    assert list(notes(found)) == ["its clock runs 200 ppm slow: put right"]


def test_a_long_mix_that_lacks_no_more_than_its_ends_explain_is_left_as_it_is() -> None:
    found = mix(HOUR_MS + 20)
    shorter = mix(660_000 - 80, stopped_ms=1_000 + 660_000)

    assert found.drift_ppm == pytest.approx(5.6, abs=0.1)
    assert mix_pace(found) == mix_pace(shorter) == 1.0
    assert not list(notes(found))
    assert list(notes(shorter)) == ["its clock runs 121 ppm slow: left as it is"]


@pytest.mark.parametrize(
    ("length_ms", "amount"),
    [(HOUR_MS - 60_000, "60.000 s less"), (HOUR_MS + 60_000, "60.000 s more")],
)
def test_too_much_for_a_clock_is_a_hole_that_nobody_can_place(
    length_ms: float, amount: str
) -> None:
    found = mix(length_ms)

    assert (abs(found.offset_ms), found.drift_ppm) == (60_000, None)
    assert mix_pace(found) == 1.0
    assert list(notes(found)) == [
        f"holds {amount} sound than its times say; it cannot be told where"
    ]


@pytest.mark.parametrize("stopped_ms", [1_000 + 600_000, 1_000 + 10_000], ids=["long", "short"])
def test_what_a_mix_holds_from_before_the_segment_is_neither_a_clock_nor_too_much(
    stopped_ms: int,
) -> None:
    """It lags by 120 ms and began 300 ms early, which makes a delay of 420 ms."""
    found = mix(stopped_ms - 1_000 + 300, delay_ms=420, stopped_ms=stopped_ms)

    assert found.offset_ms == 0
    assert mix_pace(found) == 1.0
    assert not list(notes(found))


@pytest.mark.parametrize(
    ("surplus_ms", "start_ms"), [(430, 0), (300, 50)], ids=["more than that", "not early"]
)
def test_what_cannot_lie_before_the_segment_is_a_fast_clock(surplus_ms: int, start_ms: int) -> None:
    found = mix(600_000 + surplus_ms, start_ms, delay_ms=420, stopped_ms=601_000 + start_ms)

    assert found.drift_ppm == pytest.approx(surplus_ms / 0.6)
    assert mix_pace(found) < 1


def test_what_a_short_mix_misses_is_an_offset() -> None:
    found = mix(9_920, start_ms=500, delay_ms=122, stopped_ms=1_000 + 10_500)

    assert (found.start_ms, found.length_ms, found.offset_ms) == (378, 9_920, 80)
    assert found.drift_ppm is None


@pytest.mark.parametrize(
    ("track", "said"),
    [
        (camera(offset_ms=40, drift_ppm=100, received=98, lost=2), []),
        (camera(offset_ms=80), [f"begins 0.080 s later {OWN_TIME}"]),
        (camera(offset_ms=-80), [f"begins 0.080 s earlier {OWN_TIME}"]),
        (camera(drift_ppm=200.4), ["its clock runs 200 ppm fast: put right"]),
        (camera(drift_ppm=-9_000), ["its clock runs 9000 ppm slow: left as it is"]),
        (camera(received=97, lost=3), ["3.0 % of its packets never came"]),
        (camera(gaps=1), ["nothing came for more than a second, once"]),
        (camera(gaps=2), ["nothing came for more than a second, 2 times"]),
    ],
)  # fmt: skip
def test_a_sentence_for_each_limit_that_is_passed(track: TrackSync, said: list[str]) -> None:
    assert list(notes(track)) == said


def test_the_loss_of_nothing_is_none() -> None:
    assert camera().loss_percent == 0


@pytest.mark.parametrize(
    ("start_ms", "within"), [(-15_001, False), (-14_999, True), (9_999, True), (10_000, False)]
)
def test_a_track_lies_within_a_segment_or_beyond_it(start_ms: int, within: bool) -> None:
    track = TrackSync("a.mjr", Stream.CAMERA, UserId("a"), start_ms, length_ms=15_000)

    assert track.lies_within(10_000) is within


@pytest.mark.parametrize(
    ("start_ms", "whole", "reason"),
    [
        (0, False, None),
        (500, False, None),
        (5_000, False, "the result has 5.0 s of its 10.0 s"),
        (5_000, True, None),
        (20_000, False, "the result has nothing of it"),
    ],
)
def test_a_raw_file_stays_where_the_result_has_less_than_95_percent_of_it(
    start_ms: int, whole: bool, reason: str | None
) -> None:
    track = replace(mix(10_000), start_ms=start_ms)

    assert why_kept(with_use(track, 10_000, 0, whole=whole), 10_000) == reason


def test_media_that_could_not_be_converted_keeps_its_raw_file() -> None:
    track = with_use(mix(9_000), 10_000, 1_000, whole=True)

    assert why_kept(track, 10_000) == "the result has 9.0 s of its 10.0 s"


@pytest.mark.parametrize(
    ("start_ms", "reason"), [(0, None), (20_000, "the result has nothing of it")]
)
def test_a_raw_file_of_unknown_use_stays_unless_it_lies_within_the_segment(
    start_ms: int, reason: str | None
) -> None:
    assert why_kept(replace(mix(10_000), start_ms=start_ms), 10_000) == reason
