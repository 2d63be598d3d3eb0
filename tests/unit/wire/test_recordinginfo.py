"""``recordingInfo``: the product's own example, ours, and what is neither."""

import json
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.core.captures import TOO_MANY_FILES
from sfu_wrapper.model.errors import Malformed
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
from sfu_wrapper.wire.recording_info import encode_event, parse_event
from sfu_wrapper.wire.strict_json import parse_iso
from sfu_wrapper.wire.validation import EVENT, MAX_FILES, MAX_STAYS
from tests.helpers.work import lines_run

# The product text's example, with the closing brace that it lacks.
PRODUCT_EXAMPLE = b"""{
"conferenceId":"conferenceId",
"recordingInfo":
{
"uuid":"conferenceUuid",
"completed":"2020-05-25T07:42:43.826Z",
"video":
{
"video1": {"sfuvideo": {"1590392556275": {
"filename":"/test/test-video-1.mjr",
"stopTime":"2020-05-25T07:42:43.826Z",
"startTime":"2020-05-25T07:42:36.277Z"}}},
"video2": {"sfuvideo": {"1590392549123": {
"filename":"/test/test-video-2.mjr",
"stopTime":"2020-05-25T07:42:43.756Z",
"startTime":"2020-05-25T07:42:29.126Z"}}}
},
"audio":
{
"asterisk": {"sipcall": {"1590392548633": {
"filename":"audio.wav",
"stopTime":"2020-05-25T07:42:43.826Z",
"startTime":"2020-05-25T07:42:28.633Z"}}}
}
}
}"""

OURS: dict[str, Any] = {
    "conferenceId": "conferenceId",
    "recordingInfo": {
        "uuid": "conferenceUuid",
        "confbridgeId": "confbridgeId",
        "segment": 1,
        "owner": "alice@example",
        "domain": "example",
        "type": "all",
        "incomplete": False,
        "missing": [],
        "started": "2020-05-25T07:42:28.633Z",
        "completed": "2020-05-25T07:42:43.826Z",
        "video": {
            "5dde2b2fbd53a5c690": {
                "sfuvideo": {
                    "1590392549126": {
                        "filename": "/conferenceUuid/janus-conferenceUuid-"
                        "5dde2b2fbd53a5c690-sfuvideo-1590392549126-video.mjr",
                        "startTime": "2020-05-25T07:42:29.126Z",
                        "stopTime": "2020-05-25T07:42:43.756Z",
                    }
                }
            }
        },
        "audio": {
            "asterisk": {
                "sipcall": {
                    "1590392548633": {
                        "filename": "recording-confbridgeId-1.wav",
                        "startTime": "2020-05-25T07:42:28.633Z",
                        "stopTime": "2020-05-25T07:42:43.826Z",
                        "mixer": "asterisk",
                        "delayMs": 0,
                    }
                }
            }
        },
        "participants": {
            "5dde2b2fbd53a5c690": [
                {"joined": "2020-05-25T07:42:28.633Z", "left": "2020-05-25T07:42:43.756Z"}
            ]
        },
    },
}


def test_the_products_example_is_read_as_it_stands() -> None:
    info = parse_event(PRODUCT_EXAMPLE)

    assert (info.room, info.uuid, info.confbridge_id) == (
        "conferenceId",
        "conferenceUuid",
        "conferenceId",
    )
    assert info.segment is None
    assert info.started_ms == parse_iso("2020-05-25T07:42:28.633Z")
    assert info.completed_ms == parse_iso("2020-05-25T07:42:43.826Z")
    assert [(file.user, file.filename) for file in info.video] == [
        ("video2", "/test/test-video-2.mjr"),
        ("video1", "/test/test-video-1.mjr"),
    ]
    assert info.audio == (
        RawFile(
            filename="audio.wav",
            stream=Stream.AUDIO,
            started_ms=parse_iso("2020-05-25T07:42:28.633Z"),
            stopped_ms=parse_iso("2020-05-25T07:42:43.826Z"),
            mixer="asterisk",
        ),
    )


def test_our_event_reads_and_writes_as_the_same_json() -> None:
    info = parse_event(json.dumps(OURS).encode())

    assert info.type is RecordingType.ALL
    assert json.loads(encode_event(info)) == OURS


def test_the_numeric_key_only_identifies() -> None:
    info = parse_event(PRODUCT_EXAMPLE)

    assert info.video[0].started_ms == 1_590_392_549_126  # and not …123, the key


def test_two_files_that_start_in_one_millisecond_are_both_told() -> None:
    info = segment(video=(camera("a.mjr", 5), camera("b.mjr", 5)))

    assert parse_event(encode_event(info)).video == info.video


def test_many_files_of_one_millisecond_cost_no_walk_over_all_of_them() -> None:
    def lines(count: int) -> int:
        files = tuple(camera(f"{number}.mjr", 1_000) for number in range(count))
        mix = RawFile("mix.wav", Stream.AUDIO, 1_000)
        info = segment(video=files, audio=(mix,) * count)
        return lines_run(lambda: encode_event(info))

    assert lines(2_000) < 15 * lines(200)


