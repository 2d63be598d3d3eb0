"""Rooms in order of creation: the same as a sorted list, at the cost of what is read."""

from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.service.rooms.ranking import BUCKET, Rank, Ranking

RANKS = st.tuples(st.integers(0, 30), st.sampled_from("abc").map(RoomUuid))


def rank(number: int) -> Rank:
    return number, RoomUuid(f"u{number}")


@given(st.lists(st.tuples(st.booleans(), RANKS)), st.none() | RANKS)
def test_it_reads_as_a_sorted_list_does(changes: list[tuple[bool, Rank]], before: Rank) -> None:
    ranking, expected = Ranking(), set[Rank]()
    for added, each in changes:
        (ranking.add if added else ranking.discard)(each)
        (expected.add if added else expected.discard)(each)

    wanted = sorted((each for each in expected if before is None or each < before), reverse=True)
    assert list(ranking.descending(before)) == wanted
    assert len(ranking) == len(expected)
    assert bool(ranking) == bool(expected)


def test_many_ranks_in_any_order_are_read_from_any_place() -> None:
    count = 10 * BUCKET
    ranking = Ranking()
    for number in (*range(0, count, 2), *range(count - 1, 0, -2)):
        ranking.add(rank(number))
    for number in range(0, count, 3):
        ranking.discard(rank(number))
    left = [rank(number) for number in range(count - 1, -1, -1) if number % 3]

    assert list(ranking.descending(None)) == left
    for start in (count // 2, 1, 0, 2 * BUCKET, count):
        below = [each for each in left if each < rank(start)]
        assert list(ranking.descending(rank(start))) == below
    for each in left:
        ranking.discard(each)
    ranking.discard(rank(1))
    assert not ranking
    assert list(ranking.descending(rank(5))) == []
