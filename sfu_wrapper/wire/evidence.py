"""Evidence about one recording: a vCon (draft-ietf-vcon-vcon-core), and its signed form.

A vCon is JSON: parties, dialog (here: the media files, by address and hash), analysis and
attachments. Signed, it is the payload of a JWS in the general JSON serialization, as the draft
demands. Everything in it comes from the index and the audit chain; nothing reads a media file.
Source: evidence.md.
"""

import base64
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from pydantic import BaseModel, RootModel

from sfu_wrapper.core.finished import (
    ENCRYPTED_SUFFIX,
    known_files,
    media_type,
    offered_files,
    public_name,
)
from sfu_wrapper.core.intervals import Span, intervals, most_on_screen
from sfu_wrapper.model.audit import AuditRow
from sfu_wrapper.model.identity import UserKey
from sfu_wrapper.model.media import Stream
from sfu_wrapper.model.recording import DecisionAtStart, Recording, RecordingFacts
from sfu_wrapper.model.segment import Failed, FileKind, FinishedFile, Processed
from sfu_wrapper.wire.audit import row_json
from sfu_wrapper.wire.job_messages import missing_object, sync_object
from sfu_wrapper.wire.strict_json import iso

VERSION: Final = "0.4.0"  # of the syntax: the parameter vcon
VENDOR: Final = "sfu-wrapper"
EVIDENCE_TYPE: Final = "vcon+jws"
"""``typ`` of a signed vCon."""

MAX_ENTRIES: Final = 1_000  # audit entries in one document, the latest
MAX_AT_ONCE: Final = 64  # tracks on screen at once, beyond which no intervals are computed
_NAMESPACE: Final = uuid.UUID("5b1b3f0e-6f0d-5d0e-9f43-0d6f1d3c8a52")  # ours, for uuids of vCons
_SHOWN: Final = frozenset({Stream.CAMERA, Stream.SCREEN})
_CONVERSATION: Final = frozenset({FileKind.MERGED, FileKind.AUDIO, FileKind.VIDEO})

Json = dict[str, object]


class VconModel(BaseModel):
    """A vCon (draft-ietf-vcon-vcon-core)."""

    vcon: str
    uuid: str
    created_at: str
    subject: str
    parties: list[Json]
    dialog: list[Json]
    analysis: list[Json]
    attachments: list[Json]


class VconSignature(BaseModel):
    """A signature in the general JSON serialization."""

    protected: str
    header: Json
    signature: str


class SignedVconModel(BaseModel):
    """A signed vCon: a JWS in the general JSON serialization (RFC 7515, 7.2.1)."""

    payload: str
    signatures: list[VconSignature]


class EvidenceModel(RootModel[VconModel | SignedVconModel]):
    """Evidence of a recording: a vCon, signed with `audit.keyFile`."""


Address = Callable[[str], str]
"""Function that returns the address of the file with that public name."""


def evidence(
    recording: Recording, rows: Sequence[AuditRow], address: Address, version: str, at_ms: int
) -> Json:
    """Return the vCon of a recording.

    Args:
        recording: the recording as in the index.
        rows: audit entries about it.
        address: where its files are read.
        version: version of this product.
        at_ms: epoch ms of this document.
    """
    people = _people(recording.facts)
    dialog = _dialog(recording, people, address)
    whole = range(len(dialog))
    return {
        "vcon": VERSION,
        "uuid": str(uuid.uuid5(_NAMESPACE, str(recording.key))),
        "created_at": iso(at_ms),
        "subject": f"recording {recording.key} of room {recording.facts.room}",
        "parties": [_party(each, recording.facts) for each in people],
        "dialog": dialog,
        "analysis": list(_analysis(recording, list(whole), version)),
        "attachments": list(_attachments(recording, rows, address)),
    }


def signed(compact: str, document: Json) -> Json:
    """Return the signed form: a JWS in the general JSON serialization (RFC 7515, 7.2.1).

    Args:
        compact: JWS of the document in its compact form.
        document: the vCon.
    """
    protected, payload, signature = compact.split(".")
    header = {"uuid": document["uuid"]}
    one = {"protected": protected, "header": header, "signature": signature}
    return {"payload": payload, "signatures": [one]}


def content_hash(sha256: str) -> str:
    """Return a SHA-256 in hex as vCon writes hashes: ``sha256-`` and base64url."""
    digest = base64.urlsafe_b64encode(bytes.fromhex(sha256))
    return f"sha256-{digest.rstrip(b'=').decode()}"


def _people(facts: RecordingFacts) -> list[UserKey]:
    """Return the owner, then everyone who was in the room, each once."""
    return list(dict.fromkeys([facts.owner_key, *(stay.user for stay in facts.stays)]))


def _party(user: UserKey, facts: RecordingFacts) -> Json:
    """Return a party. Its name is the id: the product knows no other names."""
    role = "owner" if user == facts.owner_key else "participant"
    meta = {"user": user.user, "domain": user.domain}
    return {"name": user.user, "role": role, "meta": meta}


