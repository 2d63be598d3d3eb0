"""Frames of a link until the server takes them."""

from sfu_wrapper.gateway.client_link import Buffer
from sfu_wrapper.gateway.send_queue import Close

BYE = Close(1000, "bye")


def test_outside_of_a_turn_somebody_is_told_of_each_frame() -> None:
    told: list[int] = []
    buffer = Buffer(lambda: told.append(len(buffer.take())))
    buffer.put(b"1")
    buffer.put(b"2")

    assert told == [1, 1]


def test_within_a_turn_frames_are_collected_behind_those_that_wait() -> None:
    told: list[int] = []
    buffer = Buffer(lambda: told.append(1))
    buffer.put(b"1")
    with buffer.collect():
        buffer.put(b"2")
        buffer.put(BYE)
        buffer.put(b"3")

    assert told == [1]
    assert buffer.take() == [b"1", b"2", BYE]
    assert buffer.take() == []
    assert buffer.closed


def test_after_a_call_each_frame_is_announced_again() -> None:
    told: list[int] = []
    buffer = Buffer(lambda: told.append(1))
    with buffer.collect():
        buffer.put(b"1")
    buffer.put(b"2")

    assert told == [1]
    assert buffer.take() == [b"1", b"2"]


def test_a_call_after_the_end_sends_nothing() -> None:
    told: list[int] = []
    buffer = Buffer(lambda: told.append(1))
    buffer.put(BYE)
    with buffer.collect():
        buffer.put(b"1")
    buffer.put(b"2")

    assert told == [1]
    assert buffer.take() == [BYE]
    assert buffer.closed


def test_once_dropped_nothing_is_sent() -> None:
    buffer = Buffer(lambda: None)
    buffer.put(b"1")
    buffer.drop()
    buffer.put(b"2")

    assert buffer.take() == []
