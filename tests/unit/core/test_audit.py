"""Chains of audit entries: each change of a stored chain is found, at its place."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.core.audit import ChainCheck, ChainFault, Fault, SavedHead, linked

Row = tuple[int, bytes, bytes]


def chain(length: int, start: str = "") -> list[Row]:
    """A sound chain."""
    rows, previous = [], b""
    for number in range(1, length + 1):
        entry = f'{{"number":{number},"object":"{start}{number}"}}'.encode()
        previous = linked(previous, entry)
        rows.append((number, entry, previous))
    return rows


def first_fault(rows: list[Row], saved: SavedHead | None = None) -> ChainFault | None:
    check = ChainCheck(saved)
    found = (check.check(*row) for row in rows)
    return next((fault for fault in found if fault), None) or check.end()


def test_the_hash_covers_the_entry_and_everything_before_it() -> None:
    (_, entry, first), (_, second_entry, second) = chain(2)

    assert first == hashlib.sha256(entry).digest()
    assert second == hashlib.sha256(first + second_entry).digest()


@pytest.mark.parametrize("length", [0, 1, 50])
def test_a_sound_chain_has_no_fault(length: int) -> None:
    rows = chain(length)

    assert first_fault(rows) is None
    for number, _, own in rows:
        assert first_fault(rows, SavedHead(number, own)) is None


@given(st.integers(0, 9), st.data())
def test_any_changed_byte_is_found_at_its_entry(place: int, data: st.DataObject) -> None:
    rows = chain(10)
    number, entry, own = rows[place]
    at = data.draw(st.integers(0, len(entry) + len(own) - 1))
    text = bytearray(entry + own)
    text[at] ^= data.draw(st.integers(1, 255))
    rows[place] = (number, bytes(text[: len(entry)]), bytes(text[len(entry) :]))

    assert first_fault(rows) == ChainFault(Fault.CHANGED, number, number)


@given(st.integers(1, 9), st.integers(1, 9))
def test_removed_entries_are_named(first: int, count: int) -> None:
    rows = chain(10)
    last = min(first + count - 1, 9)
    del rows[first - 1 : last]

    assert first_fault(rows) == ChainFault(Fault.GAP, first, last)


def test_an_entry_that_was_removed_with_the_rest_renumbered_is_found() -> None:
    rows = chain(10)
    renumbered = [(number - 1, entry, own) for number, entry, own in rows[5:]]

    assert first_fault([*rows[:4], *renumbered]) == ChainFault(Fault.CHANGED, 5, 5)


def test_a_repeated_entry_is_found() -> None:
    rows = chain(4)

    assert first_fault([*rows[:3], rows[2], rows[3]]) == ChainFault(Fault.CHANGED, 3, 3)


def test_a_cut_tail_shows_against_a_saved_head_alone() -> None:
    rows = chain(10)
    saved = SavedHead(10, rows[-1][2])

    assert first_fault(rows[:7]) is None
    assert first_fault(rows[:7], saved) == ChainFault(Fault.MISSING_TAIL, 8, 10)
    assert first_fault([], saved) == ChainFault(Fault.MISSING_TAIL, 1, 10)


def test_a_chain_that_was_written_again_differs_from_a_saved_head() -> None:
    saved = SavedHead(7, chain(7)[-1][2])
    anew = chain(12, start="forged ")

    assert first_fault(anew) is None
    assert first_fault(anew, saved) == ChainFault(Fault.OTHER_CHAIN, 7, 7)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (ChainFault(Fault.CHANGED, 3, 3), "entry 3 was changed"),
        (ChainFault(Fault.GAP, 3, 3), "entry 3 is missing: removed"),
        (ChainFault(Fault.GAP, 3, 5), "entries 3 to 5 are missing: removed"),
        (ChainFault(Fault.MISSING_TAIL, 8, 10), "entries 8 to 10 are missing: the saved head"),
        (ChainFault(Fault.OTHER_CHAIN, 7, 7), "entry 7 differs from the saved head"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_is_one_sentence_that_names_its_entries(fault: ChainFault, sentence: str) -> None:
    assert str(fault).startswith(sentence)
