"""JSON file of a split recording: the product's format with our additional fields."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from sfu_wrapper.model.identity import RecordingType, UserId
from sfu_wrapper.model.segment import SegmentInfo, TrackSync
from sfu_wrapper.wire.job_messages import size_text, sync_object
from sfu_wrapper.wire.strict_json import iso


@dataclass(frozen=True, slots=True)
class SplitPart:
    """A delivered media file.

    Attributes:
        filename: path below the output folder.
        size_bytes: its size.
        started_ms: epoch ms of its first frame.
        stopped_ms: epoch ms of its end.
        user: publisher of a video; None for the mix.
        rotation: degrees clockwise by which players turn the whole video.
        turns: (epoch ms, degrees clockwise that make the frames upright) in order, where a video
            turns in mid-file.
    """

    filename: str
    size_bytes: int
    started_ms: int
    stopped_ms: int
    user: UserId | None = None
    rotation: int = 0
    turns: tuple[tuple[int, int], ...] = ()


def encode_split(
    info: SegmentInfo,
    videos: Sequence[SplitPart],
    audio: SplitPart | None,
    sync: tuple[TrackSync, ...],
) -> bytes:
    """Return the content of the file; ``audio`` is null if there is no audio."""
    content = {
        "uuid": info.uuid,
        "startTime": iso(info.started_ms),
        "stopTime": iso(info.completed_ms),
        "shouldRecordAudio": _is_requested(info, RecordingType.AUDIO, held=bool(info.audio)),
        "shouldRecordVideo": _is_requested(info, RecordingType.VIDEO, held=bool(info.video)),
        "videos": [_part(video) | {"userID": video.user} | _rotation(video) for video in videos],
        "audio": None if audio is None else _part(audio),
        "segment": info.segment or 1,
        "conferenceId": info.room,
        "participants": _participants(info),
        "sync": sync_object(sync),
    }
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _is_requested(info: SegmentInfo, medium: RecordingType, *, held: bool) -> bool:
    """Return True if the medium was to be recorded; ``held`` decides if the event has no type."""
    return held if info.type is None else info.type in (RecordingType.ALL, medium)


def _part(part: SplitPart) -> dict[str, Any]:
    return {
        "startTime": iso(part.started_ms),
        "stopTime": iso(part.stopped_ms),
        "filename": part.filename,
        "size": size_text(part.size_bytes),
    }


def _rotation(part: SplitPart) -> dict[str, Any]:
    found: dict[str, Any] = {"rotation": part.rotation} if part.rotation or part.turns else {}
    if part.turns:
        found["turns"] = [{"time": iso(at_ms), "rotation": turn} for at_ms, turn in part.turns]
    return found


def _participants(info: SegmentInfo) -> dict[str, list[dict[str, str]]]:
    users: dict[str, list[dict[str, str]]] = {}
    for presence in info.presences:
        of_user = users.setdefault(presence.user, [])
        of_user.append({"joined": iso(presence.joined_ms), "left": iso(presence.left_ms)})
    return users
