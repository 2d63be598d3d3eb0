"""Who is on screen when."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.core.intervals import (
    CLOCK_TOLERANCE_US,
    FROZEN_AFTER_US,
    Held,
    Interval,
    Span,
    intervals,
    most_on_screen,
    spans,
)
from sfu_wrapper.model.identity import ConfbridgeId, RoomId, RoomUuid, SegmentNo, UserId
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import Presence, SegmentInfo
from tests.helpers.work import lines_run

START_MS, STOP_MS = 100_000, 110_000
DURATION_US = (STOP_MS - START_MS) * 1000


def segment(*presences: Presence) -> SegmentInfo:
    return SegmentInfo(
        room=RoomId("room"),
        uuid=RoomUuid("uuid"),
        confbridge_id=ConfbridgeId("bridge"),
        segment=SegmentNo(1),
        started_ms=START_MS,
        completed_ms=STOP_MS,
        presences=presences,
    )


def held(
    first_ms: int,
    end_ms: int,
    *,
    user: str = "alice",
    told_ms: int | None = None,
    told_stop_ms: int | None = None,
) -> Held:
    """Times in ms from the start of the segment; the event tells the media's own by default."""
    told = START_MS + (first_ms if told_ms is None else told_ms)
    stop = START_MS + (end_ms if told_stop_ms is None else told_stop_ms)
    file = RawFile(f"{user}.mjr", Stream.CAMERA, told, stop, user=UserId(user))
    return Held(file, (START_MS + first_ms) * 1000, (START_MS + end_ms) * 1000)


def stay(user: str, joined_ms: int) -> Presence:
    return Presence(UserId(user), START_MS + joined_ms, STOP_MS)


def order(info: SegmentInfo, *files: Held) -> list[int]:
    return [span.track for span in spans(info, files)]


def test_the_medias_own_times_correct_the_events() -> None:
    (span,) = spans(segment(), [held(1500, 8000, told_ms=1200, told_stop_ms=8200)])

    assert span == Span(0, 1_500_000, 8_000_000)


def test_what_lies_outside_the_segment_is_cut() -> None:
    (span,) = spans(segment(), [held(-500, 10_500)])

    assert (span.start_us, span.stop_us) == (0, DURATION_US)


def test_a_track_entirely_outside_is_never_on_screen() -> None:
    assert spans(segment(), [held(-900, -100), held(10_100, 10_900)]) == ()


def test_a_track_whose_frames_stop_long_before_it_does_is_frozen_and_stays() -> None:
    (span,) = spans(segment(), [held(0, 2000, told_stop_ms=9000)])

    assert span.stop_us == 9_000_000


