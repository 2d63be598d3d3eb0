"""``recordingInfo`` between JSON and ``SegmentInfo``, and what the controller publishes.

Reading accepts missing fields, since older senders do not know our additions, and is strict about
present ones: a value of the wrong type makes the whole message Malformed. File names pass through
unchanged; the code that opens a file resolves the name below its folder.

``encode_announcement`` returns routing key, message id and body of each message of the controller
(events.md, "recordingInfo"). The message id depends on the content alone, so that consumers can
drop a message that is published again.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from typing import Annotated, Any, Final, Literal, TypeVar, assert_never

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from sfu_wrapper.core.captures import TOO_MANY_FILES
from sfu_wrapper.core.effects import (
    Announcement,
    RecordingFailed,
    RecordingStarted,
    RecordingStopped,
    RoomEnded,
)
from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.identity import (
    ConfbridgeId,
    DomainId,
    RecordingType,
    RoomId,
    RoomUuid,
    SegmentNo,
    UserId,
)
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import Presence, SegmentInfo
from sfu_wrapper.wire.answers import note_payload
from sfu_wrapper.wire.strict_json import LAST_MS, dump, iso, parse_iso, parse_strict
from sfu_wrapper.wire.validation import (
    EVENT,
    MAX_FILES,
    MAX_NAME,
    MAX_STAYS,
    MAX_TEXT,
    at_most,
    first_error,
    leaves_at_most,
)

# Fixed keys of the product's format around the mix; ``mixer`` inside names the actual mixer.
_AUDIO_GROUP, _AUDIO_CALL = "asterisk", "sipcall"
_MAX_ID_BYTES = 200  # AMQP allows 255 for a message id, which also holds other parts
_MAX_DELAY_MS = 60_000  # no mixer delays audio for longer: a larger value is a fault of the sender


def _time(value: object) -> object:
    return parse_iso(value) if isinstance(value, str) else value


def _type_name(value: object) -> object:
    return RecordingType(value) if isinstance(value, str) else value


def _short(text: str) -> str:
    if len(text.encode()) > _MAX_ID_BYTES:
        raise ValueError(f"longer than {_MAX_ID_BYTES} bytes")
    return text


Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
Name = Annotated[str, Field(max_length=MAX_NAME)]
Id = Annotated[Text, AfterValidator(_short)]
EpochMs = Annotated[
    int,
    BeforeValidator(_time),
    Field(ge=0, le=LAST_MS),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
VideoStream = Literal["sfuvideo", "sfuscreen"]


_T = TypeVar("_T")
_FEW_FILES = leaves_at_most(MAX_FILES, depth=3)
_FEW_STAYS = leaves_at_most(MAX_STAYS, depth=2)


class _Wire(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", alias_generator=to_camel)


class _File(_Wire):
    """A raw file below ``recordings_path`` or ``audio_path``; ``delayMs``: how much a mix lags."""

    filename: Text
    start_time: EpochMs
    stop_time: EpochMs | None = None
    mixer: Name | None = None
    delay_ms: Annotated[int | float, Field(ge=-_MAX_DELAY_MS, le=_MAX_DELAY_MS)] = 0


class _Stay(_Wire):
    """A time span in the room during the segment."""

    joined: EpochMs
    left: EpochMs


class _Info(_Wire):
    """A segment: its times, and its raw files by user, stream and key."""

    uuid: Id
    completed: EpochMs
    confbridgeid: Annotated[Id | None, Field(alias="confbridgeId")] = None
    segment: Annotated[int, Field(ge=1)] | None = None
    owner: Name | None = None
    domain: Name | None = None
    type: Annotated[RecordingType | None, BeforeValidator(_type_name)] = None
    incomplete: bool = False
    reason: Name | None = None
    missing: Annotated[list[Name], Field(fail_fast=True), at_most(MAX_FILES)] = []
    started: EpochMs | None = None
    video: Annotated[dict[Name, dict[VideoStream, dict[Name, _File]]], _FEW_FILES] = {}
    audio: Annotated[dict[Name, dict[Name, dict[Name, _File]]], _FEW_FILES] = {}
    participants: Annotated[dict[Name, list[_Stay]], _FEW_STAYS] = {}


class _Event(_Wire):
    """A segment is over and can be processed."""

    conference_id: Id
    recording_info: _Info


def parse_event(body: bytes) -> SegmentInfo:
    """Read one message of ``processing_queue``.

    Accepts the product's own example: without a number, without ``confbridgeId`` (default: the
    conference's id), without ``started`` (default: the earliest start of a file).

    Raises:
        Malformed: not a recordingInfo; the context's ``path`` names the first wrong field.
    """
    try:
        event = _Event.model_validate(parse_strict(body, EVENT))
    except ValidationError as exc:
        path, first = first_error(exc)
        raise Malformed(f"not a recordingInfo: {path}: {first['msg']}", path=path) from exc
    return _segment_info(event)


def _segment_info(event: _Event) -> SegmentInfo:
    info = event.recording_info
    video = tuple(sorted(_video(info), key=_order))
    audio = tuple(sorted(_audio(info), key=_order))
    started = info.started
    if started is None:
        started = min((file.started_ms for file in video + audio), default=info.completed)
    if info.completed < started:
        raise Malformed("not a recordingInfo: completed is before started", path="completed")
    return SegmentInfo(
        room=RoomId(event.conference_id),
        uuid=RoomUuid(info.uuid),
        confbridge_id=ConfbridgeId(info.confbridgeid or event.conference_id),
        segment=SegmentNo(info.segment) if info.segment is not None else None,
        started_ms=started,
        completed_ms=info.completed,
        owner=UserId(info.owner) if info.owner is not None else None,
        domain=DomainId(info.domain) if info.domain is not None else None,
        type=info.type,
        incomplete=info.incomplete,
        reason=info.reason,
        missing=tuple(info.missing),
        video=video,
        audio=audio,
        presences=tuple(
            Presence(UserId(user), stay.joined, stay.left)
            for user, stays in info.participants.items()
            for stay in stays
        ),
    )


def _order(file: RawFile) -> tuple[int, str]:
    return file.started_ms, file.filename


def _video(info: _Info) -> Iterator[RawFile]:
    for user, streams in info.video.items():
        for stream, files in streams.items():
            for file in files.values():
                yield RawFile(
                    filename=file.filename,
                    stream=Stream(stream),
                    started_ms=file.start_time,
                    stopped_ms=file.stop_time,
                    user=UserId(user),
                )


def _audio(info: _Info) -> Iterator[RawFile]:
    for group, calls in info.audio.items():
        for files in calls.values():
            for file in files.values():
                yield RawFile(
                    filename=file.filename,
                    stream=Stream.AUDIO,
                    started_ms=file.start_time,
                    stopped_ms=file.stop_time,
                    mixer=file.mixer or group,
                    delay_ms=round(file.delay_ms),
                )


def encode_event(info: SegmentInfo) -> bytes:
    """Return the message that the controller publishes when a segment has stopped.

    Leaves out files that cannot hold media; a file that is still open ends with the segment. If
    there are more files or presences than a reader accepts, it leaves out the shortest and marks
    the segment as incomplete, so that the worker can process the rest.
    """
    return dump({"conferenceId": info.room, "recordingInfo": _info_object(_readable(info))})


def _readable(info: SegmentInfo) -> SegmentInfo:
    video = [file for file in info.video if file.holds_media and file.user is not None]
    audio = [file for file in info.audio if file.holds_media]
    fits = len(video) <= MAX_FILES and len(audio) <= MAX_FILES
    if fits and len(info.presences) <= MAX_STAYS:
        return info

    def length_ms(file: RawFile) -> int:
        stopped_ms = info.completed_ms if file.stopped_ms is None else file.stopped_ms
        return stopped_ms - file.started_ms

    return replace(
        info,
        incomplete=info.incomplete or not fits,
        reason=info.reason or (None if fits else TOO_MANY_FILES),
        video=tuple(_longest(video, MAX_FILES, length_ms)),
        audio=tuple(_longest(audio, MAX_FILES, length_ms)),
        presences=tuple(_longest(info.presences, MAX_STAYS, lambda s: s.left_ms - s.joined_ms)),
    )


def _longest(items: Sequence[_T], most: int, length_ms: Callable[[_T], int]) -> list[_T]:
    """Return the ``most`` longest items, in their order."""
    kept = nlargest(most, range(len(items)), key=lambda number: length_ms(items[number]))
    return [items[number] for number in sorted(kept)]


def _info_object(info: SegmentInfo) -> dict[str, Any]:
    head: dict[str, Any] = {"uuid": info.uuid, "confbridgeId": info.confbridge_id}
    if info.segment is not None:
        head["segment"] = info.segment
    if info.owner is not None:
        head["owner"] = info.owner
    if info.domain is not None:
        head["domain"] = info.domain
    if info.type is not None:
        head["type"] = info.type.value
    head["incomplete"] = info.incomplete
    if info.reason is not None:
        head["reason"] = info.reason
    head["missing"] = list(info.missing)
    head["started"] = iso(info.started_ms)
    head["completed"] = iso(info.completed_ms)
    head["video"] = _video_object(info)
    head["audio"] = _audio_object(info)
    head["participants"] = _participants_object(info)
    return head


def _video_object(info: SegmentInfo) -> dict[str, Any]:
    users: dict[str, dict[str, dict[str, Any]]] = {}
    taken: defaultdict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for file in info.video:
        if file.holds_media and file.user is not None:
            files = users.setdefault(file.user, {}).setdefault(file.stream.value, {})
            key = _free_key(taken[file.user, file.stream.value], file.started_ms)
            files[key] = _file_object(file, info)
    return users


def _audio_object(info: SegmentInfo) -> dict[str, Any]:
    files: dict[str, Any] = {}
    taken: dict[int, int] = {}
    for file in info.audio:
        if file.holds_media:
            extra = {"mixer": file.mixer or _AUDIO_GROUP, "delayMs": file.delay_ms}
            files[_free_key(taken, file.started_ms)] = _file_object(file, info) | extra
    return {_AUDIO_GROUP: {_AUDIO_CALL: files}} if files else {}


def _file_object(file: RawFile, info: SegmentInfo) -> dict[str, Any]:
    stopped = info.completed_ms if file.stopped_ms is None else file.stopped_ms
    return {
        "filename": file.filename,
        "startTime": iso(file.started_ms),
        "stopTime": iso(stopped),
    }


def _free_key(taken: dict[int, int], start_ms: int) -> str:
    """Return the start as a key; a second file that started in the same ms gets the next number.

    Args:
        taken: maps each used number to a higher one below which none is free; updated here, so
            that many files of one ms do not cost a walk over all of them for each.
        start_ms: epoch ms.
    """
    free, passed = start_ms, []
    while free in taken:
        passed.append(free)
        free = taken[free]
    for number in (*passed, free):
        taken[number] = free + 1
    return str(free)


def _participants_object(info: SegmentInfo) -> dict[str, Any]:
    users: dict[str, list[dict[str, str]]] = {}
    written: dict[
        tuple[int, int], dict[str, str]
    ] = {}  # most participants stay for the whole segment
    for stay in info.presences:
        times = stay.joined_ms, stay.left_ms
        shown = written.get(times)
        if shown is None:
            shown = written[times] = {"joined": iso(stay.joined_ms), "left": iso(stay.left_ms)}
        users.setdefault(stay.user, []).append(shown)
    return users


RECORDING_INFO = "recordingInfo"
SCHEMAS: Final[dict[str, type[BaseModel]]] = {RECORDING_INFO: _Event}
"""Model of the message by routing key, for asyncapi.md."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A message to be published.

    Attributes:
        routing_key: name of the message.
        message_id: the same each time the message is published.
        correlation_id: the room id.
        body: UTF-8 JSON.
        mandatory: the broker must have a queue for it.
    """

    routing_key: str
    message_id: str
    correlation_id: str
    body: bytes
    mandatory: bool


def encode_announcement(announcement: Announcement) -> Announced:
    """Return the message of an announcement; the same announcement gets the same message id."""
    match announcement:
        case SegmentInfo(room=room, uuid=uuid, segment=segment):
            message_id = f"{uuid}:{segment}"
            return Announced(RECORDING_INFO, message_id, room, encode_event(announcement), True)
        case RoomEnded(uuid=uuid):
            return _note(announcement, f"{uuid}:roomEnded")
        case RecordingStarted() | RecordingStopped() | RecordingFailed():
            name, _ = note_payload(announcement)
            return _note(announcement, f"{announcement.uuid}:{announcement.segment.number}:{name}")
    assert_never(announcement)


def _note(
    note: RecordingStarted | RecordingStopped | RecordingFailed | RoomEnded, message_id: str
) -> Announced:
    """Return the event that clients get, with the room's uuid, which is never used again."""
    name, payload = note_payload(note)
    return Announced(name, message_id, note.room, dump({"uuid": note.uuid} | payload), False)
