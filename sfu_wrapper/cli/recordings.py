"""``sfu-wrapper recordings``: find, copy, retry, delete, hold and erase recordings, on the store.

``verify`` is in ``evidence``: it needs no store. ``reindex`` is in ``reindexing``.

Works with or without a running controller, with the rights of the domain's administrator: access to
the store's file replaces the token. The controller finds what is to be deleted at its next round of
retention, or at its start, and hands it to the workers. What deletes asks first on a terminal, and
needs ``--yes`` elsewhere.
"""

import argparse
import asyncio
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.sqlite.store_file import StoreFile
from sfu_wrapper.cli import common, evidence, recording_views, reindexing
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.core.events import Requester
from sfu_wrapper.model.errors import Code, Malformed, Misconfigured, Refused
from sfu_wrapper.model.identity import DomainId, RoomUuid, SegmentNo, UserId, UserKey
from sfu_wrapper.model.recording import Recording, RecordingKey, RecordingState
from sfu_wrapper.ports.store import Commit
from sfu_wrapper.service.recordings.audit import entry
from sfu_wrapper.service.recordings.changes import RecordingChanges
from sfu_wrapper.service.recordings.deletion_commits import Committer
from sfu_wrapper.service.recordings.erasures import Erasure, Erasures

_ADDRESS: Final = re.compile(r"([A-Za-z0-9_][A-Za-z0-9._-]{0,63})/([1-9][0-9]{0,8})")
_ID: Final = re.compile(r"[A-Za-z0-9._@+:-]{1,128}")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the actions with their arguments."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = _action(actions, "list", _list, "list recordings, the newest first")
    recording_views.add_filters(listing)
    missing = _action(
        actions, "missed", _missed, "list calls that were not recorded as was decided"
    )
    recording_views.add_missed_filters(missing)
    showing = _action(actions, "show", _view(recording_views.show), "show one recording")
    downloading = _action(
        actions, "download", _view(recording_views.download), "copy its files into a folder"
    )
    downloading.add_argument("--name", help="one of its files (default: all)")
    downloading.add_argument("--out", metavar="DIR", type=Path, default=Path(), help="the folder")
    retrying = _action(
        actions, "retry", _view(recording_views.retry), "hand a failed one to the workers again"
    )
    for inner in (showing, downloading, retrying):
        inner.add_argument("recording", metavar="UUID/SEGMENT", help="its address")
    deleting = _action(actions, "delete", _delete, "delete a recording with all its files")
    deleting.add_argument("recording", metavar="UUID/SEGMENT", help="its address")
    _add_yes(deleting)
    holding = _action(actions, "hold", _hold, "set a legal hold, or remove it")
    holding.add_argument("recording", metavar="UUID/SEGMENT", help="its address")
    how = holding.add_mutually_exclusive_group(required=True)
    how.add_argument("--reason", metavar="TEXT", help="set it: why the recording must be kept")
    how.add_argument("--remove", action="store_true", help="remove it")
    erasing = _action(actions, "erase", _erase, "delete all recordings of one person")
    erasing.add_argument("user", help="the person: owned, or took part in")
    erasing.add_argument("--domain", metavar="D", required=True, help="domain of the recordings")
    erasing.add_argument("--user-domain", metavar="D", help="the person's (default: --domain)")
    _add_yes(erasing)
    filling = _action(actions, "reindex", _reindex, reindexing.HELP)
    reindexing.add_arguments(filling)
    verifying = actions.add_parser("verify", help=evidence.HELP, description=evidence.HELP)
    common.add_common(verifying)
    evidence.add_arguments(verifying)
    verifying.set_defaults(action=evidence.run)


def run(args: Namespace) -> int:
    """Run the action."""
    if args.action is evidence.run:
        return int(evidence.run(args))
    settings = common.configured(args).settings
    file = settings.store.sqlite_file
    if file is None:
        raise Misconfigured("store.url: this version keeps recordings in sqlite:<file> only")
    action: Callable[[Namespace, _Work], int | None] = args.action
    with StoreFile(file) as store:
        return action(args, _Work(settings, store)) or common.DONE


class _Work:
    """Services over the store.

    Attributes:
        settings: the configuration.
        store: the store's file.
        changes: holds and deletions.
        erasures: erasures.
        interval_s: seconds between two rounds of the controller's retention.
    """

    def __init__(self, settings: Settings, store: StoreFile) -> None:
        clock, committer = SystemClock(), Committer(store, lambda _: None)
        self._clock = clock
        self.settings = settings
        self.store = store
        self.changes = RecordingChanges(store.index, committer, clock, settings.retention_rules())
        self.erasures = Erasures(store.index, committer, clock)
        self.interval_s = settings.retention.interval_seconds

    def recording(self, address: str) -> Recording:
        """Return a recording by its address. Raises Malformed, Refused."""
        key = _key(address)
        found = self.store.index.recording(key)
        if found is None:
            raise Refused(Code.NOT_FOUND, f"recording not found: {key}")
        return found

    async def audited(
        self, by: Requester, key: RecordingKey, action: str, change: Awaitable[Recording]
    ) -> None:
        """Wait for a change; a refused one leaves an audit entry, as the others do."""
        try:
            await change
        except Refused as refused:
            at_ms, domain = self._clock.now().wall_ms, by.key.domain
            noted = entry(at_ms, by.key, domain, action, str(key), refused.code)
            await self.store.commit(Commit(audit=(noted,)))
            raise


