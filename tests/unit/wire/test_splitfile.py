"""The JSON file of a split recording, against the product text's example."""

import json
from dataclasses import replace

from sfu_wrapper.model.identity import (
    ConfbridgeId,
    RecordingType,
    RoomId,
    RoomUuid,
    SegmentNo,
    UserId,
)
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import Presence, SegmentInfo
from sfu_wrapper.wire.split_file import SplitPart, encode_split
from sfu_wrapper.wire.strict_json import parse_iso

START, STOP = parse_iso("2020-05-25T07:42:28.633Z"), parse_iso("2020-05-25T07:42:43.826Z")
ALICE = UserId("5dde2b2fbd53a5c690")
INFO = SegmentInfo(
    room=RoomId("roomId"),
    uuid=RoomUuid("61408347"),
    confbridge_id=ConfbridgeId("c48eb251"),
    segment=SegmentNo(1),
    started_ms=START,
    completed_ms=STOP,
    type=RecordingType.ALL,
    presences=(Presence(ALICE, START, STOP), Presence(ALICE, STOP, STOP)),
)
VIDEO = SplitPart("/out/61408347-c48eb251/a.webm", 123_412, START + 493, STOP - 70, ALICE)
AUDIO = SplitPart("/out/61408347-c48eb251/a.wav", 234_124, START, STOP)


def test_the_file_has_the_products_fields_and_ours() -> None:
    assert json.loads(encode_split(INFO, [VIDEO], AUDIO, ())) == {
        "uuid": "61408347",
        "startTime": "2020-05-25T07:42:28.633Z",
        "stopTime": "2020-05-25T07:42:43.826Z",
        "shouldRecordAudio": True,
        "shouldRecordVideo": True,
        "videos": [
            {
                "startTime": "2020-05-25T07:42:29.126Z",
                "stopTime": "2020-05-25T07:42:43.756Z",
                "filename": "/out/61408347-c48eb251/a.webm",
                "size": "0.123412MB",
                "userID": "5dde2b2fbd53a5c690",
            }
        ],
        "audio": {
            "filename": "/out/61408347-c48eb251/a.wav",
            "startTime": "2020-05-25T07:42:28.633Z",
            "stopTime": "2020-05-25T07:42:43.826Z",
            "size": "0.234124MB",
        },
        "segment": 1,
        "conferenceId": "roomId",
        "participants": {
            "5dde2b2fbd53a5c690": [
                {"joined": "2020-05-25T07:42:28.633Z", "left": "2020-05-25T07:42:43.826Z"},
                {"joined": "2020-05-25T07:42:43.826Z", "left": "2020-05-25T07:42:43.826Z"},
            ]
        },
        "sync": [],
    }


def test_what_was_not_to_be_recorded_is_told() -> None:
    told = json.loads(encode_split(replace(INFO, type=RecordingType.AUDIO), [], AUDIO, ()))

    assert (told["shouldRecordAudio"], told["shouldRecordVideo"]) == (True, False)
    assert told["videos"] == []


def test_an_older_senders_files_tell_what_was_to_be_recorded() -> None:
    camera = RawFile("a.mjr", Stream.CAMERA, START, user=ALICE)
    older = replace(INFO, type=None, segment=None, video=(camera,))

    told = json.loads(encode_split(older, [VIDEO], None, ()))

    assert (told["shouldRecordAudio"], told["shouldRecordVideo"]) == (False, True)
    assert told["audio"] is None
    assert told["segment"] == 1


def test_a_video_that_is_turned_says_by_how_much_and_since_when() -> None:
    turning = replace(VIDEO, rotation=90, turns=((START + 493, 0), (START + 2_000, 90)))
    whole, upright = replace(VIDEO, rotation=270), replace(turning, rotation=0)
    videos = json.loads(encode_split(INFO, [turning, whole, upright], None, ()))["videos"]

    assert [video["rotation"] for video in videos] == [90, 270, 0]
    assert videos[0]["turns"] == [
        {"time": "2020-05-25T07:42:29.126Z", "rotation": 0},
        {"time": "2020-05-25T07:42:30.633Z", "rotation": 90},
    ]
    assert "turns" not in videos[1]
