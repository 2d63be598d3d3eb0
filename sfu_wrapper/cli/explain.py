"""``sfu-wrapper explain``: the reason for which a call of a user would or would not be recorded.

Reads the stored permissions, evaluates the policy of the core, prints the decision. Writes nothing.
"""

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from typing import assert_never

from sfu_wrapper.adapters.sqlite.rows import stored_permissions
from sfu_wrapper.cli import common
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.core.policy import Decision, Reason, Source, asks, decide
from sfu_wrapper.model.errors import Malformed, Misconfigured
from sfu_wrapper.model.identity import (
    DomainId,
    Kind,
    Origin,
    OwnerPermissions,
    RecordingPermissions,
    UserId,
    UserKey,
)


@dataclass(frozen=True, slots=True)
class Question:
    """Call to explain.

    Attributes:
        owner: owner of the room.
        kind: kind of the room.
        origin: origin of the call.
        record: flag of the room; None: not given.
    """

    owner: UserKey
    kind: Kind
    origin: Origin
    record: bool | None


def add_arguments(parser: ArgumentParser) -> None:
    """Add the properties of the call to explain."""
    parser.add_argument("--user", required=True, metavar="U", help="the caller, or the creator")
    parser.add_argument("--domain", metavar="D", help="its domain (default: what follows its @)")
    parser.add_argument("--kind", type=Kind, choices=list(Kind), default=Kind.DIRECT)
    parser.add_argument("--origin", type=Origin, choices=list(Origin), default=Origin.INTERNAL)
    parser.add_argument("--record", choices=["true", "false"], help="the flag (default: not given)")


def run(args: Namespace) -> int:
    """Print the decision with the level that decided."""
    question = _question(args)
    settings = common.configured(args).settings
    stored = _stored(settings, question.owner)
    decision = decide(
        question.kind, question.origin, question.record, stored, settings.policy_settings()
    )
    lines = _story(question, decision, stored, settings)
    common.emit(args, "\n".join(lines), **_answer(question, decision, stored, settings))
    return common.DONE


def _question(args: Namespace) -> Question:
    domain = args.domain or args.user.rpartition("@")[2]
    if not args.domain and "@" not in args.user:
        raise Malformed(f"--domain is required: {args.user} names none")
    if args.origin is Origin.PSTN and args.kind is not Kind.DIRECT:
        raise Malformed("--origin pstn goes with --kind direct only")
    record = None if args.record is None else args.record == "true"
    return Question(UserKey(DomainId(domain), UserId(args.user)), args.kind, args.origin, record)


def _stored(settings: Settings, owner: UserKey) -> OwnerPermissions:
    file = settings.store.sqlite_file
    if file is None:
        raise Misconfigured("store.url: explain reads sqlite:<file> only in this version")
    return stored_permissions(file, owner)


def _story(
    question: Question, decision: Decision, stored: OwnerPermissions, settings: Settings
) -> list[str]:
    flag = {None: "no record flag", True: "record true", False: "record false"}[question.record]
    levels = {
        Source.USER: f"user {question.owner.user}: {_words(stored.user)}",
        Source.DOMAIN: f"domain {question.owner.domain}: {_words(stored.domain)}",
        Source.SYSTEM: f"system: rooms.record = {settings.rooms.record}",
        Source.TRUNK: f"trunk: recordIncomingPSTN = {_bool(settings.trunk.record_incoming_pstn)}",
    }
    if question.origin is Origin.INTERNAL:
        del levels[Source.TRUNK]
    return [
        f"a {question.kind} room, {question.origin}, {flag}"
        f" (counts as {_bool(asks(question.kind, question.record))})",
        *(f"  {text}{_mark(source, decision)}" for source, text in levels.items()),
        _automatic(decision),
        _by_hand(question, decision),
    ]


def _automatic(decision: Decision) -> str:
    if decision.reason is None:
        return f"starts by itself when established: yes, recording {decision.type}"
    return (
        f"starts by itself when established: no, {_explained(decision.reason)} ({decision.reason})"
    )


def _explained(reason: Reason) -> str:
    match reason:
        case Reason.NO_PERMISSION:
            return "neither user nor domain has a permission, and rooms.record is none"
        case Reason.PROFILE:
            return "the permission that counts has a recordingProfile other than always"
        case Reason.TYPE_NONE:
            return "the permission that counts has recordingType none"
        case Reason.NOT_ASKED:
            return "the room does not ask for it (record)"
        case Reason.AT_START_OFF:
            return "recordRecordingAtStart is false"
        case Reason.PUBLIC_ROOM:
            return "public rooms are never recorded"
        case Reason.PSTN_OFF:
            return "trunk.recordIncomingPSTN is false"
        case Reason.PSTN_CONFLICT:
            return "recordRecordingAtStart is false, and trunk.conflict is not record"
    assert_never(reason)


def _by_hand(question: Question, decision: Decision) -> str:
    if question.origin is Origin.PSTN:
        return "can be started by hand: by nobody, its creator is the PSTN user"
    if not decision.allowed:
        return "can be started by hand: by nobody"
    owner = question.owner.user
    return f"can be started by hand: by {owner} and by nobody else, recording {decision.type}"


def _answer(
    question: Question, decision: Decision, stored: OwnerPermissions, settings: Settings
) -> dict[str, object]:
    return {
        "user": question.owner.user,
        "domain": question.owner.domain,
        "kind": question.kind,
        "origin": question.origin,
        "record": asks(question.kind, question.record),
        "automatic": decision.automatic,
        "allowed": decision.allowed,
        "startBy": question.owner.user if decision.allowed else None,
        "type": decision.type,
        "source": decision.source,
        "reason": decision.reason,
        "levels": {
            "user": _fields(stored.user),
            "domain": _fields(stored.domain),
            "system": settings.rooms.record,
        },
    }


def _mark(source: Source, decision: Decision) -> str:
    return "   <- decides" if source is decision.source else ""


def _words(permission: RecordingPermissions | None) -> str:
    if permission is None:
        return "no permission stored"
    profile, kind = permission.recording_profile, permission.recording_type
    return f"recordingProfile {profile}, recordingType {kind}"


def _fields(permission: RecordingPermissions | None) -> dict[str, str] | None:
    if permission is None:
        return None
    return {
        "recordingType": permission.recording_type,
        "recordingProfile": permission.recording_profile,
    }


def _bool(value: bool) -> str:
    return str(value).lower()
