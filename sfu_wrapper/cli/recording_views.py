"""``sfu-wrapper recordings list | missed | show | download | retry``: index and files, by a store.

Reads the configured store directly, with or without a running controller. Files are read below the
configured ``destination_path`` and checked against the index while they are copied. ``retry`` first
publishes the event, then marks the recording as queued: a process that dies in between has the
segment processed all the same.
"""

import asyncio
import hashlib
import os
import sys
from argparse import ArgumentParser, Namespace
from asyncio import Future
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.sqlite.store_file import StoreFile
from sfu_wrapper.app.parts import open_broker, queues
from sfu_wrapper.app.recordings import shared_files, stored_files
from sfu_wrapper.cli import common
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.finished import (
    known_files,
    offered_file,
    offered_files,
    place_below,
    public_name,
)
from sfu_wrapper.core.missed import MissedCall
from sfu_wrapper.core.retention import expires_ms
from sfu_wrapper.model.errors import Code, Malformed, Refused, Unavailable
from sfu_wrapper.model.identity import DomainId, RoomId, RoomUuid, UserId, UserKey
from sfu_wrapper.model.recording import Recording, RecordingState
from sfu_wrapper.model.segment import FinishedFile, Processed
from sfu_wrapper.ports.broker import Broker, Message
from sfu_wrapper.ports.recordings import RecordingQuery
from sfu_wrapper.ports.store import Commit, OutboxRow
from sfu_wrapper.service.recordings.audit import entry
from sfu_wrapper.service.recordings.deletion_commits import Committer
from sfu_wrapper.service.recordings.missed import MissedCalls
from sfu_wrapper.service.recordings.queries import RecordingQueries
from sfu_wrapper.service.recordings.retries import RecordingRetries
from sfu_wrapper.wire.recording_rest import missed_call_json, recording_json
from sfu_wrapper.wire.strict_json import parse_iso

OPERATOR: Final = UserId("operator")
PAGE: Final = 500
_PIECE_BYTES: Final = 1 << 20


def add_filters(parser: ArgumentParser) -> None:
    """Add the filters of ``list``."""
    parser.add_argument("--domain", metavar="D", help="domain of the room, owner and participant")
    parser.add_argument("--owner", metavar="U", help="owner of the room; with --domain")
    parser.add_argument("--participant", metavar="U", help="user that was in it; with --domain")
    parser.add_argument("--room", metavar="ID", help="room id")
    parser.add_argument("--uuid", metavar="UUID", help="uuid of the room")
    parser.add_argument("--state", type=RecordingState, choices=list(RecordingState))
    parser.add_argument("--from", dest="from_", metavar="TIME", help="started at or after it")
    parser.add_argument("--to", metavar="TIME", help="started before it: 2026-12-01T09:00:00Z")
    parser.add_argument("--limit", metavar="N", type=int, default=50, help="at most N; 0: all")


def list_recordings(args: Namespace, settings: Settings, store: StoreFile) -> None:
    """Print recordings, the newest first."""
    found = _found(store, _query(args), args.limit)
    if common.wants_json(args):
        for each in found:
            common.emit(args, "", **_json(each, settings, store, listed=True))
        return
    _print_table(found)


def add_missed_filters(parser: ArgumentParser) -> None:
    """Add the filters of ``missed``."""
    parser.add_argument("--domain", metavar="D", help="only calls of this domain")
    parser.add_argument("--from", dest="from_", metavar="TIME", help="ended at or after it")
    parser.add_argument("--to", metavar="TIME", help="ended before it: 2026-12-01T09:00:00Z")


def list_missed(args: Namespace, store: StoreFile) -> None:
    """Print the calls that were not recorded as was decided, with the reasons."""
    calls = _missed(args, store)
    if common.wants_json(args):
        for each in calls:
            common.emit(args, "", **missed_call_json(each))
        return
    columns = ("uuid", "room", "owner", "recorded", "reason", "recordings")
    common.print_table(columns, (row for call in calls for row in _missed_rows(call)))


def _missed(args: Namespace, store: StoreFile) -> Iterator[MissedCall]:
    """Yield the calls page by page."""
    from_ms, to_ms = _time(args.from_) or 0, _time(args.to)
    to_ms = sys.maxsize if to_ms is None else to_ms
    by = Requester(
        UserKey(DomainId(args.domain or ""), OPERATOR), service=not args.domain, admin=True
    )
    missed, after = MissedCalls(store, SystemClock()), None
    while True:
        page = asyncio.run(missed.page(by, from_ms, to_ms, after))
        yield from page.calls
        after = page.next
        if after is None:
            return


