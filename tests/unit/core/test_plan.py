"""Which output a segment gets, and the plan of a merged one."""

import pytest

from sfu_wrapper.core.intervals import Interval, Span
from sfu_wrapper.core.plan import (
    AudioSource,
    Chapter,
    Composition,
    Output,
    OutputRules,
    Scene,
    Showing,
    Source,
    Tile,
    audio_start_us,
    choose,
    compose,
    grid,
    why_split,
    zero_us,
)


def rules(*, split: bool = False, mix_limit: int = 9) -> OutputRules:
    return OutputRules("vp8", "low", "{{uuid}}", split, mix_limit)


@pytest.mark.parametrize(("video", "audio"), [(True, True), (True, False), (False, True)])
def test_what_there_is_is_merged(video: bool, audio: bool) -> None:
    assert choose(rules(), video=video, audio=audio, most_on_screen=2) is Output.MERGED


@pytest.mark.parametrize("split", [False, True])
def test_where_nothing_is_there_nothing_is_made(split: bool) -> None:
    chosen = choose(rules(split=split), video=False, audio=False, most_on_screen=0)

    assert chosen is Output.NONE


@pytest.mark.parametrize(
    ("given", "most", "output"),
    [
        (rules(split=True), 1, Output.SPLIT),
        (rules(mix_limit=4), 4, Output.MERGED),
        (rules(mix_limit=4), 5, Output.SPLIT),
        (rules(mix_limit=9), 9, Output.MERGED),
        (rules(mix_limit=9), 10, Output.SPLIT),
        (rules(mix_limit=10), 1, Output.SPLIT),
    ],
)
def test_too_many_streams_or_a_limit_above_nine_are_split(
    given: OutputRules, most: int, output: Output
) -> None:
    assert choose(given, video=True, audio=True, most_on_screen=most) is output


def test_a_split_that_was_not_configured_says_why() -> None:
    assert why_split(rules(split=True), 10) is None
    assert why_split(rules(), 9) is None
    assert why_split(rules(mix_limit=2), 3) == (
        "3 streams at once, mix_limit 2: split instead of merged"
    )
    assert why_split(rules(mix_limit=12), 1) == "mix_limit 12 is above 9: split instead of merged"


def test_a_composition_has_a_scene_an_interval_and_a_poster_of_the_fullest() -> None:
    cut = (
        Interval(0, 10_000, (1,)),
        Interval(10_000, 900_000, (1, 0)),
        Interval(900_000, 2_000_000, ()),
    )
    sources = [Source("a.webm", 0), Source("b.webm", 5)]
    mixes = [AudioSource("mix.wav", -122_000)]

    named = Chapter(0, 2_000_000, "bob, alice")

    plan = compose(rules(), 2_000_000, sources, cut, mixes, [named])

    assert plan.scenes == (
        Scene(0, 10_000, ((1, Tile(0, 0, 640, 480)),)),
        Scene(10_000, 900_000, ((1, Tile(0, 0, 320, 480)), (0, Tile(320, 0, 320, 480)))),
        Scene(900_000, 2_000_000, ()),
    )
    assert plan.chapters == (named,)
    assert (plan.codec, plan.duration_us) == ("vp8", 2_000_000)
    assert plan.video_bits_per_s > 0
    assert (plan.sources, plan.audio_sources) == (tuple(sources), tuple(mixes))
    assert plan.poster_us == (455_000, 5_000)


@pytest.mark.parametrize(("duration_us", "frames"), [(0, 1), (1, 1), (40_000, 1), (40_001, 2)])
def test_frames_cover_the_duration(duration_us: int, frames: int) -> None:
    assert compose(rules(), duration_us, [], [], [], []).frames == frames


def test_a_files_own_time_is_placed_in_the_segment() -> None:
    assert zero_us(1_000, 1_250_000, Span(0, 0, 1)) == 250_000
    assert zero_us(1_000, 9_250_000, Span(0, 0, 1, shift_us=-8_000_000)) == 250_000


def test_a_mix_that_lags_is_moved_back_by_its_lag() -> None:
    assert audio_start_us(1_000, 1_020, 122) == -102_000


def two_scenes(change_us: int) -> Composition:
    cut = [Interval(0, change_us, (0,)), Interval(change_us, 200_000, (1, 0))]
    return compose(rules(), 200_000, [Source("a", 0), Source("b", 0)], cut, (), ())


@pytest.mark.parametrize(
    ("change_us", "first"), [(60_000, 1), (60_001, 2), (99_999, 2), (100_000, 2), (100_001, 3)]
)
def test_a_scene_is_shown_by_the_frames_whose_middle_lies_in_it(change_us: int, first: int) -> None:
    assert two_scenes(change_us).scene_frames() == (range(first), range(first, 5))


def test_a_source_stands_in_its_tile_while_its_scenes_are_shown() -> None:
    left, right = grid(2, 640, 480)
    (whole,) = grid(1, 640, 480)

    assert two_scenes(80_000).showings() == (
        (Showing(0, 2, whole), Showing(2, 5, right)),
        (Showing(2, 5, left),),
    )


def test_a_scene_between_two_middles_is_not_shown() -> None:
    cut = [Interval(0, 61_000, ()), Interval(61_000, 99_000, (0,)), Interval(99_000, 200_000, ())]
    plan = compose(rules(), 200_000, [Source("a", 0)], cut, (), ())

    assert plan.scene_frames() == (range(2), range(2, 2), range(2, 5))
    assert plan.showings() == ((),)