_View = Callable[[Namespace, Settings, StoreFile, Recording], None]


def _list(args: Namespace, work: _Work) -> None:
    recording_views.list_recordings(args, work.settings, work.store)


def _missed(args: Namespace, work: _Work) -> None:
    recording_views.list_missed(args, work.store)


def _view(show: _View) -> Callable[[Namespace, _Work], None]:
    """Return an action on the recording that its arguments name."""

    def act(args: Namespace, work: _Work) -> None:
        show(args, work.settings, work.store, work.recording(args.recording))

    return act


def _reindex(args: Namespace, work: _Work) -> int:
    domain = None if args.domain is None else DomainId(_id(args.domain))
    owner = None if args.owner is None else UserId(_id(args.owner))
    return reindexing.reindex(args, work.settings, work.store, domain, owner)


def _delete(args: Namespace, work: _Work) -> None:
    found = work.recording(args.recording)
    key = found.key
    if found.state is RecordingState.DELETED:
        common.emit(args, f"{key}: deleted already", recording=str(key), state=found.state)
        return
    _confirm(args, f"delete {key}, owned by {found.facts.owner}, with all its files")
    by = _administrator(found.facts.domain)
    asyncio.run(work.audited(by, key, "recording.delete", work.changes.delete(by, key)))
    text = f"{key}: will be deleted, {_soon(work)}"
    common.emit(args, text, recording=str(key), state=found.state, requested=True)


def _hold(args: Namespace, work: _Work) -> None:
    found = work.recording(args.recording)
    by, key = _administrator(found.facts.domain), found.key
    if args.remove:
        change = work.changes.release(by, key)
        asyncio.run(work.audited(by, key, "recording.release", change))
        common.emit(args, f"{key}: no longer held", recording=str(key), hold=None)
        return
    change = work.changes.hold(by, key, args.reason)
    asyncio.run(work.audited(by, key, "recording.hold", change))
    common.emit(args, f"{key}: held: {args.reason}", recording=str(key), hold=args.reason)


def _erase(args: Namespace, work: _Work) -> None:
    domain = DomainId(_id(args.domain))
    user = UserKey(DomainId(_id(args.user_domain or domain)), UserId(_id(args.user)))
    by = _administrator(domain)
    preview = asyncio.run(work.erasures.preview(by, user))
    if not common.wants_json(args):
        _show(preview)
    done = preview
    if preview.count:
        _confirm(args, f"delete these {preview.count} recordings with all their files")
        done = asyncio.run(work.erasures.erase(by, user, preview.count))
    text = f"{done.count} recordings will be deleted, {_soon(work)}" if done.count else "nothing"
    common.emit(
        args,
        text,
        user=user.user,
        domain=domain,
        count=done.count,
        recordings=[str(key) for key, _ in done.recordings],
        held=[str(key) for key in done.held],
        running=[str(key) for key in done.running],
    )


def _show(preview: Erasure) -> None:
    for key, owned in preview.recordings:
        print(f"{key}: {'owned' if owned else 'took part'}")
    if (more := preview.count - len(preview.recordings)) > 0:
        print(f"and {more} more")
    for key in preview.held:
        print(f"{key}: held, stays")
    for key in preview.running:
        print(f"{key}: being recorded, stays")


def _confirm(args: Namespace, deed: str) -> None:
    """Require a yes before something is deleted. Raises Refused where the answer is no.

    Raises:
        Malformed: without a terminal, ``--yes`` is required.
    """
    if args.yes:
        return
    if not sys.stdin.isatty():
        raise Malformed(f"add --yes to {deed}: there is no terminal to ask on")
    print(f"{deed[0].upper()}{deed[1:]}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Refused(Code.FORBIDDEN, "not confirmed: nothing is deleted")


def _soon(work: _Work) -> str:
    return f"within {work.interval_s:g} s of a running controller, or when one starts"


def _administrator(domain: DomainId) -> Requester:
    return Requester(UserKey(domain, recording_views.OPERATOR), admin=True)


def _key(address: str) -> RecordingKey:
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise Malformed(f"{address!r} is no recording: write UUID/SEGMENT, such as 61408347/1")
    return RecordingKey(RoomUuid(found[1]), SegmentNo(int(found[2])))


def _id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise Malformed(f"{text!r} is no id: 1 to 128 characters of A-Z a-z 0-9 . _ @ + : -")
    return text


def _add_yes(parser: ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _action(
    actions: "argparse._SubParsersAction[ArgumentParser]",
    name: str,
    run_: Callable[[Namespace, _Work], int | None],
    about: str,
) -> ArgumentParser:
    """Add an action and return its parser."""
    parser = actions.add_parser(name, help=about, description=about)
    common.add_common(parser)
    parser.set_defaults(action=run_)
    return parser
