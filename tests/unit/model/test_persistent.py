"""Immutable maps: what they hold, what their versions share, and what a change costs."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.model.persistent import PersistentMap, PersistentSet
from tests.helpers.work import calls_of

DEEDS = st.lists(st.tuples(st.booleans(), st.integers(0, 60), st.integers(0, 3)), max_size=200)


class Pair(tuple[int, int]):
    """A value with a key; ranks are the reverse of keys."""

    __slots__ = ()


class Pairs(PersistentMap[int, Pair]):
    """Pairs by their first, the greatest first. marked: those whose second is odd."""

    __slots__ = ()

    @staticmethod
    def key(value: Pair) -> int:
        return value[0]

    @staticmethod
    def order(value: Pair) -> int:
        return -value[0]

    @staticmethod
    def marks(value: Pair) -> bool:
        return value[1] % 2 == 1


class Clashing:
    """A key whose hash says nothing."""

    def __init__(self, name: int) -> None:
        self.name = name

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clashing) and other.name == self.name

    def __lt__(self, other: "Clashing") -> bool:
        return self.name < other.name


def played(
    deeds: list[tuple[bool, int, int]], held: Pairs, model: dict[int, Pair]
) -> tuple[Pairs, dict[int, Pair]]:
    """The same puts and removals on a map and on a dict."""
    model = dict(model)
    for put, key, second in deeds:
        if put:
            held = held.put(Pair((key, second)))
            model[key] = Pair((key, second))
        else:
            held = held.without(key)
            model.pop(key, None)
    return held, model


@given(DEEDS)
def test_a_map_holds_what_a_dict_would(deeds: list[tuple[bool, int, int]]) -> None:
    held, model = played(deeds, Pairs(), {})

    assert len(held) == len(model)
    assert tuple(held) == tuple(sorted(model.values(), reverse=True))
    assert all(held.get(key) == model.get(key) for key in range(61))
    assert all((key in held) == (key in model) for key in range(61))
    assert held.marked == {key for key, value in model.items() if value[1] % 2}
    assert held.marked_values() == [each for each in held if each[1] % 2]


@given(DEEDS)
def test_a_map_built_at_once_is_the_same(deeds: list[tuple[bool, int, int]]) -> None:
    held, model = played(deeds, Pairs(), {})
    built = Pairs(model.values())

    assert (built, hash(built)) == (held, hash(held))
    assert built.marked == held.marked
    assert built == tuple(held)


@given(DEEDS, DEEDS)
def test_changes_are_what_differs(
    first: list[tuple[bool, int, int]], then: list[tuple[bool, int, int]]
) -> None:
    before, was = played(first, Pairs(), {})
    after, now = played(then, before, was)

    differing = sorted({k for k in (*was, *now) if was.get(k) != now.get(k)}, reverse=True)
    assert after.changes(before) == [(was.get(key), now.get(key)) for key in differing]
    assert (after == before) is (not differing)


def test_earlier_versions_stay_as_they_are() -> None:
    one = Pairs([Pair((1, 1))])
    one.put(Pair((1, 2)))
    one.put(Pair((2, 2)))
    one.without(1)

    assert one == (Pair((1, 1)),)


def test_what_is_not_there_is_removed_without_a_new_version() -> None:
    one = Pairs([Pair((1, 1))])

    assert one.without(2) is one


def test_everything_is_new_where_there_was_nothing() -> None:
    assert Pairs([Pair((1, 1))]).changes(None) == [(None, Pair((1, 1)))]


def test_a_map_is_no_list() -> None:
    one = Pairs([Pair((1, 1))])

    assert one != [Pair((1, 1))]
    assert repr(one) == "Pairs([(1, 1)])"


def test_values_are_found_by_their_place() -> None:
    held = Pairs(Pair((n, 0)) for n in range(3))

    assert (held[0], held[-1]) == (Pair((2, 0)), Pair((0, 0)))


def test_keys_with_one_hash_are_told_apart() -> None:
    keys = [Clashing(n) for n in range(40)]
    held = PersistentSet(keys)

    assert len(held) == 40
    assert held.without(keys[3]).get(keys[3]) is None
    assert held.without(keys[3]).get(keys[4]) == keys[4]
    assert [key.name for key in held] == list(range(40))


def test_a_subclass_says_what_keys_and_ranks_are() -> None:
    with pytest.raises(NotImplementedError):
        PersistentMap[int, int]([1])
    with pytest.raises(NotImplementedError):
        PersistentMap.order(1)


@pytest.mark.parametrize(
    "change",
    [
        lambda held: held.put(Pair((3, 2))),
        lambda held: held.put(Pair((1_000_003, 2))),
        lambda held: held.without(3),
        lambda held: held.put(Pair((3, 2))).changes(held),
        lambda held: held.put(Pair((3, 2))) == held,
    ],
    ids=["replaced", "added", "removed", "compared", "equal"],
)
def test_a_change_costs_no_more_among_ten_thousand_than_among_a_hundred(
    change: Callable[[Pairs], object],
) -> None:
    few, many = (Pairs(Pair((n, 0)) for n in range(count)) for count in (100, 10_000))

    assert calls_of(lambda: change(many)) <= 3 * calls_of(lambda: change(few))
