"""Ranges and conditions, apart from any server."""

import pytest

from sfu_wrapper.gateway.rest.conditions import Span, Unsatisfiable, names_tag, wanted_span

TAG = '"abc"'


@pytest.mark.parametrize(
    ("headers", "tag", "weakly", "expected"),
    [
        ([], TAG, True, None),
        ([TAG], None, True, False),
        ([TAG], TAG, False, True),
        (['"x"', f'"y", {TAG}'], TAG, False, True),
        ([f"W/{TAG}"], TAG, False, False),
        ([f"W/{TAG}"], TAG, True, True),
        (["*"], TAG, False, True),
        (["*"], None, False, False),
    ],
)
def test_tags_are_compared_as_the_condition_demands(
    headers: list[str], tag: str | None, weakly: bool, expected: bool | None
) -> None:
    assert names_tag(headers, tag, weakly=weakly) is expected


@pytest.mark.parametrize(
    ("ranges", "if_range", "expected"),
    [
        ([], [], None),
        (["bytes=0-9"], [], Span(0, 10)),
        (["bytes=0-9", "bytes=0-9"], [], None),
        (["bytes=90-"], [], Span(90, 10)),
        (["bytes=-30"], [], Span(70, 30)),
        (["bytes=-300"], [], Span(0, 100)),
        (["bytes=99-1000"], [], Span(99, 1)),
        (["bytes=9-8"], [], None),
        (["bytes=0-9"], [TAG], Span(0, 10)),
        (["bytes=0-9"], ['"x"'], None),
        (["bytes=1000-"], ['"x"'], None),
    ],
)
def test_one_valid_range_is_a_part_and_everything_else_the_whole(
    ranges: list[str], if_range: list[str], expected: Span | None
) -> None:
    assert wanted_span(ranges, if_range, TAG, 100) == expected


@pytest.mark.parametrize("wanted", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_that_begins_beyond_the_end_cannot_be_had(wanted: str) -> None:
    with pytest.raises(Unsatisfiable):
        wanted_span([wanted], [], TAG, 100)


def test_an_empty_file_has_no_ranges() -> None:
    with pytest.raises(Unsatisfiable):
        wanted_span(["bytes=-5"], [], TAG, 0)