def test_a_file_that_surely_holds_nothing_is_not_told() -> None:
    silent = RawFile("mix.wav", Stream.AUDIO, 0, 9_000, holds_media=False)

    still = RawFile("a.mjr", Stream.CAMERA, 0, 9_000, user=UserId("alice"), holds_media=False)

    told = json.loads(encode_event(segment(audio=(silent,), video=(still,))))

    assert told["recordingInfo"]["audio"] == {}
    assert told["recordingInfo"]["video"] == {}


def test_a_sender_that_names_no_owner_type_or_number_writes_none() -> None:
    info = parse_event(PRODUCT_EXAMPLE)

    assert parse_event(encode_event(info)) == info
    assert "segment" not in json.loads(encode_event(info))["recordingInfo"]


def test_a_file_still_open_counts_until_the_segment_ends() -> None:
    open_file = RawFile("a.mjr", Stream.CAMERA, 5, None, user=UserId("alice"))

    (read,) = parse_event(encode_event(segment(video=(open_file,)))).video

    assert read.stopped_ms == 10_000


def test_an_incomplete_segment_says_why() -> None:
    info = segment(incomplete=True, reason="mixer lost", missing=("audio",))

    assert parse_event(encode_event(info)) == info


def test_an_event_without_files_started_when_it_completed() -> None:
    body = {"conferenceId": "c", "recordingInfo": {"uuid": "u", "completed": AT}}

    info = parse_event(json.dumps(body).encode())

    assert info.started_ms == info.completed_ms == parse_iso(AT)


def test_a_segment_may_last_for_a_week() -> None:
    week = {**OURS["recordingInfo"], "started": "2020-05-18T07:42:43.826Z"}

    info = parse_event(json.dumps({**OURS, "recordingInfo": week}).encode())

    assert info.completed_ms - info.started_ms == 7 * 24 * 3600 * 1000


def test_a_conference_is_called_by_no_more_than_a_broker_takes() -> None:
    named = {**OURS, "conferenceId": "c" * 200}

    assert parse_event(json.dumps(named).encode()).room == "c" * 200
    with pytest.raises(Malformed, match=r"conferenceId: .*longer than 200 bytes"):
        parse_event(json.dumps({**OURS, "conferenceId": "c" * 201}).encode())


def test_fields_that_we_do_not_know_are_ignored() -> None:
    body = {**OURS, "colour": "red", "recordingInfo": {**OURS["recordingInfo"], "weather": 1}}

    assert parse_event(json.dumps(body).encode()) == parse_event(json.dumps(OURS).encode())


AT = "2020-05-25T07:42:43.826Z"
FILE = {"filename": "a.mjr", "startTime": AT, "stopTime": AT}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"uuid": ""}, "recordingInfo.uuid"),
        ({"completed": "noon"}, "recordingInfo.completed"),
        ({"completed": 5.5}, "recordingInfo.completed"),
        ({"completed": 253_402_300_800_000}, "recordingInfo.completed"),  # the year 10000
        ({"started": -1}, "recordingInfo.started"),
        ({"uuid": "é" * 101}, "recordingInfo.uuid"),  # more than 200 bytes
        ({"confbridgeId": "c" * 201}, "recordingInfo.confbridgeId"),
        (
            {"participants": {"a": [{"joined": 10**17, "left": AT}]}},
            "recordingInfo.participants.a.0.joined",
        ),
        ({"completed": "2020-05-25T07:42:28.632Z"}, "completed"),
        ({"segment": 0}, "recordingInfo.segment"),
        ({"segment": "1"}, "recordingInfo.segment"),
        ({"type": "everything"}, "recordingInfo.type"),
        ({"type": 7}, "recordingInfo.type"),
        ({"video": []}, "recordingInfo.video"),
        ({"video": 5}, "recordingInfo.video"),
        ({"video": {"a": "b"}}, "recordingInfo.video.a"),
        ({"video": {"a": {"sfuhologram": {"1": FILE}}}}, "recordingInfo.video.a.sfuhologram.[key]"),
        (
            {"audio": {"asterisk": {"sipcall": {"1": {**FILE, "delayMs": 1e9}}}}},
            "recordingInfo.audio.asterisk.sipcall.1.delayMs",
        ),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], path: str) -> None:
    body = {**OURS, "recordingInfo": {**OURS["recordingInfo"], **change}}

    with pytest.raises(Malformed) as caught:
        parse_event(json.dumps(body).encode())

    assert caught.value.context["path"] == path


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"null", b'{"conferenceId": "c"', b"{}"])
def test_what_is_no_recording_info_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse_event(body)


def camera(name: str, start_ms: int) -> RawFile:
    return RawFile(name, Stream.CAMERA, start_ms, start_ms + 1, user=UserId("alice"))


