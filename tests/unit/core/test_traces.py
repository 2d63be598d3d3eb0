"""The trace of a segment: that of the request which started it, else of the one that stopped it."""

from sfu_wrapper.model.trace import TraceContext
from sfu_wrapper.wire.room_state import decode_room, encode_room
from tests.helpers.rooms import ALICE, BOB, Call, established

FIRST = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1")
SECOND = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


def traces(call: Call) -> list[TraceContext | None]:
    """The traces of the segments, after the room was stored and read again."""
    return [segment.trace for segment in decode_room(encode_room(call.room)).segments]


def started(trace: TraceContext | None) -> Call:
    """A call that is being recorded since a request of that trace."""
    call = established()
    call.trace = trace
    call.start()
    call.trace = None
    call.confirm()
    return call


def test_a_segment_keeps_the_trace_of_its_start() -> None:
    call = started(FIRST)
    call.trace = SECOND
    call.stop()
    call.close()

    assert traces(call) == [FIRST]


def test_a_segment_whose_start_had_no_trace_gets_that_of_its_stop() -> None:
    call = started(None)
    assert traces(call) == [None]
    call.trace = SECOND
    call.stop()
    call.close()

    assert traces(call) == [SECOND]


def test_a_segment_that_starts_by_itself_has_the_trace_of_the_request_that_caused_it() -> None:
    call = Call()
    call.join(ALICE)
    call.trace = FIRST
    call.join(BOB)

    assert traces(call) == [FIRST]


def test_a_start_that_waits_for_the_end_of_a_segment_keeps_its_own_trace() -> None:
    call = started(FIRST)
    call.stop()
    call.trace = SECOND
    call.start()
    call.trace = None
    call.close()

    assert traces(call) == [FIRST, SECOND]


def test_the_segment_after_a_pause_goes_on_with_the_trace() -> None:
    call = started(FIRST)
    call.stop(resume_after_s=60)
    call.close()
    call.wait(60_000)

    assert traces(call) == [FIRST, FIRST]
