"""JSON of responses and events: pure functions from core values to payloads.

Enters: answers and notes of the room machine, and news of the recording service about a segment.
Leaves: the payload that ``signaling.ok_response`` and ``signaling.event`` put into an envelope
(protocol.md, "Endpoints", "Events"). Members of a room see neither file names nor faults
(``processing_json``); those who watch recordings see both (``result_json``).
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import assert_never

from sfu_wrapper.core.effects import (
    Answer,
    Created,
    Ended,
    Hangup,
    Invited,
    Joined,
    Left,
    MediaUpdated,
    Note,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantMedia,
    PauseChanged,
    RecordingChanged,
    RecordingFailed,
    RecordingNote,
    RecordingStarted,
    RecordingStopped,
    RecordingUnattended,
    Refusal,
    RoomEnded,
    RoomEstablished,
    Started,
    Stopped,
)
from sfu_wrapper.core.lifecycle import Phase
from sfu_wrapper.core.people import Participant
from sfu_wrapper.core.policy import PolicySettings, asks
from sfu_wrapper.core.publisher_ids import MediaPlace
from sfu_wrapper.core.room import Outcome, Room, Segment
from sfu_wrapper.core.segment_report import recording_status
from sfu_wrapper.model.identity import OwnerPermissions, RoomId, SegmentNo, shown_user
from sfu_wrapper.model.media import Media
from sfu_wrapper.model.segment import Failed, FinishedFile, JobProgress, News, Processed
from sfu_wrapper.wire.strict_json import iso

Json = dict[str, object]


def processing_json(news: News) -> Json:
    """Return the progress of a segment for members of its room, without files and faults."""
    match news:
        case JobProgress(stage=stage, percent=percent, eta_s=eta_s):
            shown: Json = {"state": "processing", "stage": stage, "percent": percent}
            return shown if eta_s is None else shown | {"etaSeconds": eta_s}
        case Processed():
            return {"state": "processed"}
        case Failed():
            return {"state": "failed"}
    assert_never(news)


def result_json(news: News) -> Json:
    """Return the files or the error of a segment; empty while processing continues."""
    match news:
        case JobProgress():
            return {}
        case Processed(files=files):
            return {"files": [_file_json(file) for file in files]}
        case Failed(stage=stage, code=code, detail=detail):
            return {"error": {"stage": stage, "code": code, "message": detail}}
    assert_never(news)


def result_note(room: RoomId, news: Processed | Failed) -> tuple[str, Json]:
    """Return the name and the payload of the event about a finished job."""
    done = isinstance(news, Processed)
    name = "roomRecordingProcessed" if done else "roomRecordingProcessingFailed"
    return name, {"room": room, "segment": news.segment} | result_json(news)


def _file_json(file: FinishedFile) -> Json:
    """Return a file without its folder, which is internal to the recording service."""
    name = PurePosixPath(file.filename).name
    return {"name": name, "kind": file.kind.value, "bytes": file.size_bytes}


SYSTEM = "system"
SHOWN_SEGMENTS = 20  # of a room in a list: its latest
NO_NEWS: Mapping[SegmentNo, News] = MappingProxyType({})


def answer_payload(answer: Answer, policy: PolicySettings) -> Json:
    """Return the payload of an ``ok`` response.

    Raises:
        ValueError: a refusal has no payload.
    """
    match answer:
        case Created(room=room, permissions=permissions):
            return created(room, permissions, policy)
        case Joined(room=room, permissions=permissions, place=place):
            where = {} if place is None else {"media": place_json(place)}
            return joined(room, permissions, policy) | where
        case Invited(room=room_id, users=users):
            return {"room": room_id, "invited": list(users)}
        case MediaUpdated(room=room_id, media=media):
            return {"room": room_id, "media": media_json(media)}
        case Left(room=room_id):
            return {"room": room_id}
        case Ended(room=room):
            return {
                "room": room.id,
                "segments": [segment_json(room, each) for each in room.segments],
            }
        case Started(room=room_id, segment=segment):
            return {"room": room_id} | _started(segment)
        case Stopped(room=room_id, segment=segment):
            return {"room": room_id} | _stopped(segment)
        case Refusal():
            raise ValueError("a refusal has no payload")
    assert_never(answer)


def note_payload(note: Note) -> tuple[str, Json]:
    """Return the name and the payload of an event."""
    match note:
        case ParticipantJoined(room=room, user=user, media=media):
            return "participantJoined", {"room": room, "user": user, "media": media_json(media)}
        case ParticipantLeft(room=room, user=user):
            return "participantLeft", {"room": room, "user": user}
        case ParticipantMedia(room=room, user=user, media=media):
            return "participantMedia", {"room": room, "user": user, "media": media_json(media)}
        case RoomEstablished(room=room, at_ms=at_ms):
            return "roomEstablished", {"room": room, "at": iso(at_ms), "reason": "joined"}
        case RoomEnded(room=room, at_ms=at_ms, reason=reason):
            return "roomEnded", {"room": room, "at": iso(at_ms), "reason": reason}
        case Hangup(room=room, user=user):
            return "hangup", {"room": room, "user": user}
        case _:
            return _recording_payload(note)


def _recording_payload(note: RecordingNote) -> tuple[str, Json]:
    room: Json = {"room": note.room}
    match note:
        case RecordingStarted(segment=segment):
            by = _by(segment) | {"type": segment.type}
            return "roomRecordingStarted", room | _started(segment) | by
        case RecordingStopped(segment=segment):
            why = {"by": segment.stopped_by or SYSTEM, "reason": segment.reason}
            return "roomRecordingStopped", room | _stopped(segment) | why
        case RecordingFailed(segment=segment, code=code, message=message, final=final):
            failure = {"segment": segment.number, "code": code, "message": message, "final": final}
            return "roomRecordingFailed", room | failure
        case RecordingChanged(segment=number, missing=missing):
            return "roomRecordingChanged", room | {"segment": number, "missing": list(missing)}
        case PauseChanged(segment=number, resumes_at_ms=at_ms):
            end: Json = {"missing": [], "resumesAt": None if at_ms is None else iso(at_ms)}
            return "roomRecordingChanged", room | {"segment": number} | end
        case RecordingUnattended(segment=number, since_ms=since_ms):
            since = {"segment": number, "since": iso(since_ms)}
            return "roomRecordingUnattended", room | since
    assert_never(note)


def created(room: Room, permissions: OwnerPermissions, policy: PolicySettings) -> Json:
    """Return the payload of createRoom, with the recording decision as of now."""
    return {
        "room": room.id,
        "uuid": room.uuid,
        "kind": room.kind,
        "owner": room.owner,
        "record": asks(room.kind, room.flag),
        "confbridgeId": room.confbridge_id,
        "recording": recording_json(room, permissions, policy),
    }


def joined(room: Room, permissions: OwnerPermissions, policy: PolicySettings) -> Json:
    """Return the payload of joinRoom; it includes a recording that is already running."""
    return {
        "room": room.id,
        "participants": [participant_json(room, each) for each in room.participants],
        "state": room.life,
        "recording": recording_json(room, permissions, policy),
    }


def joinable_json(room: Room) -> Json:
    """Return the payload of a joinRoom that only asks if the requester may join."""
    recorded = room.capture is Phase.RECORDING
    return {"room": room.id, "kind": room.kind, "state": room.life, "recorded": recorded}


def room_json(
    room: Room,
    permissions: OwnerPermissions,
    policy: PolicySettings,
    news: Mapping[SegmentNo, News] = NO_NEWS,
    *,
    segments: Sequence[Segment] | None = None,
    results: bool = False,
) -> Json:
    """Return the payload of getRoom.

    Args:
        room: the room.
        permissions: the stored permissions of its owner.
        policy: the configuration of the recording policy.
        news: latest news of the recording service, by segment.
        segments: segments to include; None: all.
        results: include files and faults of segments, for those who may see them.
    """
    shown = room.segments if segments is None else segments
    return {
        "room": room.id,
        "uuid": room.uuid,
        "kind": room.kind,
        "origin": room.origin,
        "owner": room.owner,
        "state": room.life,
        "participants": [participant_json(room, each) for each in room.participants],
        "recording": recording_json(room, permissions, policy),
        "segments": [
            segment_json(room, each, news.get(each.number))
            | (_result(news.get(each.number)) if results else {})
            for each in shown
        ],
    }


def whole_json(
    room: Room,
    permissions: OwnerPermissions,
    policy: PolicySettings,
    news: Mapping[SegmentNo, News] = NO_NEWS,
) -> Json:
    """Return the payload of getRoom with the room's domain."""
    return room_json(room, permissions, policy, news) | {"domain": room.domain}


