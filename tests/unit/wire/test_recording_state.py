"""Stored recordings: read as they were written, and refused where they are damaged."""

import pytest

from sfu_wrapper.model.errors import Broken
from sfu_wrapper.model.recording import Recording, RecordingState
from sfu_wrapper.wire.recording_state import (
    RecordingColumns,
    decode_recording,
    encode_facts,
    encode_rest,
)
from tests.helpers.recordings import facts, finished, result

READY = finished(facts(), result(facts(), {"a.webm": b"1"}))


def columns(recording: Recording) -> RecordingColumns:
    known = recording.facts
    return RecordingColumns(
        known.key,
        known.room,
        known.domain,
        known.owner,
        recording.state,
        known.started_ms,
        known.stopped_ms,
        known.duration_ms,
        recording.version,
    )


@pytest.mark.parametrize("recording", [READY, Recording(facts(), RecordingState.QUEUED)])
def test_a_recording_is_read_as_it_was_written(recording: Recording) -> None:
    stored = encode_facts(recording.facts), encode_rest(recording)

    assert decode_recording(columns(recording), *stored) == recording


@pytest.mark.parametrize(
    ("damaged_facts", "damaged_rest"), [(b"{}", None), (None, b"[1]"), (b"{", b"{}")]
)
def test_a_damaged_recording_is_named(
    damaged_facts: bytes | None, damaged_rest: bytes | None
) -> None:
    stored = damaged_facts or encode_facts(READY.facts), damaged_rest or encode_rest(READY)

    with pytest.raises(Broken, match=f"the stored recording {READY.key} is damaged"):
        decode_recording(columns(READY), *stored)