def segment(
    *,
    video: tuple[RawFile, ...] = (),
    audio: tuple[RawFile, ...] = (),
    incomplete: bool = False,
    reason: str | None = None,
    missing: tuple[str, ...] = (),
    presences: tuple[Presence, ...] = (),
) -> SegmentInfo:
    return SegmentInfo(
        room=RoomId("room"),
        uuid=RoomUuid("uuid"),
        confbridge_id=ConfbridgeId("bridge"),
        segment=SegmentNo(2),
        started_ms=0,
        completed_ms=10_000,
        incomplete=incomplete,
        reason=reason,
        missing=missing,
        video=video,
        audio=audio,
        presences=presences,
    )


names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=5)
times = st.integers(0, 10_000)
streams = st.sampled_from([Stream.CAMERA, Stream.SCREEN])
videos = st.builds(
    RawFile, filename=names, stream=streams, started_ms=times, stopped_ms=times, user=names
)
mixes = st.builds(
    RawFile,
    filename=names,
    stream=st.just(Stream.AUDIO),
    started_ms=times,
    stopped_ms=times,
    mixer=names,
    delay_ms=st.integers(-200, 200),
)
stays = st.builds(Presence, user=names, joined_ms=times, left_ms=times)


@given(st.lists(videos, max_size=6), st.lists(mixes, max_size=3), st.lists(stays, max_size=4))
def test_what_is_written_reads_back(
    video: list[RawFile], audio: list[RawFile], presences: list[Presence]
) -> None:
    info = segment(video=tuple(video), audio=tuple(audio), presences=tuple(presences))

    read = parse_event(encode_event(info))

    assert sorted(read.video, key=repr) == sorted(info.video, key=repr)
    assert sorted(read.audio, key=repr) == sorted(info.audio, key=repr)
    assert sorted(read.presences, key=repr) == sorted(info.presences, key=repr)


def changed(**change: object) -> bytes:
    return json.dumps({**OURS, "recordingInfo": {**OURS["recordingInfo"], **change}}).encode()


WRONG: dict[str, object] = {
    str(number): {} for number in range(MAX_FILES + 1)
}  # no file has a name


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"video": {"a": {"sfuvideo": WRONG}}}, "recordingInfo.video"),
        ({"audio": {"asterisk": {"sipcall": WRONG}}}, "recordingInfo.audio"),
        ({"participants": {"a": [{}] * (MAX_STAYS + 1)}}, "recordingInfo.participants"),
        (
            {"participants": {str(user): [{}] * 10 for user in range(MAX_STAYS // 10 + 1)}},
            "recordingInfo.participants",
        ),
        ({"missing": [1] * (MAX_FILES + 1)}, "recordingInfo.missing"),
    ],
)
def test_too_many_files_are_counted_before_any_is_looked_at(
    change: dict[str, object], path: str
) -> None:
    with pytest.raises(Malformed, match="must have at most") as caught:
        parse_event(changed(**change))

    assert caught.value.context["path"] == path


def test_an_event_that_is_too_long_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orjson, "loads", lambda _: pytest.fail("it was parsed"))
    assert EVENT.size is not None

    with pytest.raises(Malformed, match=f"more than {EVENT.size} bytes"):
        parse_event(b" " * (EVENT.size + 1))
    with pytest.raises(Malformed, match="brackets"):
        parse_event(b"[" * (EVENT.brackets + 1))


@pytest.mark.parametrize(
    "change",
    [
        {"owner": "o" * 257},
        {"reason": "r" * 257},
        {"video": {"u" * 257: {}}},
        {"audio": {"g": {"c" * 257: {}}}},
        {"video": {"a": {"sfuvideo": {"1": {**FILE, "filename": "f" * 4097}}}}},
        {"video": {"u" * 5000: {"sfuvideo": {"1": {}}}}},
    ],
)
def test_long_texts_are_refused_and_not_repeated(change: dict[str, object]) -> None:
    with pytest.raises(Malformed) as caught:
        parse_event(changed(**change))

    assert len(caught.value.detail) < 400
    assert len(str(caught.value.context["path"])) <= 256


def test_of_more_files_than_a_reader_accepts_the_shortest_are_left_out() -> None:
    files = tuple(
        RawFile(f"{n}.mjr", Stream.CAMERA, n % 500, n % 500 + n, user=UserId(str(n % 300)))
        for n in range(MAX_FILES + 5)
    )
    info = segment(video=files, presences=(Presence(UserId("a"), 0, 10),))

    read = parse_event(encode_event(info))

    assert len(read.video) == MAX_FILES
    assert {file.filename for file in read.video} == {f.filename for f in files[5:]}
    assert (read.incomplete, read.reason) == (True, TOO_MANY_FILES)
    assert read.presences == info.presences


def test_of_too_many_stays_the_shortest_are_left_out_and_nothing_is_incomplete() -> None:
    stays = tuple(Presence(UserId("a"), 0, number) for number in range(MAX_STAYS + 1))

    read = parse_event(encode_event(replace(segment(), presences=stays)))

    assert read.presences == stays[1:]
    assert not read.incomplete
