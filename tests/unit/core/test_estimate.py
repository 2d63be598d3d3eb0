"""How far the work on a segment is, and how long it still takes: of the whole, and corrected."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.core.estimate import (
    STAGES,
    Estimate,
    ThroughputModel,
    copying_s,
    encrypting_s,
    initial_estimate,
    merging_s,
    reading_s,
)
from sfu_wrapper.core.plan import OutputRules
from sfu_wrapper.model.errors import Stage
from sfu_wrapper.model.identity import UserId
from sfu_wrapper.model.media import RawFile, Stream
from tests.helpers.builders import segment_info

MINUTE_MS = 60_000
RULES = OutputRules("vp8", "low", "{{uuid}}", split=False, mix_limit=9)
INFO = segment_info(
    started_ms=0,
    length_ms=MINUTE_MS,
    video=(
        RawFile("a.mjr", Stream.CAMERA, 0, MINUTE_MS, user=UserId("a")),
        RawFile("b.mjr", Stream.CAMERA, MINUTE_MS // 2, user=UserId("b")),
    ),
    audio=(RawFile("mix.wav", Stream.AUDIO, 0, MINUTE_MS),),
)
SIZES = (3_000_000, 1_500_000)
FORESEEN = {Stage.PREPROCESS: 1.0, Stage.COMPOSE: 8.0, Stage.SPLIT: 0.0, Stage.ENCRYPT: 1.0}


def test_a_file_that_stops_before_it_starts_takes_nothing_from_the_others() -> None:
    odd = replace(INFO.video[0], started_ms=100 * MINUTE_MS, stopped_ms=1)

    longer = initial_estimate(replace(INFO, video=(*INFO.video, odd)), RULES, SIZES)
    assert longer[Stage.COMPOSE] == initial_estimate(INFO, RULES, SIZES)[Stage.COMPOSE]


@pytest.mark.parametrize(
    ("rules", "stages"),
    [
        (RULES, [Stage.PREPROCESS, Stage.COMPOSE]),
        (replace(RULES, split=True), [Stage.PREPROCESS, Stage.SPLIT]),
        (replace(RULES, mix_limit=10), [Stage.PREPROCESS, Stage.SPLIT]),
        (replace(RULES, encrypt=True), [Stage.PREPROCESS, Stage.COMPOSE, Stage.ENCRYPT]),
        (replace(RULES, split=True, encrypt=True), [Stage.PREPROCESS, Stage.SPLIT, Stage.ENCRYPT]),
    ],
)
def test_what_will_be_done_is_foreseen_from_the_configuration(
    rules: OutputRules, stages: list[str]
) -> None:
    expected_s = initial_estimate(INFO, rules, SIZES)

    assert [stage for stage in STAGES if expected_s[stage] > 0] == stages


def test_each_stage_takes_its_share() -> None:
    merged = initial_estimate(INFO, replace(RULES, encrypt=True), SIZES)
    copied = initial_estimate(INFO, replace(RULES, split=True, encrypt=True), SIZES)

    assert merged[Stage.PREPROCESS] == reading_s(SIZES[0]) + reading_s(SIZES[1]) + reading_s()
    assert merged[Stage.COMPOSE] == merging_s(MINUTE_MS, MINUTE_MS + MINUTE_MS // 2)
    assert merged[Stage.ENCRYPT] == encrypting_s(1_927_500) + encrypting_s(0)
    assert copied[Stage.SPLIT] == pytest.approx(sum(map(copying_s, (*SIZES, 960_000))))
    assert copied[Stage.ENCRYPT] == pytest.approx(sum(map(encrypting_s, (*SIZES, 960_000, 0))))


def test_files_that_are_read_side_by_side_take_less_but_no_less_than_the_longest() -> None:
    alone = initial_estimate(INFO, RULES, SIZES)[Stage.PREPROCESS]

    assert initial_estimate(INFO, RULES, SIZES, 2)[Stage.PREPROCESS] == pytest.approx(
        max(alone / 2, *map(reading_s, SIZES))
    )
    assert initial_estimate(INFO, RULES, SIZES, 64)[Stage.PREPROCESS] == max(map(reading_s, SIZES))


def test_without_audio_no_mix_is_foreseen() -> None:
    silent, rules = replace(INFO, audio=()), replace(RULES, split=True)

    assert initial_estimate(silent, rules, SIZES)[Stage.SPLIT] == copying_s(SIZES[0]) + copying_s(
        SIZES[1]
    )


@pytest.mark.parametrize(("people", "measured_s"), [(4, 0.067), (9, 0.11)])
def test_merging_is_foreseen_as_it_was_measured(people: int, measured_s: float) -> None:
    an_hour_ms = 60 * MINUTE_MS

    assert merging_s(an_hour_ms, people * an_hour_ms) == pytest.approx(3600 * measured_s, rel=0.02)


def test_at_the_pace_that_was_measured_the_estimate_is_right_from_the_beginning() -> None:
    estimate = Estimate(ThroughputModel(), 0, FORESEEN)

    told = [
        estimate.reached(Stage.PREPROCESS, 0, 0),
        estimate.reached(Stage.PREPROCESS, 0.5, 500),
        estimate.reached(Stage.COMPOSE, 0, 1000),
        estimate.reached(Stage.COMPOSE, 0.5, 5000),
        estimate.reached(Stage.ENCRYPT, 0, 9000),
        estimate.reached(Stage.ENCRYPT, 1, 10_000),
    ]

    assert [now.stage for now in told[::2]] == [Stage.PREPROCESS, Stage.COMPOSE, Stage.ENCRYPT]
    assert [now.eta_s for now in told] == pytest.approx([10, 9.5, 9, 5, 1, 0])
    assert [now.percent for now in told] == pytest.approx([0, 5, 10, 50, 90, 100])


def test_on_a_slow_machine_the_estimate_follows_the_pace_that_is_seen() -> None:
    """Everything takes four times as long: forty seconds in all."""
    estimate = Estimate(ThroughputModel(), 0, FORESEEN)

    first = estimate.reached(Stage.PREPROCESS, 0, 0)
    after_preprocess = estimate.reached(Stage.COMPOSE, 0, 4000)
    in_the_middle = estimate.reached(Stage.COMPOSE, 0.5, 20_000)
    near_the_end = estimate.reached(Stage.COMPOSE, 0.9, 32_800)

    assert first.eta_s == 10
    assert 15 < after_preprocess.eta_s < 36  # one second of work says something, not all
    assert in_the_middle.eta_s == pytest.approx(20, rel=0.35)
    assert near_the_end.eta_s == pytest.approx(7.2, rel=0.35)


def test_the_next_segment_profits_from_the_one_before() -> None:
    pace = ThroughputModel()
    first = Estimate(pace, 0, FORESEEN)
    for stage, at_ms in ((Stage.PREPROCESS, 0), (Stage.COMPOSE, 4000), (Stage.ENCRYPT, 36_000)):
        first.reached(stage, 0, at_ms)
    first.stage_done(40_000)

    second = Estimate(pace, 50_000, FORESEEN)

    assert second.reached(Stage.PREPROCESS, 0, 50_000).eta_s == pytest.approx(40, rel=0.15)


def test_the_latest_segment_counts_most() -> None:
    pace = ThroughputModel()
    for took_s in (800, 100, 100, 100):
        pace.learn(Stage.COMPOSE, 100, took_s)

    assert pace.of(Stage.COMPOSE) < 2


def test_one_stage_says_little_of_another_that_was_seen_itself() -> None:
    pace = ThroughputModel()
    pace.learn(Stage.PREPROCESS, 10, 1000)
    pace.learn(Stage.COMPOSE, 1000, 1000)

    assert pace.of(Stage.COMPOSE) == pytest.approx(1, rel=0.01)
    assert pace.of(Stage.PREPROCESS) > 80


def test_what_turns_out_otherwise_than_foreseen_is_estimated_anew() -> None:
    estimate = Estimate(ThroughputModel(), 0, FORESEEN)
    before = estimate.reached(Stage.PREPROCESS, 1, 1000)
    estimate.expect(Stage.COMPOSE, 0)
    estimate.expect(Stage.SPLIT, 2)

    assert before.eta_s == pytest.approx(9)
    assert estimate.reached(Stage.SPLIT, 0, 1000).eta_s == pytest.approx(3)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 10_000)), min_size=2))
def test_the_percent_never_falls_and_nothing_is_below_zero(
    steps: list[tuple[float, int]],
) -> None:
    estimate, now_ms, told = Estimate(ThroughputModel(), 0, FORESEEN), 0, []
    for share, pause_ms in steps:
        now_ms += pause_ms
        told.append(estimate.reached(Stage.COMPOSE, share, now_ms))

    assert [now.percent for now in told] == sorted(now.percent for now in told)
    assert all(now.eta_s >= 0 and 0 <= now.percent <= 100 for now in told)
