"""``sfu-wrapper permissions``: get, set and delete stored permissions to record, or try one.

Opens the configured store directly, with or without a running controller, and uses the service of
the REST API with the rights of the domain's administrator: access to the store's file replaces the
token, and permissions can be set before the first start of a controller. A change takes effect at
the next start of a recording.
"""

import asyncio
import re
from argparse import ArgumentParser, Namespace
from functools import cache
from pathlib import Path

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.sqlite.rows import PermissionFile
from sfu_wrapper.adapters.sqlite.store_file import StoreFile
from sfu_wrapper.cli import common
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.core.access import Subject
from sfu_wrapper.core.dry_run import Change, Judged
from sfu_wrapper.core.policy import Decision
from sfu_wrapper.model.errors import Malformed, Misconfigured
from sfu_wrapper.model.identity import (
    DomainId,
    Identity,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    Role,
    UserId,
)
from sfu_wrapper.service.recordings.dry_runs import DryRuns
from sfu_wrapper.service.rooms.permissions import Permissions
from sfu_wrapper.wire.dry_runs import DAYS, MAX_DAYS, judged_json
from sfu_wrapper.wire.rest import ID_LENGTH, ID_PATTERN, permission_json

_OPERATOR = UserId("operator")
_DRY_RUN = "dry-run"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the action, its subject and the new permission."""
    parser.add_argument("deed", choices=["get", "set", "delete", _DRY_RUN])
    parser.add_argument("whose", metavar="domain:ID|user:ID", help="a domain, or a user")
    parser.add_argument("--domain", metavar="D", help="the user's (default: what follows its @)")
    parser.add_argument(
        "--type", type=RecordingType, choices=list(RecordingType), help="which streams"
    )
    parser.add_argument(
        "--profile", type=RecordingProfile, choices=list(RecordingProfile), help="policy"
    )
    parser.add_argument(
        "--days", type=int, default=DAYS, metavar="N", help=f"for dry-run: of the last N ({DAYS})"
    )


def run(args: Namespace) -> int:
    """Run the action and print the stored permission."""
    subject = _subject(args.whose, args.domain)
    wanted = _wanted(args)
    if args.deed == _DRY_RUN:
        return _dry_run(args, Change(subject, wanted))
    permissions = _permissions(common.configured(args).settings)
    by = Identity(subject.domain, _OPERATOR, frozenset({Role.DOMAIN_ADMIN}))
    stored = asyncio.run(_do(permissions, args.deed, by, subject, wanted))
    user = f"user {subject.user} of " if subject.user else ""
    shown = {} if stored is None else permission_json(stored)
    fields = {"domain": subject.domain, "user": subject.user, **shown}
    common.emit(args, f"{user}domain {subject.domain}: {_words(stored)}", **fields)
    return common.DONE


def _dry_run(args: Namespace, change: Change) -> int:
    """Print the calls that the change would decide otherwise, and how many of them."""
    if not 1 <= args.days <= MAX_DAYS:
        raise Malformed(f"--days must be 1 to {MAX_DAYS}")
    settings = common.configured(args).settings
    file = _file(settings)
    domain = change.subject.domain
    by = Identity(domain, _OPERATOR, frozenset({Role.DOMAIN_ADMIN}))
    with StoreFile(file) as store:
        policy = settings.policy_settings()
        permissions = cache(PermissionFile(file).permissions)
        runs = DryRuns(store, permissions, SystemClock(), policy)
        found, judged = asyncio.run(_all_pages(runs, by, change, args.days))
    if not common.wants_json(args):
        common.print_table(("room", "owner", "now", "would be"), map(_row, found))
    else:
        for call in found:
            common.emit(args, "", **judged_json(call))
    whose = args.whose if change.permission is not None else f"{args.whose} removed"
    wanted = f"{whose}: {_words(change.permission)}"
    what = f"{len(found)} of {judged} calls of the last {args.days} days"
    text = f"with {wanted}, {what} would be decided otherwise"
    common.emit(args, text, judged=judged, changed=len(found), days=args.days)
    return common.DONE


async def _all_pages(
    runs: DryRuns, by: Identity, change: Change, days: int
) -> tuple[list[Judged], int]:
    """Return all calls, and the number of those that were looked at."""
    found: list[Judged] = []
    judged, after = 0, None
    while True:
        page = await runs.page(by, change, days, after)
        found += page.calls
        judged += page.judged
        after = page.next
        if after is None:
            return found, judged


def _row(call: Judged) -> tuple[str, ...]:
    return call.room.id, call.room.owner, _outcome(call.now), _outcome(call.would)


def _outcome(decision: Decision) -> str:
    if decision.automatic:
        return f"recorded ({decision.type})"
    return f"{'by hand' if decision.allowed else 'not recorded'} ({decision.reason})"


async def _do(
    permissions: Permissions,
    deed: str,
    by: Identity,
    subject: Subject,
    wanted: RecordingPermissions | None,
) -> RecordingPermissions | None:
    if deed == "delete":
        await permissions.delete(by, subject)
        return None
    if wanted is not None:
        await permissions.put(by, subject, wanted)
    return permissions.get(by, subject)


def _subject(whose: str, domain: str | None) -> Subject:
    kind, _, name = whose.partition(":")
    if kind == "domain" and domain in (None, name):
        return Subject(DomainId(_id(name)))
    if kind != "user":
        raise Malformed(f"{whose}: write domain:ID, or user:ID with --domain D")
    if domain is None and "@" not in name:
        raise Malformed(f"--domain is required: {name} names none")
    return Subject(DomainId(_id(domain or name.rpartition("@")[2])), UserId(_id(name)))


def _id(text: str) -> str:
    if len(text) > ID_LENGTH or not re.fullmatch(ID_PATTERN, text):
        allowed = f"1 to {ID_LENGTH} characters of A-Z a-z 0-9 . _ @ + : -"
        raise Malformed(f"{text!r} is no id: {allowed}")
    return text


def _wanted(args: Namespace) -> RecordingPermissions | None:
    given = args.type, args.profile
    if args.deed not in ("set", _DRY_RUN):
        if given != (None, None):
            raise Malformed(f"--type and --profile go with set, not with {args.deed}")
        return None
    if args.deed == _DRY_RUN and given == (None, None):
        return None  # as if it were deleted
    if None in given:
        raise Malformed(f"{args.deed} needs both --type and --profile")
    return RecordingPermissions(*given)


def _permissions(settings: Settings) -> Permissions:
    store = PermissionFile(_file(settings))
    return Permissions(store, SystemClock(), system=settings.rooms.record)


def _file(settings: Settings) -> Path:
    file = settings.store.sqlite_file
    if file is None:
        raise Misconfigured("store.url: this version keeps permissions in sqlite:<file> only")
    return file


def _words(stored: RecordingPermissions | None) -> str:
    if stored is None:
        return "nothing stored"
    return f"recordingType {stored.recording_type}, recordingProfile {stored.recording_profile}"
