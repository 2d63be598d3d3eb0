"""Check of the media folders: existing, writable, their disk and its free space."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from sfu_wrapper.adapters.os.threads import run_in_daemon_thread
from sfu_wrapper.adapters.storage.disks import Disk, disk, nearest, try_writing
from sfu_wrapper.cli.checks.report import Finding, good, odd, wrong
from sfu_wrapper.config.settings import Settings

TOO_LITTLE_BYTES: Final = 500_000_000
LITTLE_BYTES: Final = 5_000_000_000
_UNITS: Final = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"))


async def look(settings: Settings) -> AsyncIterator[Finding]:
    """Check each folder as this user, on this machine."""
    recording = settings.recording
    for key, folder in (
        ("recordings_path", recording.recordings_path),
        ("audio_path", recording.audio_path),
        ("destination_path", recording.destination_path),
        ("logs_path", recording.logs_path),
    ):
        yield await run_in_daemon_thread(judge, key, folder)


def judge(key: str, folder: Path) -> Finding:
    """Return a finding: the folder is writable, with so much free space."""
    there = nearest(folder)
    if not there.is_dir():
        return wrong(f"{key} {folder}: {there} is no folder", f"change {key}")
    try:
        try_writing(there)
    except OSError as error:
        advice = f"let this user write there, or change {key}"
        return wrong(f"{key} {folder}: cannot be written: {error.strerror}", advice)
    note = "" if folder.exists() else "created when needed"
    return room(f"{key} {folder}", disk(there), note)


def room(what: str, on: Disk, note: str) -> Finding:
    """Return a finding about the free space of a disk."""
    text = f"{what}: {note or 'writable'}, {size(on.free_bytes)} of {size(on.total_bytes)} free"
    text += f" on {on.mount}" + (f" ({on.kind})" if on.kind else "")
    if on.free_bytes < TOO_LITTLE_BYTES:
        return wrong(text, "free space: a minute of a call takes some MB")
    if on.free_bytes < LITTLE_BYTES:
        return odd(text, "free space soon")
    return good(text)


def size(number: int) -> str:
    """Format a number of bytes."""
    for unit, name in _UNITS:
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number} bytes"
