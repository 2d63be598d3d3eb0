"""The recording service's messages."""

import hashlib
import json
from dataclasses import replace

import orjson
import pytest
from pydantic import ValidationError

from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.identity import RoomId, RoomUuid, SegmentNo, UserId
from sfu_wrapper.model.media import Stream
from sfu_wrapper.model.segment import (
    Failed,
    FileKind,
    FinishedFile,
    MissingMedia,
    Processed,
    TrackSync,
)
from sfu_wrapper.wire.job_messages import (
    MAX_RAW_BYTES,
    encode_failed,
    encode_poison,
    encode_processed,
    size_text,
)
from sfu_wrapper.wire.job_results import parse_outcome
from sfu_wrapper.wire.validation import OUTCOME

PROCESSED = Processed(
    room=RoomId("room"),
    uuid=RoomUuid("uuid"),
    segment=SegmentNo(2),
    output="merged",
    started_ms=1_590_392_548_633,
    completed_ms=1_590_392_563_826,
    encrypted=False,
    files=(FinishedFile("/out/rec.webm", FileKind.MERGED, 123_456, "00ff"),),
    processing_started_ms=1_590_392_570_000,
    processing_completed_ms=1_590_392_574_500,
    attempts=1,
    warnings=("a.mjr holds no frame",),
    sync=(
        TrackSync(
            "a.mjr",
            Stream.CAMERA,
            UserId("alice"),
            39,
            7266,
            offset_ms=12,
            drift_ppm=-18.25,
            packets_received=897,
            packets_lost=3,
            gaps=1,
            frames_repeated=74,
            media_ms=7400,
            used_ms=7266,
        ),
    ),
    missing=(
        MissingMedia(
            "b.mjr",
            Stream.SCREEN,
            UserId("bob"),
            1_590_392_550_000,
            1_590_392_560_000,
            "ENCRYPTED_MJR",
            "the media is encrypted end to end",
        ),
    ),
)
FAILED = Failed(
    room=RoomId("room"),
    uuid=RoomUuid("uuid"),
    segment=SegmentNo(2),
    stage="preprocess",
    code="UNREADABLE_MJR",
    detail="no .mjr",
    file="a.mjr",
    attempts=3,
    kept=("/out/.work/a",),
)


def test_a_processed_message_has_the_agreed_shape() -> None:
    assert json.loads(encode_processed(PROCESSED)) == {
        "conferenceId": "room",
        "uuid": "uuid",
        "segment": 2,
        "status": "processed",
        "output": "merged",
        "startTime": "2020-05-25T07:42:28.633Z",
        "stopTime": "2020-05-25T07:42:43.826Z",
        "duration": 15.193,
        "encrypted": False,
        "files": [
            {
                "filename": "/out/rec.webm",
                "kind": "merged",
                "bytes": 123456,
                "size": "0.123456MB",
                "sha256": "00ff",
            }
        ],
        "processing": {
            "started": "2020-05-25T07:42:50.000Z",
            "completed": "2020-05-25T07:42:54.500Z",
            "attempts": 1,
        },
        "warnings": ["a.mjr holds no frame"],
        "sync": [
            {
                "filename": "a.mjr",
                "userID": "alice",
                "stream": "sfuvideo",
                "startMs": 39,
                "lengthMs": 7266,
                "offsetMs": 12,
                "driftPpm": -18.2,
                "packetsReceived": 897,
                "packetsLost": 3,
                "lossPercent": 0.33,
                "gaps": 1,
                "framesRepeated": 74,
                "mediaMs": 7400,
                "usedMs": 7266,
            }
        ],
        "missing": [
            {
                "filename": "b.mjr",
                "userID": "bob",
                "stream": "sfuscreen",
                "startTime": "2020-05-25T07:42:30.000Z",
                "stopTime": "2020-05-25T07:42:40.000Z",
                "code": "ENCRYPTED_MJR",
                "reason": "the media is encrypted end to end",
            }
        ],
    }


def test_a_failed_message_has_the_agreed_shape() -> None:
    assert json.loads(encode_failed(FAILED)) == {
        "conferenceId": "room",
        "uuid": "uuid",
        "segment": 2,
        "status": "failed",
        "error": {
            "stage": "preprocess",
            "code": "UNREADABLE_MJR",
            "fault": "recording",
            "message": "no .mjr",
            "file": "a.mjr",
        },
        "attempts": 3,
        "temporaryFilesKept": ["/out/.work/a"],
    }


def test_a_failed_message_holds_the_event_that_no_file_holds() -> None:
    told = json.loads(encode_failed(replace(FAILED, event=b'{"conferenceId":"room"}')))

    assert told["raw"] == '{"conferenceId":"room"}'


@pytest.mark.parametrize("user", [UserId("alice"), None])
def test_a_processed_message_reads_back(user: UserId | None) -> None:
    result = replace(PROCESSED, sync=(TrackSync("a.mjr", Stream.SCREEN, user, 1, 2, -3),))

    assert parse_outcome(encode_processed(result)) == result


def test_a_failed_message_reads_back() -> None:
    assert parse_outcome(encode_failed(FAILED)) == FAILED


@pytest.mark.parametrize("body", [b"", b"[]", b'{"status": "processed"}', b'{"status": "lost"}'])
def test_what_is_no_outcome_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse_outcome(body)


def test_a_poison_message_is_told_with_its_hash_and_its_beginning() -> None:
    body = b"\xffjunk" + b"x" * MAX_RAW_BYTES

    message_id, message = encode_poison(body, "no JSON")

    told = json.loads(message)
    assert message_id == hashlib.sha256(body).hexdigest()
    assert (told["uuid"], told["segment"]) == (None, None)
    assert told["error"]["message"] == "no JSON"
    assert told["error"]["fault"] == "sender"
    assert told["raw"] == body[:MAX_RAW_BYTES].decode(errors="replace")


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0.000000MB"), (7, "0.000007MB"), (12_345_678, "12.345678MB")]
)
def test_sizes_are_millions_of_bytes(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("written", "field"),
    [
        (encode_processed(PROCESSED), "files"),
        (encode_processed(PROCESSED), "sync"),
        (encode_processed(PROCESSED), "warnings"),
        (encode_failed(FAILED), "temporaryFilesKept"),
    ],
)
def test_lists_of_an_outcome_are_bounded_before_their_items_are_looked_at(
    written: bytes, field: str
) -> None:
    with pytest.raises(Malformed, match="must have at most"):
        parse_outcome(json.dumps(json.loads(written) | {field: [{}] * 40_001}).encode())


def test_of_a_list_of_wrong_items_the_first_is_named() -> None:
    message = json.loads(encode_processed(PROCESSED)) | {"files": [{}] * 20_000}
    with pytest.raises(Malformed) as refused:
        parse_outcome(json.dumps(message).encode())

    cause = refused.value.__cause__
    assert isinstance(cause, ValidationError)
    assert cause.error_count() <= 4  # the fields of one file
    assert refused.value.context == {"path": "processed.files.0.filename"}


def test_an_outcome_that_is_too_long_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orjson, "loads", lambda _: pytest.fail("it was parsed"))
    assert OUTCOME.size is not None

    with pytest.raises(Malformed, match="bytes"):
        parse_outcome(b" " * (OUTCOME.size + 1))


def test_a_long_message_of_a_failure_is_cut() -> None:
    read = parse_outcome(encode_failed(replace(FAILED, detail="x" * 50_000)))

    assert isinstance(read, Failed)
    assert read.detail == "x" * 4096