def _missed_rows(call: MissedCall) -> Iterator[tuple[str, ...]]:
    """Yield a row for each reason."""
    room = call.room
    recorded = f"{call.recorded_ms / 1000:.1f} of {call.wanted_ms / 1000:.1f} s"
    for miss in call.misses:
        keys = ", ".join(map(str, miss.recordings))
        reason = f"{miss.code}: {miss.message}"
        yield (room.uuid, room.id, f"{room.owner} ({room.domain})", recorded, reason, keys)


def show(args: Namespace, settings: Settings, store: StoreFile, of: Recording) -> None:
    """Print all that is known about one recording."""
    shown = _json(of, settings, store)
    if common.wants_json(args):
        common.emit(args, "", **shown)
        return
    for name, value in shown.items():
        if name not in ("files", "participants", "sync"):
            print(common.plain(f"{name:<12} {_in_words(value)}"))
    for file in known_files(of):
        details = f"{file.size_bytes} bytes, sha256 {file.sha256}"
        print(common.plain(f"{'file':<12} {public_name(file)}  {details}"))


def _in_words(value: object) -> str:
    """Return a value of JSON as people read it."""
    match value:
        case dict():
            return ", ".join(f"{name} {_in_words(inner)}" for name, inner in value.items())
        case list():
            return ", ".join(map(_in_words, value)) or "none"
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)


def download(args: Namespace, settings: Settings, store: StoreFile, of: Recording) -> None:
    """Copy finished files into a folder, checked against the index."""
    files = (offered_file(of, args.name),) if args.name else offered_files(of)
    if not files:
        raise Refused(Code.NOT_FOUND, f"{of.key} has no files: it is {of.state}")
    args.out.mkdir(parents=True, exist_ok=True)
    asyncio.run(_note_read(store, of, files))
    for file in files:
        target = args.out / public_name(file)
        asyncio.run(_copy(settings, of, file, target))
        fields = {"recording": str(of.key), "file": str(target), "bytes": file.size_bytes}
        common.emit(args, f"{target}  {file.size_bytes} bytes", **fields, sha256=file.sha256)


def retry(args: Namespace, settings: Settings, store: StoreFile, of: Recording) -> None:
    """Hand a failed recording to the workers again."""
    stored = asyncio.run(_retry(settings, store, of))
    queue = settings.recording.processing_queue
    text = f"{of.key}: put into {queue}, retry {stored.retries}"
    common.emit(args, text, recording=str(of.key), queue=queue, retries=stored.retries)


def _query(args: Namespace) -> RecordingQuery:
    if args.domain is None and (args.owner or args.participant):
        raise Malformed("--domain is required: users are known by their domain")
    if args.limit < 0:
        raise Malformed("--limit must be 0 or more")
    domain = None if args.domain is None else DomainId(args.domain)
    participant = None
    if args.participant is not None:
        assert domain is not None  # noqa: S101  # required above
        participant = UserKey(domain, UserId(args.participant))
    return RecordingQuery(
        domain=domain,
        owner=None if args.owner is None else UserId(args.owner),
        participant=participant,
        room=None if args.room is None else RoomId(args.room),
        uuid=None if args.uuid is None else RoomUuid(args.uuid),
        state=args.state,
        from_ms=_time(args.from_),
        to_ms=_time(args.to),
        limit=PAGE,
    )


