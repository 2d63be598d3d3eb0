"""Times on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.wire.strict_json import LAST_MS, iso, parse_iso


def test_a_time_is_written_in_utc_with_milliseconds() -> None:
    assert iso(1_590_392_548_633) == "2020-05-25T07:42:28.633Z"


def test_a_whole_second_keeps_its_milliseconds() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000Z"


def test_the_last_time_is_the_end_of_the_year_9999() -> None:
    assert iso(LAST_MS) == "9999-12-31T23:59:59.999Z"


@given(st.integers(0, LAST_MS))
def test_what_is_written_reads_back(ms: int) -> None:
    assert parse_iso(iso(ms)) == ms


def test_another_zone_is_the_same_moment() -> None:
    assert parse_iso("2020-05-25T09:42:28.633+02:00") == 1_590_392_548_633


def test_finer_digits_are_cut_off() -> None:
    assert parse_iso("2020-05-25T07:42:28.633999Z") == 1_590_392_548_633


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2020-05-25",
        "2020-05-25T07:42:28.633",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59.999-00:01",
    ],
)
def test_what_is_no_time_with_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_iso(text)
