"""Names of finished files (recordings.md, "Names"). Pure text.

A name is one path component: no value of an event can leave the folder, end the name early or equal
the name of another user. The delivery checks if a name is free.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from sfu_wrapper.model.errors import JobCode, JobFailed, Stage
from sfu_wrapper.model.identity import ConfbridgeId, RoomId, RoomUuid, SegmentNo, UserId
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import SegmentInfo

MAX_NAME_BYTES = 255  # of one path component, on all file systems that matter here
MAX_PATH_BYTES = 4000  # of a raw file below its folder; the system takes 4096 with the folder
_MAX_USER_BYTES = 96
_MAX_STEM_BYTES = MAX_NAME_BYTES - 16  # leaves space for "-screen" and the extensions
_NUMBER_BYTES = 4  # "-999"
_PAIR = "{{uuid}}-{{confbridgeid}}"
_FIELD = re.compile(r"\{\{(\w+)\}\}")
_UNSAFE = re.compile(r"[/\x00-\x1f\x7f]")
_BLANK = " ."
_PLAIN_USER = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.@+=")


# The longest ids that rooms can have (protocol.md, "Endpoints").
_LONGEST = SegmentInfo(
    room=RoomId("r"),
    uuid=RoomUuid("u" * 36),
    confbridge_id=ConfbridgeId("c" * 128),
    segment=SegmentNo(999_999),
    started_ms=0,
    completed_ms=0,
)


@dataclass(frozen=True, slots=True)
class VideoName:
    """Owner and kind of the stream in a split video file."""

    user: UserId
    stream: Stream


def stem(fileformat: str, info: SegmentInfo, distinct: str = "") -> str:
    """Return the name of the segment's files without extension.

    Args:
        fileformat: the configured format.
        info: the segment.
        distinct: suffix for the case that another recording has the plain name.

    Raises:
        JobFailed: a value of the event would leave the folder, or the name is too long.
    """
    return _checked(_numbered(_filled(fileformat, info), fileformat, info) + distinct)


def require_names(fileformat: str, info: SegmentInfo, *, split: bool) -> None:
    """Refuse a segment whose files cannot be named, before any work on it.

    Args:
        fileformat: the configured format.
        info: the segment; the names of its raw files are checked too.
        split: True if the output gets a folder of its own and one file for each stream.

    Raises:
        JobFailed: UNSAFE_NAME, which no retry can change.
    """
    stem(fileformat, info)
    if split:
        folder(info)
        owners = [VideoName(file.user or UserId(""), file.stream) for file in info.video]
        video_stems(fileformat, info, owners)
    for file in (*info.video, *info.audio):
        _require_raw_name(file)


def format_fault(fileformat: str) -> str | None:
    """Return why a format can make no file name for some rooms; None where it always can."""
    if not fileformat.strip(_BLANK):
        return "must make a file name: it has nothing but dots and spaces"
    try:
        stem(fileformat, _LONGEST, f"-{_LONGEST.uuid}-99")
    except JobFailed:
        return (
            f"makes names longer than {MAX_NAME_BYTES} bytes for the longest ids "
            f"({len(_LONGEST.confbridge_id)} characters): shorten it"
        )
    return None


def folder(info: SegmentInfo) -> str:
    """Return the folder of a split recording, below the destination. Raises JobFailed."""
    return _checked(f"{_value('uuid', info.uuid)}-{_value('confbridgeid', info.confbridge_id)}")


def video_stems(
    fileformat: str, info: SegmentInfo, videos: Sequence[VideoName], distinct: str = ""
) -> tuple[str, ...]:
    """Return the names of the split video files without extension, in order, all different.

    Raises JobFailed like ``stem``.
    """
    taken: set[str] = set()
    names = []
    for video in videos:
        base = _video_base(fileformat, info, video, quote_filename(video.user))
        if len(f"{base}{distinct}".encode()) > _MAX_STEM_BYTES - _NUMBER_BYTES:
            base = _video_base(fileformat, info, video, _short_user(video.user))
        name = next(name for name in _counted(base) if name not in taken)
        taken.add(name)
        names.append(_checked(name + distinct))
    return tuple(names)


def further_stems(info: SegmentInfo) -> Iterator[str]:
    """Yield suffixes to try until a name is free: none, the uuid, the uuid with a number."""
    yield ""
    yield from _counted(f"-{_value('uuid', info.uuid)}")


def quote_filename(user: str) -> str:
    """Return an id in a form that is safe in file names; different ids stay different.

    Other than plain characters become ``%XX`` of their UTF-8 bytes. A long id becomes its
    beginning, a tilde (never plain) and its SHA-256.
    """
    raw = user.encode()
    parts = [chr(b) if b in _PLAIN_USER else f"%{b:02X}" for b in raw]
    if parts and parts[0] == ".":
        parts[0] = "%2E"
    text = "".join(parts)
    if len(text) <= _MAX_USER_BYTES:
        return text
    return f"{text[:24]}~{sha256(raw).hexdigest()}"


def _short_user(user: str) -> str:
    """Return a user id as a part of names that have no room for all of it."""
    return f"{quote_filename(user)[:8]}~{sha256(user.encode()).hexdigest()[:16]}"


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


def _video_base(fileformat: str, info: SegmentInfo, video: VideoName, user: str) -> str:
    before, pair, after = fileformat.partition(_PAIR)
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


def _require_raw_name(file: RawFile) -> None:
    parts = file.filename.encode().split(b"/")
    longest, whole = max(map(len, parts)), len(file.filename.encode())
    if longest > MAX_NAME_BYTES or whole > MAX_PATH_BYTES:
        detail = f"{file.filename[:80]!r}… has {whole} bytes, which is too long for a file name"
        name = file.filename[:MAX_NAME_BYTES]
        raise JobFailed(Stage.EVENT, JobCode.UNSAFE_NAME, detail, permanent=True, file=name)


def _value(field: str, text: str) -> str:
    if _UNSAFE.search(text) or text in (".", ".."):
        detail = f"{field} {text!r} cannot be part of a file name"
        raise JobFailed(Stage.EVENT, JobCode.UNSAFE_NAME, detail, permanent=True)
    return text


def _checked(name: str) -> str:
    if name in (".", "..") or len(name.encode()) > _MAX_STEM_BYTES:
        detail = f"{name[:80]!r} cannot be a file name"
        raise JobFailed(Stage.EVENT, JobCode.UNSAFE_NAME, detail, permanent=True)
    return name