def listed_json(
    room: Room,
    permissions: OwnerPermissions,
    policy: PolicySettings,
    news: Mapping[SegmentNo, News] = NO_NEWS,
) -> Json:
    """Return a room as an item of a list: ``whole_json`` with the latest segments only.

    ``earlierSegments`` is the number of segments left out; absent if there are none.
    """
    latest = latest_segments(room, SHOWN_SEGMENTS)
    shown = room_json(room, permissions, policy, news, segments=latest) | {"domain": room.domain}
    earlier = len(room.segments) - len(latest)
    return shown | {"earlierSegments": earlier} if earlier else shown


def latest_segments(room: Room, count: int) -> list[Segment]:
    """Return the last ``count`` segments in order, without reading the earlier ones."""
    last = len(room.segments)
    numbers = range(max(0, last - count) + 1, last + 1)
    found = (room.segments.get(SegmentNo(number)) for number in numbers)
    return [segment for segment in found if segment is not None]


def followed_json(room: Room, segment: Segment, news: News | None) -> Json:
    """Return a segment for clients that watch recordings: room, owner, state and result."""
    room_head: Json = {
        "room": room.id,
        "uuid": room.uuid,
        "owner": room.owner,
        "domain": room.domain,
    }
    return room_head | segment_json(room, segment, news) | _result(news)


