"""What finished files are called (processing.md, "Names").

Pure text. A name made here is one path component: no value of an event can leave its folder, end a
name early or stand for another user's. Whether a name is free is for whoever delivers to find out.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from sfu_wrapper.model.errors import JobFailed
from sfu_wrapper.model.ids import UserId
from sfu_wrapper.model.media import Stream
from sfu_wrapper.model.recording import SegmentInfo

MAX_NAME_BYTES = 255  # of one path component, on all file systems that matter here
_MAX_USER_BYTES = 96
_SUFFIX_BYTES = 16  # room for "-screen", a number and the endings
_PAIR = "{{uuid}}-{{confbridgeid}}"
_FIELD = re.compile(r"\{\{(\w+)\}\}")
_UNSAFE = re.compile(r"[/\x00-\x1f\x7f]")
_PLAIN_USER = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.@+=")


@dataclass(frozen=True, slots=True)
class VideoName:
    """Whose stream a split video file holds."""

    user: UserId
    stream: Stream


def stem(fileformat: str, info: SegmentInfo, distinct: str = "") -> str:
    """The name of the segment's files without their ending.

    distinct: stands at the end where the plain name is another recording's.

    Raises:
        JobFailed: a value of the event would leave the folder, or the name is too long.
    """
    return _checked(_numbered(_filled(fileformat, info), fileformat, info) + distinct)


def folder(info: SegmentInfo) -> str:
    """The folder of a split recording, below the destination. Raises JobFailed as ``stem``."""
    return _checked(f"{_value('uuid', info.uuid)}-{_value('confbridgeid', info.confbridge_id)}")


def video_stems(
    fileformat: str, info: SegmentInfo, videos: Sequence[VideoName], distinct: str = ""
) -> tuple[str, ...]:
    """The names of the split video files without their endings, in order, all different.

    Raises JobFailed as ``stem``.
    """
    taken: set[str] = set()
    names = []
    for video in videos:
        base = _video_base(fileformat, info, video)
        name = next(name for name in _counted(base) if name not in taken)
        taken.add(name)
        names.append(_checked(name + distinct))
    return tuple(names)


def further_stems(info: SegmentInfo) -> Iterator[str]:
    """What to append, in order, until a name is free: nothing, the uuid, the uuid with a number."""
    yield ""
    yield from _counted(f"-{_value('uuid', info.uuid)}")


def safe_user(user: str) -> str:
    """A user id as part of a file name, one to one.

    What is not plain becomes ``%XX`` of its UTF-8 bytes; what is long becomes its beginning, a
    tilde (never plain) and its SHA-256.
    """
    raw = user.encode()
    parts = [chr(b) if b in _PLAIN_USER else f"%{b:02X}" for b in raw]
    if parts and parts[0] == ".":
        parts[0] = "%2E"
    text = "".join(parts)
    if len(text) <= _MAX_USER_BYTES:
        return text
    return f"{text[:24]}~{sha256(raw).hexdigest()}"


def _filled(fileformat: str, info: SegmentInfo) -> str:
    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=info.started_ms)
    values = {
        "year": f"{start:%Y}",
        "month": f"{start:%m}",
        "day": f"{start:%d}",
        "hours": f"{start:%H}",
        "minutes": f"{start:%M}",
        "seconds": f"{start:%S}",
        "uuid": _value("uuid", info.uuid),
        "confbridgeid": _value("confbridgeid", info.confbridge_id),
        "segment": str(info.segment or 1),
    }
    return _FIELD.sub(lambda found: values[found[1]], fileformat)


def _numbered(name: str, fileformat: str, info: SegmentInfo) -> str:
    if info.segment is None or "{{segment}}" in fileformat:
        return name
    return f"{name}-{info.segment}"


def _video_base(fileformat: str, info: SegmentInfo, video: VideoName) -> str:
    before, pair, after = fileformat.partition(_PAIR)
    user = safe_user(video.user)
    if pair:
        name = _filled(before, info) + user + _filled(after, info)
    else:
        name = f"{_filled(fileformat, info)}-{user}"
    screen = "-screen" if video.stream is Stream.SCREEN else ""
    return _numbered(name, fileformat, info) + screen


def _counted(base: str) -> Iterator[str]:
    yield base
    number = 2
    while True:
        yield f"{base}-{number}"
        number += 1


def _value(field: str, text: str) -> str:
    if _UNSAFE.search(text) or text in (".", ".."):
        detail = f"{field} {text!r} cannot be part of a file name"
        raise JobFailed("event", "UNSAFE_NAME", detail, permanent=True)
    return text


def _checked(name: str) -> str:
    if name in (".", "..") or len(name.encode()) > MAX_NAME_BYTES - _SUFFIX_BYTES:
        detail = f"{name[:80]!r} cannot be a file name"
        raise JobFailed("event", "UNSAFE_NAME", detail, permanent=True)
    return name
