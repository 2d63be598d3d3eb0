"""Trace contexts as senders write them (W3C Trace Context)."""

import pytest

from sfu_wrapper.model.trace import MAX_STATE, TraceContext, trace_context

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


def test_a_context_is_passed_on_as_it_came() -> None:
    found = trace_context(PARENT, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")

    assert found is not None
    assert found.trace_id == TRACE
    assert found.fields == {
        "traceparent": PARENT,
        "tracestate": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
    }


def test_a_later_version_is_read_as_the_present_one() -> None:
    assert trace_context(f"cc-{TRACE}-{SPAN}-01-what-the-future-holds") == TraceContext(PARENT)
    assert trace_context(f"cc-{TRACE}-{SPAN}-01") == TraceContext(PARENT)


@pytest.mark.parametrize(
    "parent",
    [
        None,
        17,
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"cc-{TRACE}-{SPAN}-01more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}",
        f"cc-{TRACE}-{SPAN}-01-" + "x" * 1000,
    ],
)
def test_an_invalid_traceparent_counts_as_absent(parent: object) -> None:
    assert trace_context(parent, "vendor=1") is None


@pytest.mark.parametrize("state", [None, 17, "", "a=1\r\nevil: 1", "é=1", "x" * (MAX_STATE + 1)])
def test_an_invalid_tracestate_does_not_end_the_trace(state: object) -> None:
    assert trace_context(PARENT, state) == TraceContext(PARENT)
