"""Messages about deletions, written and read back."""

import json

import pytest

from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.identity import RoomId, RoomUuid, SegmentNo
from sfu_wrapper.model.recording import Deleted, DeletionReason, DeletionRequest, RecordingKey
from sfu_wrapper.wire.deletion_messages import (
    deleted_id,
    encode_deleted,
    encode_request,
    parse_deletion,
    request_id,
)

KEY = RecordingKey(RoomUuid("uuid"), SegmentNo(2))
ROOM = RoomId("room")
REQUEST = DeletionRequest(KEY, ROOM, DeletionReason.ERASURE, 1_800_000_000_000, files=("/out/a",))
DONE = Deleted(KEY, ROOM, DeletionReason.ERASURE, 1_800_000_000_123)


def test_a_request_is_read_as_it_was_written() -> None:
    raw = DeletionRequest(KEY, ROOM, DeletionReason.RETENTION, 0, raw_only=True)
    early = DeletionRequest(KEY, ROOM, DeletionReason.REQUESTED, 0, awaits_event=True)

    for request in (REQUEST, raw, early):
        assert parse_deletion(encode_request(request)) == request


def test_a_report_is_read_as_it_was_written() -> None:
    assert parse_deletion(encode_deleted(DONE)) == DONE


def test_ids_tell_what_the_message_is_about() -> None:
    raw = DeletionRequest(KEY, ROOM, DeletionReason.RETENTION, 0, raw_only=True)

    assert request_id(REQUEST) == "uuid:2:deletionRequested"
    assert request_id(raw) == "uuid:2:deletionRequested:raw"
    assert deleted_id(DONE) == "uuid:2:deleted"


def test_the_bodies_are_those_of_the_documentation() -> None:
    assert json.loads(encode_request(REQUEST)) == {
        "conferenceId": "room",
        "uuid": "uuid",
        "segment": 2,
        "status": "deletionRequested",
        "reason": "erasure",
        "requested": "2027-01-15T08:00:00.000Z",
        "rawOnly": False,
        "awaitsEvent": False,
        "files": ["/out/a"],
    }
    assert json.loads(encode_deleted(DONE)) == {
        "conferenceId": "room",
        "uuid": "uuid",
        "segment": 2,
        "status": "deleted",
        "reason": "erasure",
        "completed": "2027-01-15T08:00:00.123Z",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"status": "processed"},
        {"segment": 0},
        {"uuid": ""},
        {"reason": "boredom"},
        {"files": ["x" * 5000]},
        {"requested": None},
    ],
    ids=str,
)
def test_anything_else_is_refused(change: dict[str, object]) -> None:
    body = json.loads(encode_request(REQUEST)) | change

    with pytest.raises(Malformed, match="not a deletion message"):
        parse_deletion(json.dumps(body).encode())
