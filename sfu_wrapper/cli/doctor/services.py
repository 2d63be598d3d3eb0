"""Checks of the store, the media folders and the object store.

No check migrates anything; each works with or without a running controller.
"""

import asyncio
import os
import shlex
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from sfu_wrapper.adapters.os.threads import run_in_daemon_thread
from sfu_wrapper.adapters.sqlite.database import Writing, try_locking
from sfu_wrapper.adapters.sqlite.database import inspect as inspect_file
from sfu_wrapper.adapters.sqlite.schema import MIGRATIONS
from sfu_wrapper.adapters.storage.disks import FULL, Disk, disk, nearest, try_writing
from sfu_wrapper.app.objects import credentials, object_store
from sfu_wrapper.app.parts import store_file
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Misconfigured, Unavailable
from sfu_wrapper.observe.findings import Finding, ok, warning, wrong

TOO_LITTLE_BYTES: Final = 500_000_000
LITTLE_BYTES: Final = 5_000_000_000
_OBJECT_STORE_S: Final = 20.0  # below the deadline of a check, which would not name the store


async def check_database(settings: Settings) -> AsyncIterator[Finding]:
    """Check the file and its disk, with or without a running controller."""
    file = store_file(settings)
    refused = await run_in_daemon_thread(_refused, file)
    if refused is not None:
        yield refused
        return
    found = await run_in_daemon_thread(inspect_file, file, MIGRATIONS)
    folder = nearest(file.parent)
    try:
        await run_in_daemon_thread(try_writing, folder)
    except OSError as error:
        if error.errno in FULL:
            text = f"{file.parent}: the disk is full, {await run_in_daemon_thread(disk, folder)}"
            yield wrong(text, "free space there, or change store.url")
            return
        advice = "let this user write there, or change store.url"
        yield wrong(f"{file.parent}: cannot be written: {error.strerror}", advice)
        return
    on = await run_in_daemon_thread(disk, folder)
    if found is None:
        yield free_space(str(file), on, "created at the first start")
    else:
        use = ", in use by a controller" if found.in_use else ""
        yield free_space(str(file), on, f"intact, schema {found.version}{use}")
        if (shared := await run_in_daemon_thread(_shared, file)) is not None:
            yield shared
    if on.remote:
        yield warning(
            f"{file} is on a network file system ({on.kind}): locks and syncs may fail",
            "move it to a local disk (store.url)",
        )


def _refused(file: Path) -> Finding | None:
    """Return why no transaction can be opened in an existing file; None if one can."""
    writing = try_locking(file) if file.exists() else Writing.POSSIBLE
    if writing is Writing.LOCKED:
        return wrong(
            f"{file} is locked by another process: nothing can be stored",
            f"end the process that holds it, such as a shell of sqlite3 or a backup: "
            f"fuser -v {shlex.quote(str(file))}",
        )
    if writing is Writing.DENIED:
        status = file.stat()
        return wrong(
            f"{file} cannot be written by user {os.geteuid()}: it is owned by user "
            f"{status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}",
            "run this command and serve as its owner, or give the file, its folder and files of "
            "the same name with -wal, -shm and .lock to this user (chown)",
        )
    return None


def _shared(file: Path) -> Finding | None:
    """Return a warning if others can read the store; None if its owner alone can."""
    mode = stat.S_IMODE(file.stat().st_mode)
    if not mode & 0o077:
        return None
    text = f"{file} has mode {mode:04o}: others can read who called whom"
    return warning(text, f"chmod 600 {shlex.quote(str(file))}")


async def check_folders(settings: Settings) -> AsyncIterator[Finding]:
    """Check each folder as this user, on this machine."""
    recording = settings.recording
    for key, folder in (
        ("recordings_path", recording.recordings_path),
        ("audio_path", recording.audio_path),
        ("destination_path", recording.destination_path),
        ("logs_path", recording.logs_path),
    ):
        yield await run_in_daemon_thread(check_folder, key, folder)


def check_folder(key: str, folder: Path) -> Finding:
    """Return a finding: the folder is writable, with so much free space."""
    there = nearest(folder)
    if not there.is_dir():
        return wrong(f"{key} {folder}: {there} is no folder", f"change {key}")
    try:
        try_writing(there)
    except OSError as error:
        if error.errno in FULL:
            text = f"{key} {folder}: the disk is full, {disk(there)}"
            return wrong(text, f"free space there, or change {key}")
        advice = f"let this user write there, or change {key}"
        return wrong(f"{key} {folder}: cannot be written: {error.strerror}", advice)
    note = "" if folder.exists() else "created when needed"
    return free_space(f"{key} {folder}", disk(there), note)


def free_space(what: str, on: Disk, note: str) -> Finding:
    """Return a finding about the free space of a disk."""
    text = f"{what}: {note or 'writable'}, {on}"
    if on.free_bytes < TOO_LITTLE_BYTES:
        return wrong(text, "free space: a minute of a call takes some MB")
    if on.free_bytes < LITTLE_BYTES:
        return warning(text, "free space soon")
    return ok(text)


async def check_object_store(settings: Settings) -> AsyncIterator[Finding]:
    """Write, read and remove a small object, with the rights that workers need."""
    url, see = settings.storage.url, "see docs/how-to/object-storage.md"
    try:
        objects = object_store(settings, os.environ)
        if objects is None:
            yield ok("finished files stay local (storage.url = file:)")
            return
        async with asyncio.timeout(_OBJECT_STORE_S):
            await objects.check()
    except Misconfigured as error:
        yield wrong(error.detail, f"workers do not start without it: {see}")
    except Unavailable as error:
        yield wrong(error.detail, f"{_repair(settings)}; {see}")
    except TimeoutError:
        text = f"{url}: no answer within {_OBJECT_STORE_S:.0f} s"
        yield wrong(text, f"{_repair(settings)}; {see}")
    else:
        yield ok(f"{url}: an object was written, read and removed")


def _repair(settings: Settings) -> str:
    """Return advice for an object store that refuses, or does not answer."""
    named = credentials(settings.storage.url)
    if not any(name in os.environ or f"{name}_FILE" in os.environ for name in named):
        return f"no credentials are in the environment of this command: set {', '.join(named)}"
    return "check storage.url, storage.endpointUrl, and what these credentials may do there"
