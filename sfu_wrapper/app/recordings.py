"""Composition of what offers recordings over HTTP: index, folders of the workers, keys of links."""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from sfu_wrapper.adapters.os import files
from sfu_wrapper.adapters.os.beneath import FOLDER_MODE, opened_folder
from sfu_wrapper.adapters.storage.shared_files import SharedFiles, SharedFolders
from sfu_wrapper.app.objects import object_store
from sfu_wrapper.app.parts import store_file
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.core.links import SHORTEST_SECRET, LinkKey, link_key
from sfu_wrapper.gateway.rest.app import RecordingParts
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.ports.store import Store
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.recordings.changes import RecordingChanges
from sfu_wrapper.service.recordings.deletion_commits import Committer
from sfu_wrapper.service.recordings.dry_runs import DryRuns
from sfu_wrapper.service.recordings.erasures import Erasures
from sfu_wrapper.service.recordings.files import RecordingDownloads
from sfu_wrapper.service.recordings.missed import MissedCalls
from sfu_wrapper.service.recordings.objects import StoredFiles
from sfu_wrapper.service.recordings.queries import RecordingQueries
from sfu_wrapper.service.recordings.retries import RecordingRetries
from sfu_wrapper.service.rooms.router import Rooms

LINK_KEY_FILE: Final = "links.key"  # next to the store


def recording_parts(
    settings: Settings, store: Store, clock: Clock, rooms: Rooms, committer: Committer
) -> RecordingParts:
    """Return the parts of the routes of recordings.

    Raises:
        Misconfigured: the credentials of the object store are incomplete.
    """
    changes = RecordingChanges(
        store.index,
        committer,
        clock,
        settings.retention_rules(),
        owner_may_delete=settings.recordings.owner_may_delete,
    )
    erasures = Erasures(store.index, committer, clock)
    queries = RecordingQueries(store.index, settings.retention_rules(), clock, rooms.job_results.of)
    files_there, keys = shared_files(settings), link_keys(settings)
    stored = stored_files(settings)
    downloads = RecordingDownloads(
        queries, store.index, files_there, stored, rooms.audit, clock, keys
    )
    retries = RecordingRetries(queries, files_there, committer, clock)
    return RecordingParts(
        queries,
        downloads,
        retries,
        changes,
        erasures,
        MissedCalls(store, clock),
        DryRuns(store, store.permissions, clock, settings.policy_settings()),
        settings.links.public_url,
    )


def shared_files(settings: Settings) -> SharedFiles:
    """Return the folders of the workers, as far as they are mounted here."""
    recording = settings.recording
    return SharedFiles(
        SharedFolders(
            recording.destination_path,
            recording.logs_path,
            recording.recordings_path,
            recording.audio_path,
        )
    )


def stored_files(settings: Settings) -> StoredFiles:
    """Return the files in the object store. Raises Misconfigured."""
    return StoredFiles(object_store(settings, os.environ))


def link_keys(settings: Settings) -> Callable[[], tuple[LinkKey, ...]]:
    """Return a function that returns the keys of links.

    Without a configured one that is the key that is kept next to the store, made at its first use;
    the function raises Unavailable where that can be neither read nor made.
    """
    configured = tuple(link_key(key.get_secret_value()) for key in settings.links.keys)

    @cache
    def keys() -> tuple[LinkKey, ...]:
        kept = store_file(settings).absolute().with_name(LINK_KEY_FILE)
        return configured or (link_key(_kept_secret(kept)),)

    return keys


def _kept_secret(file: Path) -> str:
    """Return the secret in a file of ours with mode 0600, which is made where it is missing."""
    try:
        file.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        with opened_folder(file.parent) as folder:
            if (kept := files.read(folder, file.name)) is None:
                with suppress(FileExistsError):  # another process has been faster
                    secret = secrets.token_urlsafe(SHORTEST_SECRET)
                    files.write_exclusively(folder, file.name, secret.encode())
                kept = files.read(folder, file.name)
    except OSError as error:
        raise Unavailable(f"{file}: cannot be read or made: {error.strerror}") from error
    secret = (kept or b"").decode(errors="replace").strip()
    if len(secret) < SHORTEST_SECRET:  # emptied: links that anyone could sign must not work
        detail = f"{file}: holds no key of {SHORTEST_SECRET} characters; remove it to get a new one"
        raise Unavailable(detail)
    return secret
