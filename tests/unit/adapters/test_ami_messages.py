"""Blocks of Asterisk's manager interface: nothing breaks out, nothing is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.adapters.asterisk.ami import Message, decode, encode
from sfu_wrapper.model.errors import Malformed


def test_an_action_is_a_block_of_lines() -> None:
    assert encode("Ping", "7", (("Conference", "a"),)) == (
        b"Action: Ping\r\nActionID: 7\r\nConference: a\r\n\r\n"
    )


@pytest.mark.parametrize("value", ["a\r\nAction: Command", "a\nb", "a\rb", "a\0b"])
def test_a_value_that_would_begin_another_line_is_refused(value: str) -> None:
    with pytest.raises(Malformed, match="would break its line"):
        encode("ConfbridgeStartRecord", "1", (("Conference", value),))


@pytest.mark.parametrize("key", ["", "Conf erence", "Conference:", "A\r\nB"])
def test_an_invalid_key_is_refused(key: str) -> None:
    with pytest.raises(Malformed):
        encode("Ping", "1", ((key, "x"),))


def test_repeated_keys_keep_all_their_values() -> None:
    message = decode(b"Response: Success\r\nOutput: one\r\nOutput: two\r\n\r\n")

    assert message.all("output") == ("one", "two")
    assert message.get("Output") == "one"
    assert message.get("Nothing") == ""


def test_a_line_without_a_colon_is_left_out() -> None:
    assert decode(b"Event: A\r\nnonsense\r\nB:\r\n\r\n").fields == (("Event", "A"), ("B", ""))


def test_the_time_of_an_event_is_that_of_asterisk() -> None:
    assert Message((("Timestamp", "1795484530.721606"),)).at_ms == 1_795_484_530_722


@pytest.mark.parametrize("text", ["", "soon", "inf", "nan"])
def test_an_event_without_a_time_has_none(text: str) -> None:
    assert Message((("Timestamp", text),)).at_ms is None


@given(st.binary(max_size=200))
def test_any_block_can_be_read(block: bytes) -> None:
    decode(block)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=50))
def test_an_encoded_action_can_be_decoded(value: str) -> None:
    assert decode(encode("A", "1", (("Key", value),))).get("Key") == value.strip()
