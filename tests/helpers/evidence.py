"""A recording with everything that evidence tells of, its files, and its audit entries."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sfu_wrapper.model.audit import AuditEntry, AuditRow
from sfu_wrapper.model.identity import (
    RoomId,
    RoomUuid,
    SegmentNo,
)
from sfu_wrapper.model.media import Stream
from sfu_wrapper.model.recording import (
    Outcome,
    Recording,
    RecordingFacts,
    RecordingKey,
    RecordingState,
    Stay,
)
from sfu_wrapper.model.segment import (
    Failed,
    FileKind,
    FinishedFile,
    MissingMedia,
    Processed,
    TrackSync,
)
from sfu_wrapper.wire.audit import appended
from tests.helpers import indexed
from tests.helpers.indexed import ALICE, GUEST, HOME

KEY = RecordingKey(RoomUuid("0e8a1f6c"), SegmentNo(2))
START_MS = 1_600_000_000_000
LONG_MS = 60_000
BOB = GUEST  # of another domain
NAMES = {"call.webm": FileKind.MERGED, "call.jpg": FileKind.POSTER}


def content(name: str) -> bytes:
    """What the file of that name holds."""
    return f"content of {name}".encode()


def facts(**given: object) -> RecordingFacts:
    """Facts of a segment of a minute, in which bob of another domain left early."""
    usual: dict[str, Any] = {
        "room": RoomId("weekly"),
        "stays": (
            Stay(ALICE, START_MS, START_MS + LONG_MS),
            Stay(BOB, START_MS + 1_000, START_MS + 5_000),
            Stay(BOB, START_MS + 9_000, None),
        ),
        "stopped_ms": START_MS + LONG_MS,
        "duration_ms": LONG_MS,
        "missing": ("audio",),
        "incomplete": "the mixer was away",
    }
    return indexed.facts(KEY.segment, KEY.uuid, at_ms=START_MS, **(usual | given))


def finished(name: str, kind: FileKind) -> FinishedFile:
    """A delivered file."""
    data = content(name)
    return FinishedFile(f"/results/{name}", kind, len(data), hashlib.sha256(data).hexdigest())


def processed(names: dict[str, FileKind] = NAMES, *, encrypted: bool = False) -> Processed:
    """A result with these files."""
    return indexed.processed(
        KEY,
        room=RoomId("weekly"),
        started_ms=START_MS,
        completed_ms=START_MS + LONG_MS,
        encrypted=encrypted,
        files=tuple(finished(name, kind) for name, kind in names.items()),
        processing_started_ms=START_MS + LONG_MS,
        processing_completed_ms=START_MS + LONG_MS + 1_000,
        warnings=("a camera froze",),
        sync=(
            track("a.mjr", Stream.CAMERA, 0, 60_000),
            track("b.mjr", Stream.SCREEN, 10_000, 20_000),
            TrackSync("mix.wav", Stream.AUDIO, None, 0, 60_000),
        ),
        missing=(
            MissingMedia(
                "c.mjr", Stream.CAMERA, BOB.user, START_MS, START_MS + 1, "EMPTY", "empty"
            ),
        ),
    )


def track(name: str, stream: Stream, start_ms: int, length_ms: int) -> TrackSync:
    """A measured video file of alice."""
    return TrackSync(name, stream, ALICE.user, start_ms, length_ms)


def failed() -> Failed:
    """A result without files."""
    names = {"stage": "compose", "code": "MUX_FAILED", "detail": "no", "file": None}
    return indexed.failed(KEY, room=RoomId("weekly"), kept=(), event=None, **names)


def recording(
    outcome: Outcome | None = None, state: RecordingState = RecordingState.READY, **given: object
) -> Recording:
    """A recording; ``given``: its facts."""
    return Recording(facts(**given), state, outcome)


def audit_rows(count: int = 3) -> Sequence[AuditRow]:
    """Entries 1, 2, … about the recording, in one chain."""
    entries = [
        AuditEntry(HOME, START_MS + n, ALICE.user, "file.read", str(KEY), "done")
        for n in range(count)
    ]
    return list(appended({}, entries))


def address(name: str) -> str:
    """Where a file is read."""
    return f"https://recordings.example/{name}"


def download(folder: Path) -> None:
    """Put the files into a folder."""
    for name in NAMES:
        (folder / name).write_bytes(content(name))
