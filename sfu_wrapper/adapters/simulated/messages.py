"""Messages between the plane and its child process, in addition to ``core.media_plane``.

The plane sends ``Settings`` and then orders; the child answers with reports. Orders of one room and
medium are carried out one after another; rooms do not wait for each other.

Codec of frozen dataclasses as JSON lines between the plane and its child process.

A line is ``[class name, fields]``; the reader rebuilds the message by the type hints of the classes
that it expects. Both ends are this package, so a bad line is a bug of ours.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

import orjson

from sfu_wrapper.adapters.simulated.faults import InjectedFault
from sfu_wrapper.core.media_plane import (
    CaptureChanged,
    CaptureFailed,
    CaptureLost,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    PlaneBack,
)
from sfu_wrapper.model.errors import Broken
from sfu_wrapper.model.identity import ConfbridgeId, RoomUuid
from sfu_wrapper.model.media import RawFile, Track

T = TypeVar("T")

LIMIT_BYTES = 16 * 1024 * 1024  # a line with the files of a very long, very busy segment


def dump(message: object) -> bytes:
    """Encode a message as one line, newline included."""
    return orjson.dumps([type(message).__name__, message], option=orjson.OPT_APPEND_NEWLINE)


class Lines(Generic[T]):
    """Decoder for the lines of a closed set of dataclasses."""

    def __init__(self, kinds: Iterable[type[T]]) -> None:
        self._kinds = {kind.__name__: kind for kind in kinds}

    def load(self, line: bytes) -> T:
        """Decode a message. Raises Broken when it is none of the known ones."""
        try:
            name, data = orjson.loads(line)
            message: T = _build(self._kinds[name], data)
        except (ValueError, KeyError, TypeError) as exc:
            raise Broken(f"unreadable line between plane and child: {line[:200]!r}") from exc
        return message


def _build(kind: Any, data: Any) -> Any:  # noqa: ANN401 - type hints and JSON hold anything
    kind = getattr(kind, "__supertype__", kind)  # a NewType is its base
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return kind(**{f.name: _build(hints[f.name], data[f.name]) for f in fields(kind)})
    if get_origin(kind) is tuple:
        return tuple(_build(get_args(kind)[0], item) for item in data)
    if get_origin(kind) is UnionType:
        (inner,) = (option for option in get_args(kind) if option is not NoneType)
        return None if data is None else _build(inner, data)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(data)
    return data


@dataclass(frozen=True, slots=True)
class Settings:
    """Folders and format of the media; the first line that the plane sends.

    Attributes:
        recordings_path: folder for videos; made where missing.
        audio_path: folder for mixes; made where missing.
        token: 8 hex digits, shown and encoded in every frame.
        width_px: width of a frame, a multiple of 32; the height is three quarters of it.
        fps: frames per second.
        bit_rate: bit rate of one video, bit/s.
    """

    recordings_path: str
    audio_path: str
    token: str
    width_px: int = 320
    fps: int = 15
    bit_rate: int = 200_000


@dataclass(frozen=True, slots=True)
class PositionedTrack:
    """A track with its user's position in the room, which selects colour and tone."""

    track: Track
    position: int


@dataclass(frozen=True, slots=True)
class StartWriting:
    """Start a capture.

    Attributes:
        capture: the capture.
        confbridge_id: part of the name of a mix.
        tracks: tracks published at the start.
        fault: fault of this request.
        lose_s: lose the capture after so many seconds; None: do not.
        die_s: kill the process after so many seconds; None: do not.
    """

    capture: CaptureRef
    confbridge_id: ConfbridgeId
    tracks: tuple[PositionedTrack, ...]
    fault: InjectedFault = field(default=InjectedFault())
    lose_s: float | None = None
    die_s: float | None = None


@dataclass(frozen=True, slots=True)
class StopWriting:
    """Stop a capture."""

    capture: CaptureRef
    fault: InjectedFault = field(default=InjectedFault())


@dataclass(frozen=True, slots=True)
class Add:
    """Add a published track to the room's captures."""

    room: RoomUuid
    seated: PositionedTrack


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove an unpublished track from the room's captures."""

    room: RoomUuid
    track: Track


@dataclass(frozen=True, slots=True)
class CloseRoom:
    """Stop and report every capture of the room."""

    room: RoomUuid


@dataclass(frozen=True, slots=True)
class Resume:
    """Confirm a capture that still runs; else report it as lost, with its files on disk."""

    capture: CaptureRef
    files: tuple[RawFile, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Freeze:
    """Stop the whole process for some seconds: write nothing and answer nothing."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Sent by the child when it is ready, and then regularly."""


Order = StartWriting | StopWriting | Add | Remove | CloseRoom | Resume | Freeze
Report = (
    Heartbeat
    | CaptureStarted
    | CaptureFailed
    | CaptureChanged
    | CaptureStopped
    | CaptureLost
    | PlaneBack
)

SETTINGS: Lines[Settings] = Lines((Settings,))
ORDERS: Lines[Order] = Lines((StartWriting, StopWriting, Add, Remove, CloseRoom, Resume, Freeze))
REPORTS: Lines[Report] = Lines(
    (
        Heartbeat,
        CaptureStarted,
        CaptureFailed,
        CaptureChanged,
        CaptureStopped,
        CaptureLost,
        PlaneBack,
    )
)