def test_frames_that_end_a_little_before_the_track_are_its_end() -> None:
    (span,) = spans(segment(), [held(0, 2000, told_stop_ms=2000 + FROZEN_AFTER_US // 1000)])

    assert span.stop_us == 2_000_000


def test_a_file_still_open_is_taken_to_end_with_the_segment() -> None:
    file = RawFile("a.mjr", Stream.CAMERA, START_MS, None, user=UserId("alice"))

    (span,) = spans(segment(), [Held(file, START_MS * 1000, (START_MS + 2000) * 1000)])

    assert span.stop_us == DURATION_US


def share(first_ms: int, end_ms: int, told_stop_ms: int, **more: Any) -> Held:  # noqa: ANN401
    """A screen; ``more`` are fields of Held."""
    one = held(first_ms, end_ms, told_stop_ms=told_stop_ms)
    return replace(one, file=replace(one.file, stream=Stream.SCREEN), **more)


@pytest.mark.parametrize("end_ms", [2000, 8000, 9700, 9990])
def test_a_screen_stays_until_the_end_of_a_segment_in_which_it_is_shared(end_ms: int) -> None:
    (span,) = spans(segment(), [share(0, end_ms, 10_000)])

    assert span.stop_us == DURATION_US


@pytest.mark.parametrize(("told_ms", "stop_ms"), [(9000, 9000), (2500, 2500), (2150, 2000)])
def test_a_screen_stays_until_it_is_unpublished(told_ms: int, stop_ms: int) -> None:
    (span,) = spans(segment(), [share(0, 2000, told_ms)])

    assert span.stop_us == stop_ms * 1000


def older(one: Held, *, beat_ms: int = 0, single: bool = False) -> Held:
    """The same from a controller that reported the last packet as the end."""
    received_us = (one.file.stopped_ms or 0) * 1000 + 400
    return replace(one, received_us=received_us, beat_us=beat_ms * 1000, single=single)


@pytest.mark.parametrize(
    ("one", "stop_ms"),
    [
        (older(share(0, 9100, 9000), beat_ms=1000), 10_000),  # its next frame was not due
        (older(share(0, 5100, 5000), beat_ms=4000), 10_000),
        (older(share(0, 5100, 5000), beat_ms=1000), 5100),
        (older(share(0, 5100, 5000)), 5100),
        (older(share(4000, 4040, 4000), single=True), 10_000),
        (older(held(0, 9900, told_stop_ms=9850)), 10_000),
        (older(held(0, 9100, told_stop_ms=9000), beat_ms=1000), 10_000),
        (older(held(0, 9100, told_stop_ms=9000)), 9100),
        (older(held(4000, 4040, told_stop_ms=4000), single=True), 4040),
    ],
)
def test_an_end_that_is_but_the_last_packet_is_judged_by_the_rhythm(
    one: Held, stop_ms: int
) -> None:
    (span,) = spans(segment(), [one])

    assert span.stop_us == stop_ms * 1000


def test_such_a_screen_ends_when_its_user_left_or_shared_again() -> None:
    left = Presence(UserId("alice"), START_MS, START_MS + 9500)
    first, second = older(share(0, 4100, 4000), beat_ms=9000), share(6000, 9000, 9000)

    assert spans(segment(left), [older(share(0, 9100, 9000), beat_ms=1000)])[0].stop_us == 9_500_000
    assert [span.stop_us for span in spans(segment(), [first, second])] == [4_100_000, 9_000_000]


def test_a_disabled_camera_that_is_sent_once_a_second_stays_to_the_end() -> None:
    beats = replace(held(0, 9200, told_stop_ms=10_000), beat_us=1_000_000)

    assert spans(segment(), [beats])[0].stop_us == DURATION_US
    assert spans(segment(), [replace(beats, beat_us=0)])[0].stop_us == 9_200_000


def test_where_clocks_disagree_the_event_says_when_the_file_begins() -> None:
    hour_ms = 3_600_000

    (span,) = spans(segment(), [held(hour_ms, hour_ms + 4000, told_ms=1000, told_stop_ms=5000)])

    assert (span.start_us, span.stop_us) == (1_000_000, 5_000_000)
    assert span.shift_us == (1000 - hour_ms) * 1000


def test_a_first_frame_long_after_its_track_began_is_no_wrong_clock() -> None:
    late_ms = 1000 + 2 * CLOCK_TOLERANCE_US // 1000

    late = replace(held(late_ms, 9000, told_ms=1000), begun_us=(START_MS + 1000) * 1000)

    (span,) = spans(segment(), [late])

    assert (span.start_us, span.shift_us) == (late_ms * 1000, 0)


HOUR_S = 3_600


def written(user: str, opened_s: float, first_s: float, told_s: float, stop_s: float = 10) -> Held:
    """A file by the SFU's clock, whose frames begin with its first packet and last to the end."""
    file = RawFile(
        f"{user}.mjr",
        Stream.CAMERA,
        START_MS + round(told_s * 1000),
        START_MS + round(stop_s * 1000),
        user=UserId(user),
    )
    opened_us, first_us = (START_MS * 1000 + round(at * 1_000_000) for at in (opened_s, first_s))
    end_us = first_us + 10_000_000
    return Held(file, first_us, end_us, begun_us=first_us, opened_us=opened_us)


@pytest.mark.parametrize("ahead_s", [-HOUR_S, -12, -5, -2.5, 2.5, 5, 9, 12, HOUR_S])
def test_an_sfu_whose_clock_is_off_by_any_amount_is_moved(ahead_s: float) -> None:
    (span,) = spans(segment(), [written("alice", ahead_s - 0.04, ahead_s, 0)])

    assert (span.start_us, span.stop_us) == (0, DURATION_US)
    assert span.shift_us == -ahead_s * 1_000_000


@pytest.mark.parametrize("ahead_s", [-1.5, 0, 1.5])
def test_an_offset_of_less_than_two_seconds_is_the_medias_own(ahead_s: float) -> None:
    (span,) = spans(segment(), [written("alice", 3 + ahead_s, 3 + ahead_s, 3)])

    assert (span.start_us, span.shift_us) == ((3 + ahead_s) * 1_000_000, 0)


@pytest.mark.parametrize("ahead_s", [-HOUR_S, -12, -5, -4, 0, 5, 12, HOUR_S])
def test_a_camera_that_really_starts_late_keeps_its_delay(ahead_s: float) -> None:
    early = written("alice", ahead_s, ahead_s, 0)
    late = written("bob", ahead_s, ahead_s + 4, 0)

    found = spans(segment(), [early, late])

    assert [span.start_us for span in found] == [0, 4_000_000]


@pytest.mark.parametrize("ahead_s", [-HOUR_S, -12, 5, HOUR_S])
def test_where_the_event_tells_the_first_packet_of_a_late_camera_the_others_show_it(
    ahead_s: float,
) -> None:
    early = [written(user, ahead_s, ahead_s, 0) for user in ("alice", "carol")]
    late = written("bob", ahead_s, ahead_s + 6, 6)

    found = spans(segment(), [*early, late])

    assert sorted(span.start_us for span in found) == [0, 0, 6_000_000]


def test_a_late_camera_alone_needs_no_correction() -> None:
    (span,) = spans(segment(), [written("alice", 0, 6, 0)])

    assert (span.start_us, span.shift_us) == (6_000_000, 0)


def test_two_sfus_with_clocks_of_their_own_are_moved_each_by_its_own() -> None:
    found = spans(segment(), [written("alice", 7, 7, 0), written("bob", -50, -50, 1)])

    assert [span.shift_us for span in found] == [-7_000_000, 51_000_000]


def test_those_who_were_there_at_the_start_keep_the_events_order() -> None:
    info = segment(stay("alice", 0), stay("bob", 0))

    assert order(info, held(10, 9000), held(5, 9000, user="bob")) == [0, 1]


def test_who_comes_again_keeps_the_place_of_the_first_time() -> None:
    info = segment(stay("alice", 0), stay("bob", 2000), stay("alice", 5000))

    assert order(info, held(2000, 9000, user="bob"), held(5000, 9000)) == [1, 0]


def test_without_participants_a_users_first_file_counts() -> None:
    files = held(3000, 9000), held(1000, 9000, user="bob"), held(9100, 9900)

    assert order(segment(), *files) == [1, 0, 2]


def test_the_segment_is_cut_where_a_track_comes_or_goes() -> None:
    assert intervals((Span(0, 0, 9), Span(1, 4, 6)), 10) == (
        Interval(0, 4, (0,)),
        Interval(4, 6, (0, 1)),
        Interval(6, 9, (0,)),
        Interval(9, 10, ()),
    )


def test_a_segment_without_tracks_is_one_empty_interval() -> None:
    assert intervals((), 10) == (Interval(0, 10, ()),)
    assert most_on_screen(()) == 0


def test_a_span_outside_the_segment_or_without_length_cuts_nothing() -> None:
    outside = Span(0, DURATION_US, DURATION_US + 1_000)
    empty = Span(1, 5_000, 5_000)

    assert intervals((outside, empty), DURATION_US) == (Interval(0, DURATION_US, ()),)


def test_a_segment_without_length_has_no_interval() -> None:
    assert intervals((), 0) == ()
    assert most_on_screen(()) == 0


LENGTH = 60
edges = st.tuples(st.integers(0, LENGTH), st.integers(0, LENGTH)).filter(lambda e: e[0] < e[1])
shown_spans = st.lists(edges, max_size=12).map(
    lambda cuts: tuple(Span(track, start, stop) for track, (start, stop) in enumerate(cuts))
)


def alive(shown: tuple[Span, ...], moment: int) -> tuple[int, ...]:
    return tuple(span.track for span in shown if span.start_us <= moment < span.stop_us)


@given(shown_spans)
def test_intervals_cover_the_segment_without_overlap(shown: tuple[Span, ...]) -> None:
    cut = intervals(shown, LENGTH)

    assert (cut[0].start_us, cut[-1].stop_us) == (0, LENGTH)
    for one, following in pairwise(cut):
        assert one.stop_us == following.start_us
        assert one.tracks != following.tracks


@given(shown_spans)
def test_at_every_moment_exactly_the_tracks_alive_are_shown_in_order(
    shown: tuple[Span, ...],
) -> None:
    for interval in intervals(shown, LENGTH):
        for moment in range(interval.start_us, interval.stop_us):
            assert interval.tracks == alive(shown, moment)


@given(shown_spans)
def test_most_on_screen_is_the_largest_crowd(shown: tuple[Span, ...]) -> None:
    largest = max(len(alive(shown, moment)) for moment in range(LENGTH))

    assert most_on_screen(shown) == largest


def test_many_tracks_cost_no_look_at_all_of_them_for_each_edge() -> None:
    def shown(count: int) -> tuple[Span, ...]:
        return tuple(Span(track, 2 * track, 2 * track + 1) for track in range(count))

    def lines(count: int) -> int:
        return lines_run(lambda: intervals(shown(count), 2 * count))

    assert lines(2_000) < 15 * lines(200)


def test_how_many_are_on_screen_is_known_without_a_list_of_them_for_each_moment() -> None:
    crowd = tuple(Span(track, track, 100_000 + track) for track in range(20_000))

    assert most_on_screen(crowd) == 20_000
