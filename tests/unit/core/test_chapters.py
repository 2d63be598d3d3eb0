"""What the parts of a merged file are called."""

from collections.abc import Sequence

import pytest

from sfu_wrapper.core.intervals import Interval
from sfu_wrapper.core.plan import Chapter, chapters
from sfu_wrapper.model.identity import ConfbridgeId, RoomId, RoomUuid, SegmentNo, UserId
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import Presence, SegmentInfo
from tests.helpers.work import lines_run

S = 1_000_000
START_MS = 1_000_000


def camera(user: str) -> RawFile:
    return RawFile(f"{user}.mjr", Stream.CAMERA, START_MS, user=UserId(user))


FILES = (
    camera("alice"),
    camera("bob"),
    RawFile("s.mjr", Stream.SCREEN, START_MS, user=UserId("bob")),
    camera("bob"),
)
ALICE, BOB, SCREEN, BOB_AGAIN = range(4)

Stays = Sequence[tuple[str, float, float]]
Cut = Sequence[tuple[float, float, tuple[int, ...]]]


def segment(stays: Stays = ()) -> SegmentInfo:
    return SegmentInfo(
        RoomId("room"), RoomUuid("uuid"), ConfbridgeId("bridge"), SegmentNo(1),
        started_ms=START_MS, completed_ms=START_MS + 60_000,
        presences=tuple(
            Presence(UserId(user), START_MS + round(a * 1000), START_MS + round(b * 1000))
            for user, a, b in stays
        ),
    )  # fmt: skip


def named(cut: Cut, stays: Stays = ()) -> list[tuple[float, float, str]]:
    intervals = [Interval(round(a * S), round(b * S), tracks) for a, b, tracks in cut]
    made = chapters(segment(stays), FILES, intervals)
    return [(one.start_us / S, one.stop_us / S, one.title) for one in made]


def test_the_first_part_names_everybody_and_the_others_what_changed() -> None:
    cut = [(0, 10, (ALICE,)), (10, 20, (ALICE, BOB, SCREEN)), (20, 30, (ALICE, BOB)), (30, 60, ())]

    assert named(cut) == [
        (0, 10, "alice"),
        (10, 20, "bob joined, bob shares a screen"),
        (20, 30, "bob stops sharing"),
        (30, 60, "alice left, bob left"),
    ]


def test_a_screen_that_is_there_from_the_beginning_is_named_as_one() -> None:
    assert named([(0, 60, (SCREEN,))]) == [(0, 60, "bob (screen)")]


def test_a_beginning_without_anybody_says_so() -> None:
    assert named([(0, 10, ()), (10, 60, (BOB,))])[0] == (0, 10, "nobody")


def test_who_stays_turns_the_camera_off_and_on() -> None:
    cut = [(0, 10, (ALICE, BOB)), (10, 40, (ALICE,)), (40, 60, (ALICE, BOB_AGAIN))]
    stays = [("alice", 0, 60), ("bob", 0, 60)]

    titles = [title for _, _, title in named(cut, stays)]

    assert titles == ["alice, bob", "bob turns the camera off", "bob turns the camera on"]


@pytest.mark.parametrize("camera_on_s", [9.5, 10.0, 13.0])
def test_a_camera_that_comes_with_its_owner_is_a_joining(camera_on_s: float) -> None:
    cut = [(0, camera_on_s, (ALICE,)), (camera_on_s, 60, (ALICE, BOB))]

    assert named(cut, [("alice", 0, 60), ("bob", 10, 60)])[1][2] == "bob joined"


def test_who_goes_before_the_end_has_left() -> None:
    cut = [(0, 10, (ALICE, BOB)), (10, 60, (ALICE,))]

    assert named(cut, [("alice", 0, 60), ("bob", 0, 10.2)])[1][2] == "bob left"


def test_who_leaves_a_call_need_not_be_told_to_stop_sharing() -> None:
    cut = [(0, 10, (ALICE, BOB, SCREEN)), (10, 60, (ALICE,))]

    assert named(cut, [("bob", 0, 10)])[-1] == (10, 60, "bob left")
    stays_on = named(cut, [("bob", 0, 60)])[-1]
    assert stays_on == (10, 60, "bob turns the camera off, bob stops sharing")


def test_moments_go_to_the_part_that_follows_and_at_the_end_to_the_one_before() -> None:
    cut = [(0, 0.04, ()), (0.04, 10, (ALICE,)), (10, 10.3, (ALICE, BOB)), (10.3, 59.9, (BOB,)),
           (59.9, 60, ())]  # fmt: skip

    assert named(cut) == [(0, 10, "alice"), (10, 60, "bob joined, alice left")]


def test_a_track_that_replaces_another_of_the_same_kind_changes_nothing() -> None:
    assert named([(0, 10, (BOB,)), (10, 60, (BOB_AGAIN,))]) == [(0, 60, "bob")]


def test_a_flicker_makes_no_part() -> None:
    assert named([(0, 10, (BOB,)), (10, 10.2, ()), (10.2, 60, (BOB_AGAIN,))]) == [(0, 60, "bob")]


def test_a_file_of_a_moment_is_one_part() -> None:
    assert named([(0, 0.2, (ALICE,))]) == [(0, 0.2, "alice")]


def test_a_file_of_no_length_has_none() -> None:
    assert chapters(segment(), (), ()) == ()


def test_parts_follow_each_other_without_gaps() -> None:
    cut = [
        Interval(0, 3 * S, (ALICE,)),
        Interval(3 * S, 3 * S + 1, ()),
        Interval(3 * S + 1, 9 * S, (BOB,)),
    ]

    assert chapters(segment(), FILES, cut) == (
        Chapter(0, 3 * S, "alice"),
        Chapter(3 * S, 9 * S, "bob joined, alice left"),
    )


def test_many_stays_are_not_looked_through_for_each_change() -> None:
    def lines(count: int) -> int:
        stays = [("alice", number / 1_000, number / 1_000) for number in range(count)]
        cut = [(10 * at, 10 * at + 10, (ALICE,) if at % 2 else ()) for at in range(count)]
        return lines_run(lambda: named(cut, stays))

    assert lines(1_000) < 15 * lines(100)
