"""Costs that do not grow: work of a step, counted, by the segments and people of its room."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from sfu_wrapper.core.people import Participant, Participants
from sfu_wrapper.core.room import Segments
from sfu_wrapper.model.identity import Kind, SegmentNo, UserId, UserKey
from sfu_wrapper.model.media import Media
from sfu_wrapper.model.persistent import PersistentSet
from tests.helpers.rooms import (
    ALICE,
    BOTH,
    CAROL,
    HOME,
    MANUAL,
    VIDEO,
    Call,
    established,
    video_file,
)
from tests.helpers.work import calls_of


def with_segments(count: int) -> Call:
    """An established call that has been recorded so many times."""
    call = established()
    call.start()
    call.confirm()
    call.stop()
    call.close()
    done = call.segment
    segments = Segments(replace(done, number=SegmentNo(n)) for n in range(1, count + 1))
    call.room = replace(call.room, segments=segments)
    return call


def with_people(count: int) -> Call:
    """A meeting of so many, Alice among them."""
    call = Call(kind=Kind.MEETING, policy=MANUAL)
    call.join(ALICE)
    keys = [UserKey(HOME, UserId(f"user-{n}")) for n in range(2, count + 1)]
    there = call.room.participants
    others = [Participant(key, n, call.wall_ms, Media()) for n, key in enumerate(keys, start=2)]
    people = Participants([*there, *others])
    members = PersistentSet([ALICE, *keys])
    call.room = replace(call.room, participants=people, members=members, entries=count)
    return call


def toggled(call: Call) -> None:
    call.start()
    call.confirm()
    call.clock(1_000)
    call.stop()
    call.close()


def test_a_toggle_costs_the_same_after_two_thousand_segments_as_after_one() -> None:
    one, many = with_segments(1), with_segments(2_000)
    toggled(one)  # what is computed once is computed now
    first, later = calls_of(lambda: toggled(one)), calls_of(lambda: toggled(many))

    assert later <= 1.3 * first
    assert len(many.room.segments) == 2_001


@pytest.mark.parametrize(
    "deed",
    [
        lambda call: call.clock(1),
        lambda call: call.wait(1),
        lambda call: call.plane_back(),
        lambda call: call.join(CAROL),
        lambda call: call.terminate(),
        lambda call: call.change(VIDEO, video_file("late", call.wall_ms), segment=1),
    ],
    ids=["nothing", "time", "plane back", "join", "SIGTERM", "late fact"],
)
def test_nothing_else_walks_over_earlier_segments(deed: Callable[[Call], object]) -> None:
    one, many = with_segments(20), with_segments(2_000)

    assert calls_of(lambda: deed(many)) <= 1.3 * calls_of(lambda: deed(one)) + 20


@pytest.mark.parametrize(
    "deed",
    [
        toggled,
        lambda call: call.join(CAROL),
        lambda call: call.leave(UserKey(HOME, UserId("user-9"))),
        lambda call: call.publish(UserKey(HOME, UserId("user-9")), Media(audio=True)),
        lambda call: call.gone(UserKey(HOME, UserId("user-9"))),
        lambda call: call.end(),
    ],
    ids=["toggle", "join", "leave", "publish", "gone", "end"],
)
def test_people_cost_what_their_notices_cost(deed: Callable[[Call], object]) -> None:
    """Twice as many people, about twice the work; a walk for each would be four times as much."""
    few, some, many = (calls_of(bound(deed, with_people(n))) for n in (10, 510, 1_010))

    assert many - few <= 2.6 * (some - few) + 50


def bound(deed: Callable[[Call], object], call: Call) -> Callable[[], object]:
    return lambda: deed(call)


def test_who_is_gone_is_found_without_a_look_at_who_is_there() -> None:
    few, many = with_people(10), with_people(1_010)
    user = UserKey(HOME, UserId("user-9"))

    def lost(call: Call) -> None:
        call.gone(user)
        call.back(user)
        call.gone(user)
        call.wait(1)

    assert calls_of(lambda: lost(many)) <= 1.3 * calls_of(lambda: lost(few)) + 20


def test_the_segment_before_the_first_does_not_exist() -> None:
    call = with_segments(2)

    assert call.room.segments[0].number == call.room.segments[-2].number == 1
    with pytest.raises(IndexError):
        call.room.segments[2]
    with pytest.raises(IndexError):
        call.room.segments[-3]


def test_a_late_video_of_a_failed_segment_has_its_times_after_a_restart_too() -> None:
    call = established()
    call.start()
    call.refuse(*BOTH)
    call.join(CAROL)
    call.clock(5_000)
    call.restart(mono_ms=7)
    late_ms = call.wall_ms
    call.change(VIDEO, video_file("alice", late_ms), segment=1)
    call.clock(2_000)
    call.close(VIDEO, segment=1)

    (info,) = call.infos
    assert (info.started_ms, info.completed_ms) == (late_ms, late_ms + 2_000)
    assert call.room.segments[0].duration_ms == 2_000
    assert [stay.user for stay in info.presences] == ["alice", "bob"]