def _time(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_iso(text)
    except ValueError as error:
        raise Malformed(f"{text!r} is no time: {error}; write 2026-12-01T09:00:00Z") from None


def _found(store: StoreFile, query: RecordingQuery, limit: int) -> Iterator[Recording]:
    """Yield recordings page by page; ``limit`` 0: all."""
    left = limit or sys.maxsize
    while left > 0:
        page = store.index.recordings(query)
        yield from page.recordings[:left]
        left -= len(page.recordings)
        if page.next is None:
            return
        query = replace(query, after=page.next)


def _json(
    recording: Recording, settings: Settings, store: StoreFile, *, listed: bool = False
) -> dict[str, object]:
    days = store.index.retention_days(recording.facts.domain)
    expires = expires_ms(recording, settings.retention_rules(), days)
    return recording_json(recording, None, expires, listed=listed)


def _print_table(recordings: Iterator[Recording]) -> None:
    columns = ("recording", "started (UTC)", "length", "state", "owner", "room", "files")
    common.print_table(columns, map(_row, recordings))


def _row(recording: Recording) -> tuple[str, ...]:
    facts = recording.facts
    files = offered_files(recording)
    started = datetime.fromtimestamp(facts.started_ms / 1000, UTC)
    return (
        str(recording.key),
        f"{started:%Y-%m-%d %H:%M:%S}",
        "" if facts.duration_ms is None else common.clock(facts.duration_ms / 1000),
        _shown_state(recording),
        f"{facts.owner} ({facts.domain})",
        facts.room,
        f"{len(files)}, {recording.bytes / 1e6:.1f} MB" if files else "",
    )


def _shown_state(recording: Recording) -> str:
    requested = recording.deletion is not None and recording.state is not RecordingState.DELETED
    return f"{recording.state}, being deleted" if requested else recording.state


async def _note_read(store: StoreFile, of: Recording, files: tuple[FinishedFile, ...]) -> None:
    at_ms = SystemClock().now().wall_ms
    by = _operator(of)
    noted = tuple(
        entry(at_ms, by.key, of.facts.domain, "file.read", str(of.key), name=public_name(file))
        for file in files
    )
    await store.commit(Commit(audit=noted))


async def _copy(settings: Settings, of: Recording, file: FinishedFile, target: Path) -> None:
    """Copy a file whole or not at all.

    Raises:
        Refused: FILE_LOST: it is missing, or not what was recorded; the target exists already.
    """
    result = of.outcome
    assert isinstance(result, Processed)  # noqa: S101  # others have no files
    if file.url is not None:
        opened = await stored_files(settings).open(file)
    else:
        opened = await shared_files(settings).open_result(place_below(result, file))
    part = target.with_name(f"{target.name}.part")
    digest, offset = hashlib.sha256(), 0
    try:
        with _created(part) as number, _progress(target.name, opened.size_bytes) as advance:
            while piece := await opened.read(offset, _PIECE_BYTES):
                digest.update(piece)
                os.write(number, piece)
                offset += len(piece)
                advance(len(piece))
            os.fsync(number)
        if digest.hexdigest() != file.sha256:
            detail = f"{target.name} is not the file that was recorded: its SHA-256 differs"
            raise Refused(Code.FILE_LOST, detail)
        os.link(part, target)
    except FileExistsError:
        raise Refused(Code.BAD_REQUEST, f"{target} exists already: remove it first") from None
    except OSError as error:
        raise Unavailable(f"{target}: cannot be written: {error.strerror}") from error
    finally:
        opened.close()
        with suppress(FileNotFoundError):
            part.unlink()


@contextmanager
def _created(file: Path) -> Iterator[int]:
    """Create a file of ours for the block. Raises FileExistsError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    number = os.open(file, flags, 0o600)
    try:
        yield number
    finally:
        os.close(number)


@contextmanager
def _progress(name: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal; yields what moves it on by bytes."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # here: it takes a quarter of a second to load
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=size_bytes)
        yield lambda length: bar.advance(task, length)


class _Published:
    """Commits of which the messages are published first."""

    def __init__(self, store: StoreFile, broker: Broker) -> None:
        self._store = store
        self._broker = broker

    def commit(self, commit: Commit, epoch: int) -> "Future[tuple[OutboxRow, ...]]":
        """See ``Store``."""
        return asyncio.ensure_future(self._publish_and_commit(commit, epoch))

    async def _publish_and_commit(self, commit: Commit, epoch: int) -> tuple[OutboxRow, ...]:
        for row in commit.outbox:
            await self._broker.publish(
                Message(
                    row.routing_key,
                    row.message_id,
                    row.body,
                    row.correlation_id,
                    row.created_ms,
                    mandatory=row.mandatory,
                )
            )
        return await self._store.commit(commit, epoch)


async def _retry(settings: Settings, store: StoreFile, of: Recording) -> Recording:
    clock = SystemClock()
    queries = RecordingQueries(store.index, settings.retention_rules(), clock)
    async with open_broker(settings) as broker:
        await broker.open(queues(settings))
        committer = Committer(_Published(store, broker), lambda _: None)
        retries = RecordingRetries(queries, shared_files(settings), committer, clock)
        return await retries.retry(_operator(of), of.key)


def _operator(of: Recording) -> Requester:
    return Requester(UserKey(of.facts.domain, OPERATOR), admin=True)