def _result(news: News | None) -> Json:
    return {} if news is None else result_json(news)


def recording_json(room: Room, permissions: OwnerPermissions, policy: PolicySettings) -> Json:
    """Return the ``recording`` object."""
    view = recording_status(room, permissions, policy)
    shown: Json = {
        "allowed": view.allowed,
        "automatic": view.automatic,
        "type": view.type,
        "source": view.source,
        "active": view.active,
    }
    if view.reason is not None:
        shown["reason"] = view.reason
    if view.segment is not None:
        shown["segment"] = view.segment
    if view.started_ms is not None:
        shown["startedAt"] = iso(view.started_ms)
    if view.begun_by is not None:
        shown["begunBy"] = view.begun_by
    if view.unattended:
        shown["unattended"] = True
    return shown | _resumes_at(view.resumes_at_ms)


def _resumes_at(end_ms: int | None) -> Json:
    """Return the end of a pause; empty without one."""
    return {} if end_ms is None else {"resumesAt": iso(end_ms)}


def _by(segment: Segment) -> Json:
    """Return the starter of a segment; where it is the system, also who began the recording."""
    begun: Json = {} if segment.begun_by is None else {"begunBy": segment.begun_by}
    return {"by": segment.by or SYSTEM} | begun


def participant_json(room: Room, participant: Participant) -> Json:
    """Return one item of ``participants``."""
    return {
        "user": shown_user(participant.key, room.domain),
        "joinedAt": iso(participant.joined_ms),
        "media": media_json(participant.media),
    }


def place_json(place: MediaPlace) -> Json:
    """Return the SFU and mixer rooms in which a participant publishes."""
    shown: Json = {"publisherId": place.publisher_id}
    if place.video_room is not None:
        shown |= {"videoRoom": place.video_room, "screenPublisherId": place.screen_publisher_id}
    if place.audio_room is not None:
        shown["audioRoom"] = place.audio_room
    return shown


def media_json(media: Media) -> Json:
    """Return the media that a participant publishes."""
    return {"audio": media.audio, "video": media.video, "screen": media.screen}


def segment_json(room: Room, segment: Segment, news: News | None = None) -> Json:
    """Return one item of ``segments``."""
    state = segment.outcome if segment.outcome is not None else room.capture
    shown: Json = {"segment": segment.number, "state": state} | _by(segment)
    if segment.started is not None:
        shown["startedAt"] = iso(segment.started.wall_ms)
    if segment.stopped_ms is not None and segment.duration_ms is not None:
        shown["stoppedAt"] = iso(segment.stopped_ms)
        shown["duration"] = segment.duration_ms / 1000
    if segment.reason is not None and segment.outcome is Outcome.STOPPED:
        shown["reason"] = segment.reason
    if news is not None:
        shown["processing"] = processing_json(news)
    return shown | _missing(segment)


def _missing(segment: Segment) -> Json:
    running = segment.ran and segment.reason is None
    missing = segment.not_running if running else segment.missing
    return {"missing": list(missing)} if missing else {}


def _started(segment: Segment) -> Json:
    started_ms = (
        segment.started.wall_ms if segment.started is not None else segment.requested_at.wall_ms
    )
    return {"segment": segment.number, "startedAt": iso(started_ms)} | _missing(segment)


def _stopped(segment: Segment) -> Json:
    started = segment.started or segment.requested_at
    return {
        "segment": segment.number,
        "startedAt": iso(started.wall_ms),
        "stoppedAt": iso(segment.stopped_ms or started.wall_ms),
        "duration": (segment.duration_ms or 0) / 1000,
    } | _resumes_at(segment.resumes_at_ms)
