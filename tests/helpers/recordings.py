"""Recordings in an index, their files in folders, and the parts of a server that offers them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfu_wrapper.adapters.storage.shared_files import SharedFiles, SharedFolders
from sfu_wrapper.core.links import link_key
from sfu_wrapper.core.policy import PolicySettings
from sfu_wrapper.core.retention import RetentionRules
from sfu_wrapper.gateway.rest.app import RecordingParts
from sfu_wrapper.model.identity import (
    DomainId,
    RecordingType,
    UserId,
    UserKey,
)
from sfu_wrapper.model.recording import (
    DecisionAtStart,
    Outcome,
    Recording,
    RecordingFacts,
    RecordingState,
    Stay,
)
from sfu_wrapper.model.segment import Failed, FileKind, FinishedFile, Processed
from sfu_wrapper.ports.objects import ObjectStore, object_url
from sfu_wrapper.ports.recordings import PutRecording
from sfu_wrapper.ports.store import Commit, Store
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.recordings.audit import Audit
from sfu_wrapper.service.recordings.changes import RecordingChanges
from sfu_wrapper.service.recordings.deletion_commits import Committer
from sfu_wrapper.service.recordings.dry_runs import DryRuns
from sfu_wrapper.service.recordings.erasures import Erasures
from sfu_wrapper.service.recordings.files import RecordingDownloads
from sfu_wrapper.service.recordings.missed import MissedCalls
from sfu_wrapper.service.recordings.objects import StoredFiles
from sfu_wrapper.service.recordings.queries import RecordingQueries
from sfu_wrapper.service.recordings.retries import RecordingRetries
from tests.helpers import indexed

START_MS = 1_795_000_000_000
LENGTH_MS = 60_000
SECRET = "a secret of links that only tests have"
WORKER = "/srv/worker/postprocessed"  # where the worker has mounted the destination


def user(name: str, domain: str = "example") -> UserKey:
    """Return a user."""
    return UserKey(DomainId(domain), UserId(name))


def facts(
    uuid: str = "uuid-1",
    number: int = 1,
    *,
    owner: str = "alice",
    domain: str = "example",
    guests: tuple[UserKey, ...] = (user("bob"),),
    started_ms: int = START_MS,
    **more: Any,  # noqa: ANN401  # further fields of RecordingFacts
) -> RecordingFacts:
    """Return the facts of a stopped segment of a minute; guests stay for its first half."""
    end_ms = started_ms + LENGTH_MS
    stays = [Stay(user(owner, domain), started_ms, end_ms)]
    stays += [Stay(guest, started_ms, started_ms + LENGTH_MS // 2) for guest in guests]
    given: dict[str, Any] = {
        "domain": DomainId(domain),
        "owner": UserId(owner),
        "by": owner,
        "decision": DecisionAtStart(True, True, RecordingType.ALL, "user", None),
        "stays": tuple(stays),
        "stopped_ms": end_ms,
        "duration_ms": LENGTH_MS,
    }
    return indexed.facts(number, uuid, at_ms=started_ms, **{**given, **more})


def result(
    about: RecordingFacts,
    contents: Mapping[str, bytes],
    *,
    output: str = "merged",
    encrypted: bool = False,
    store_url: str | None = None,
    **more: Any,  # noqa: ANN401  # further fields of Processed
) -> Processed:
    """Return the message about files with these contents, by their paths below the destination.

    With ``store_url`` they are in that object store.
    """
    kinds = {".webm": FileKind.MERGED, ".json": FileKind.METADATA, ".jpg": FileKind.POSTER}
    files = tuple(
        FinishedFile(
            f"{WORKER}/{place}",
            kinds.get(Path(place.removesuffix(".gpg")).suffix, FileKind.AUDIO),
            len(content),
            hashlib.sha256(content).hexdigest(),
            None if store_url is None else object_url(store_url, place),
        )
        for place, content in contents.items()
    )
    given: dict[str, Any] = {
        "room": about.room,
        "started_ms": about.started_ms,
        "completed_ms": about.stopped_ms or about.started_ms,
        "processing_started_ms": about.started_ms + LENGTH_MS,
        "processing_completed_ms": about.started_ms + 2 * LENGTH_MS,
        "warnings": (),
    }
    kind = {"output": output, "encrypted": encrypted, "files": files}
    return indexed.processed(about.key, **{**given, **kind, **more})


def failure(about: RecordingFacts, **more: Any) -> Failed:  # noqa: ANN401  # fields of Failed
    """Return the message about a segment that could not be processed."""
    given: dict[str, Any] = {"detail": "no frame could be read", "kept": (), "event": None}
    return indexed.failed(about.key, **{**given, "room": about.room, **more})


def finished(about: RecordingFacts, outcome: Outcome) -> Recording:
    """Return a recording with an outcome."""
    state = RecordingState.READY if isinstance(outcome, Processed) else RecordingState.FAILED
    return Recording(about, state, outcome, outcome_ms=about.started_ms + 2 * LENGTH_MS)


async def put(store: Store, *recordings: Recording) -> None:
    """Write new recordings into the index."""
    await store.commit(Commit(recordings=tuple(map(PutRecording, recordings))), 1)


def write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files below a folder."""
    for place, content in contents.items():
        file = folder / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


async def put_ready(
    store: Store,
    folder: Path,
    contents: Mapping[str, bytes],
    about: RecordingFacts | None = None,
    **more: Any,  # noqa: ANN401  # of ``result``
) -> Recording:
    """Write a finished recording and its files."""
    about = about or facts()
    write_files(folder / "postprocessed", contents)
    made = finished(about, result(about, contents, **more))
    await put(store, made)
    return made


def shared_files(folder: Path, *, disk_s: float = 10) -> SharedFiles:
    """Return the folders of a worker below one."""
    names = ("postprocessed", "logs", "raw_files", "raw_audio")
    return SharedFiles(SharedFolders(*(folder / name for name in names)), disk_s=disk_s)


def recording_parts(
    store: Store,
    clock: Clock,
    audit: Audit,
    folder: Path,
    *,
    secrets: tuple[str, ...] = (SECRET,),
    rules: RetentionRules | None = None,
    disk_s: float = 10,
    owner_may_delete: bool = False,
    objects: ObjectStore | None = None,
) -> RecordingParts:
    """Return the parts of a server that offers the recordings of a store."""
    queries = RecordingQueries(store.index, rules or RetentionRules(), clock)
    keys = tuple(map(link_key, secrets))
    files = shared_files(folder, disk_s=disk_s)
    downloads = RecordingDownloads(
        queries, store.index, files, StoredFiles(objects), audit, clock, lambda: keys
    )
    committer = Committer(store, lambda _: None)
    kept = rules or RetentionRules()
    changes = RecordingChanges(
        store.index, committer, clock, kept, owner_may_delete=owner_may_delete
    )
    retries = RecordingRetries(queries, files, committer, clock)
    erasures = Erasures(store.index, committer, clock)
    missed = MissedCalls(store, clock)
    dry_runs = DryRuns(store, store.permissions, clock, PolicySettings())
    return RecordingParts(queries, downloads, retries, changes, erasures, missed, dry_runs)
