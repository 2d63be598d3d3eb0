"""Requests of the Python client are part of the caller's trace, as tracing.md shows it."""

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, use_span

from sfu_wrapper.client import ClientOptions, connect
from sfu_wrapper.model.identity import RecordingPermissions, RecordingProfile, RecordingType
from sfu_wrapper.model.trace import TraceContext
from tests.helpers.live import live, token
from tests.helpers.pages import block
from tests.helpers.wait import until

ALWAYS = RecordingPermissions(RecordingType.ALL, RecordingProfile.ALWAYS)
SPAN = SpanContext(
    int("0af7651916cd43dd8448eb211c80319c", 16),
    int("b7ad6b7169203331", 16),
    is_remote=False,
    trace_flags=TraceFlags(1),
    trace_state=TraceState([("vendor", "1")]),
)
CONTEXT = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1")


@pytest.mark.parametrize("span", [SPAN, None], ids=["in a span", "outside"])
async def test_messages_about_a_segment_have_the_trace_of_the_start(
    span: SpanContext | None,
) -> None:
    names: dict[str, object] = {}
    exec(compile(block("how-to/tracing.md", "Send the context", "python"), "it", "exec"), names)  # noqa: S102 - our own page
    options = ClientOptions(trace=names["trace"])  # type: ignore[arg-type]  # of the page
    async with live() as here:
        await here.permit("alice", ALWAYS)
        async with connect(here.url, token=token("alice"), options=options) as alice:
            room = await alice.create_room("standup", kind="meeting")
            await room.join()
            if span is None:
                await room.start_recording()
            else:
                with use_span(NonRecordingSpan(span)):
                    await room.start_recording()
            await room.stop_recording()
            sent = here.broker.published
            await until(lambda: any(one.routing_key == "roomRecordingStopped" for one in sent))

    expected = None if span is None else CONTEXT
    about = [message for message in sent if message.routing_key != "roomEnded"]
    assert {message.routing_key: message.trace for message in about} == {
        "roomRecordingStarted": expected,
        "recordingInfo": expected,
        "roomRecordingStopped": expected,
    }