def _dialog(recording: Recording, people: Sequence[UserKey], address: Address) -> list[Json]:
    facts = recording.facts
    meta: Json = {"room": facts.room, "uuid": facts.key.uuid, "segment": facts.key.segment}
    shared: Json = {
        "start": iso(facts.started_ms),
        "parties": list(range(len(people))),
        "originator": 0,
        "party_history": list(_stays(facts, people)),
        "meta": meta,
    }
    if facts.duration_ms is not None:
        shared["duration"] = facts.duration_ms / 1000
    files = [file for file in known_files(recording) if file.kind in _CONVERSATION]
    offered = offered_files(recording)
    found = [{"type": "recording"} | shared | _file(file, offered, address, meta) for file in files]
    if found:
        return found
    return [{"type": "incomplete", "disposition": "failed"} | shared]


def _stays(facts: RecordingFacts, people: Sequence[UserKey]) -> Iterable[Json]:
    number = {user: n for n, user in enumerate(people)}
    events = []
    for stay in facts.stays:
        events.append((stay.joined_ms, number[stay.user], "join"))
        if stay.left_ms is not None:
            events.append((stay.left_ms, number[stay.user], "drop"))
    for at_ms, party, event in sorted(events):
        yield {"party": party, "event": event, "time": iso(at_ms)}


def _file(
    file: FinishedFile, offered: Sequence[FinishedFile], address: Address, meta: Json
) -> Json:
    """Return name, hash and, while it can be read, address of a file, and its object in ``meta``.

    An encrypted file has the media type of its content: the syntax knows types of media only.
    """
    name = public_name(file)
    shown: Json = {
        "mediatype": media_type(name.removesuffix(ENCRYPTED_SUFFIX)),
        "filename": name,
        "content_hash": content_hash(file.sha256),
    }
    if file in offered:
        shown["url"] = address(name)
    if file.url is not None:
        shown["meta"] = meta | {"object": file.url}
    return shown


def _analysis(recording: Recording, dialog: list[int], version: str) -> Iterable[Json]:
    result = recording.outcome
    if isinstance(result, Processed):
        sync = {"warnings": list(result.warnings), "tracks": sync_object(result.sync)}
        yield _analysed("sync", sync, dialog, version)
        on_screen = _intervals(result)
        if on_screen is not None:
            yield _analysed("intervals", on_screen, dialog, version)
        files = [missing_object(one) for one in result.missing]
    else:
        files = []
    missing = {
        "incomplete": recording.facts.incomplete,
        "media": list(recording.facts.missing),
        "files": files,
    }
    yield _analysed("missing-media", missing, dialog, version)
    if isinstance(result, Failed):
        failure = {"stage": result.stage, "code": result.code, "detail": result.detail}
        yield _analysed("failure", failure, dialog, version)


def _analysed(type_: str, body: object, dialog: list[int], version: str) -> Json:
    return {
        "type": type_,
        "dialog": dialog,
        "vendor": VENDOR,
        "product": f"{VENDOR} {version}",
        "encoding": "json",
        "body": body,
    }


def _intervals(result: Processed) -> list[Json] | None:
    """Return who was on screen when, by the measured files; None: too many at once."""
    shown = [
        Span(n, one.start_ms * 1000, (one.start_ms + one.length_ms) * 1000)
        for n, one in enumerate(result.sync)
        if one.stream in _SHOWN
    ]
    if most_on_screen(shown) > MAX_AT_ONCE:
        return None
    duration_us = max(result.completed_ms - result.started_ms, 0) * 1000
    return [
        {
            "startMs": each.start_us // 1000,
            "stopMs": each.stop_us // 1000,
            "tracks": [
                {"user": result.sync[n].user, "stream": result.sync[n].stream.value}
                for n in each.tracks
            ],
        }
        for each in intervals(shown, duration_us)
    ]


def _attachments(
    recording: Recording, rows: Sequence[AuditRow], address: Address
) -> Iterable[Json]:
    start = iso(recording.facts.started_ms)
    common: Json = {"start": start, "party": 0, "dialog": 0}
    for file in known_files(recording):
        if file.kind not in _CONVERSATION and file in offered_files(recording):
            yield {"purpose": file.kind.value} | common | _file(file, [file], address, {})
    yield {"purpose": "decision", "encoding": "json", "body": _decision(recording)} | common
    entries = [row_json(row) for row in rows]
    yield {"purpose": "audit", "encoding": "json", "body": entries} | common


def _decision(recording: Recording) -> Json:
    facts = recording.facts
    return {
        "by": facts.by,
        "type": facts.type.value,
        "decision": None if facts.decision is None else _decided(facts.decision),
    }


def _decided(decision: DecisionAtStart) -> Json:
    return {
        "allowed": decision.allowed,
        "automatic": decision.automatic,
        "type": decision.type.value,
        "source": decision.source,
        "reason": decision.reason,
    }
