"""What a segment is reported as: its files and stays within its own times."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.core.report import segment_info
from sfu_wrapper.core.room import Outcome, Stay
from sfu_wrapper.model.moment import Moment
from sfu_wrapper.model.recording import Presence
from tests.helpers.rooms import ALICE, AUDIO, VIDEO, Call, film, recording

START, STOP = 1_000_000, 1_060_000
TIMES = st.integers(START - 100_000, STOP + 100_000)


def reported(call: Call, *stays: Stay) -> Presence:
    segment = replace(call.segment, started=Moment(START, 0), stopped_ms=STOP, stays=stays)
    return segment_info(call.room, segment).presences[0]


def test_a_segment_that_is_not_over_cannot_be_reported() -> None:
    call = recording()

    with pytest.raises(ValueError, match="segment 1 is not over"):
        segment_info(call.room, call.segment)


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
    call.change(VIDEO, film("carol", early_ms + 900), film("bob", early_ms + 300))
    call.clock(5_000)
    call.stop()
    call.close()

    assert [file.user for file in call.infos[0].video] == ["alice", "bob", "carol"]


def test_a_file_that_was_opened_before_the_confirmation_begins_with_the_segment() -> None:
    call = recording()
    call.change(VIDEO, film("bob", call.wall_ms - 400))
    call.clock(1_000)
    call.stop()
    call.close()

    (info,) = call.infos
    assert min(file.started_ms for file in info.video) == info.started_ms


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
    stay = reported(call, Stay(ALICE.user, start_ms, stop_ms))

    assert START <= stay.joined_ms <= stay.left_ms <= STOP


def test_a_medium_that_was_not_asked_for_has_no_files() -> None:
    call = recording()
    video = tuple(each for each in call.segment.captures if each.medium is VIDEO)
    segment = replace(
        call.segment, captures=video, stopped_ms=call.wall_ms, outcome=Outcome.STOPPED
    )

    assert segment.capture(AUDIO) is None
    assert segment_info(call.room, segment).audio == ()
