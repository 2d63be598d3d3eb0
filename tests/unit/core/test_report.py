"""What a segment is reported as: its files and stays within its own times."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.core.people import PresenceInterval, PresenceIntervals
from sfu_wrapper.core.room import Outcome
from sfu_wrapper.core.segment_report import segment_info
from sfu_wrapper.core.sync import LEAD_LIMIT_MS
from sfu_wrapper.model.media import RawFile
from sfu_wrapper.model.segment import Instant, Presence
from tests.helpers.rooms import ALICE, AUDIO, VIDEO, Call, mix, recording, video_file

START, STOP = 1_000_000, 1_060_000
TIMES = st.integers(START - 100_000, STOP + 100_000)


def reported(call: Call, *stays: PresenceInterval) -> Presence:
    there = replace(call.segment, presences=PresenceIntervals(stays))
    segment = replace(there, started=Instant(START, 0), stopped_ms=STOP)
    return segment_info(call.room, segment, Instant(STOP, STOP - START)).presences[0]


def test_a_segment_that_is_not_over_cannot_be_reported() -> None:
    call = recording()

    with pytest.raises(ValueError, match="segment 1 is not over"):
        segment_info(call.room, call.segment, call.at)


def test_a_report_names_the_room_the_owner_and_the_type() -> None:
    call = recording()
    call.stop()
    call.close()

    (info,) = call.infos
    assert (info.room, info.uuid, info.confbridge_id) == ("room-1", "uuid-1", "bridge-1")
    assert (info.owner, info.type, info.segment) == ("alice", "all", 1)
    assert (info.incomplete, info.reason, info.missing) == (False, None, ())


def test_files_stand_in_the_order_in_which_they_start() -> None:
    call = recording()
    early_ms = call.wall_ms
    call.change(VIDEO, video_file("carol", early_ms + 900), video_file("bob", early_ms + 300))
    call.clock(5_000)
    call.stop()
    call.close()

    assert [file.user for file in call.infos[0].video] == ["alice", "bob", "carol"]


def test_a_file_that_was_opened_before_the_confirmation_begins_with_the_segment() -> None:
    call = recording()
    call.change(VIDEO, video_file("bob", call.wall_ms - 400))
    call.clock(1_000)
    call.stop()
    call.close()

    (info,) = call.infos
    assert min(file.started_ms for file in info.video) == info.started_ms


@pytest.mark.parametrize(
    ("before_ms", "lead_ms"),
    [(0, 0), (-300, 0), (400, 400), (1_500, 500), (-5_000, 0)],
    ids=["with it", "after it", "before it", "before it was asked for", "later"],
)
def test_the_audio_of_a_mix_that_began_before_the_confirmation_stays_where_it_was(
    before_ms: int, lead_ms: int
) -> None:
    """It took 500 ms to be confirmed; a file before that has a clock that is behind."""
    call = recording()
    began_ms = call.wall_ms - before_ms
    call.change(AUDIO, replace(mix(began_ms), delay_ms=120))
    call.clock(10_000)
    segment = replace(
        call.segment,
        requested_at=Instant(call.wall_ms - 10_500, 0),
        started=Instant(call.wall_ms - 10_000, 500),
        stopped_ms=call.wall_ms,
    )

    file = named(segment_info(call.room, segment, call.at).audio, mix(began_ms))
    assert file.started_ms == max(began_ms, call.wall_ms - 10_000)
    assert file.delay_ms == 120 + lead_ms


def test_a_mix_whose_clock_was_set_is_not_moved_beyond_reason() -> None:
    call = recording()
    early = mix(call.wall_ms - 3_600_000)
    call.change(AUDIO, early)
    segment = replace(call.segment, requested_at=Instant(0, 0), stopped_ms=call.wall_ms)

    assert named(segment_info(call.room, segment, call.at).audio, early).delay_ms == LEAD_LIMIT_MS


def named(files: tuple[RawFile, ...], wanted: RawFile) -> RawFile:
    return next(file for file in files if file.filename == wanted.filename)


def test_a_video_is_not_said_to_lag_since_its_own_times_rule() -> None:
    call = recording()
    call.change(VIDEO, video_file("bob", call.wall_ms - 400))
    segment = replace(call.segment, requested_at=Instant(0, 0), stopped_ms=call.wall_ms)

    assert {file.delay_ms for file in segment_info(call.room, segment, call.at).video} == {0}


def test_a_file_that_is_still_open_goes_on_to_the_end() -> None:
    call = recording()
    call.stop()
    call.wait(30_000)

    (info,) = call.infos
    assert info.video[0].stopped_ms == info.completed_ms


@given(start_ms=TIMES, stop_ms=st.none() | TIMES)
def test_whatever_is_reported_lies_within_the_segment_in_its_order(
    start_ms: int, stop_ms: int | None
) -> None:
    call = recording()
    stay = reported(call, PresenceInterval(ALICE.user, start_ms, stop_ms))

    assert START <= stay.joined_ms <= stay.left_ms <= STOP


def test_a_medium_that_was_not_asked_for_has_no_files() -> None:
    call = recording()
    video = tuple(each for each in call.segment.captures if each.medium is VIDEO)
    segment = replace(
        call.segment, captures=video, stopped_ms=call.wall_ms, outcome=Outcome.STOPPED
    )

    assert segment.capture(AUDIO) is None
    assert segment_info(call.room, segment, call.at).audio == ()
