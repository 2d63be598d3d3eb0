"""Audit entries as canonical JSON (RFC 8785), and as rows of their chain.

``strict_json.canonical`` sorts keys by code point, writes ``null``, booleans and whole numbers, and
escapes what RFC 8785 escapes. It differs from the RFC in three things that no entry holds: floating
point numbers, whole numbers beyond 2**53 (here texts), and keys outside of the basic multilingual
plane (the keys are constants of this project). Source: audit.md, "The chain".
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Final

import orjson
from pydantic import BaseModel, Field

from sfu_wrapper.core.audit import NO_HASH, SavedHead, linked
from sfu_wrapper.model.audit import AuditEntry, AuditHead, AuditRow, Detail
from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.identity import DomainId, UserId
from sfu_wrapper.wire.strict_json import canonical, iso, parse_iso, parse_strict
from sfu_wrapper.wire.validation import MAX_WHOLE

MAX_TEXT: Final = 1024
"""Characters of a text in an entry; longer ones are cut, since clients choose some of them."""


def encode_entry(entry: AuditEntry, number: int) -> bytes:
    """Return the canonical JSON of an entry at its place in the chain.

    Never fails: an entry must not prevent what it records.
    """
    details = {key: _exact(value) for key, value in entry.details}
    return canonical(
        {
            "number": number,
            "domain": entry.domain,
            "at": iso(entry.at_ms),
            "actor": entry.actor,
            "actorDomain": None if entry.actor is None else entry.actor_domain or entry.domain,
            "action": entry.action,
            "object": _cut(entry.object),
            "outcome": entry.outcome,
            "details": details,
        }
    )


def decode_entry(text: bytes) -> AuditEntry:
    """Read a stored entry; the number is that of its row.

    Raises:
        Malformed: not JSON.
        ValueError: not an entry.
    """
    match parse_strict(text):
        case {
            "domain": str(domain),
            "at": str(at),
            "actor": str() | None as actor,
            "actorDomain": str() | None as actor_domain,
            "action": str(action),
            "object": str(object_),
            "outcome": str(outcome),
            "details": dict(details),
        }:
            return AuditEntry(
                domain=DomainId(domain),
                at_ms=parse_iso(at),
                actor=None if actor is None else UserId(actor),
                action=action,
                object=object_,
                outcome=outcome,
                details=tuple(details.items()),
                actor_domain=None if actor_domain is None else DomainId(actor_domain),
            )
        case _:
            raise ValueError("not an audit entry")


def _exact(value: Detail) -> Detail:
    if isinstance(value, int) and abs(value) > MAX_WHOLE:
        value = str(value)
    return _cut(value) if isinstance(value, str) else value


def _cut(text: str) -> str:
    """Return a bounded text that UTF-8 can write and ``parse_strict`` reads."""
    return text[:MAX_TEXT].replace("\0", "?").encode("utf-8", "replace").decode()


def appended(
    heads: Mapping[DomainId, AuditHead], entries: Iterable[AuditEntry]
) -> Iterator[AuditRow]:
    """Yield the rows that continue chains with entries, in order.

    Args:
        heads: last entries of the chains; a chain that is not there begins.
        entries: entries to append.
    """
    at = {domain: (head.number, bytes.fromhex(head.hash)) for domain, head in heads.items()}
    for entry in entries:
        number, previous = at.get(entry.domain, (0, NO_HASH))
        text = encode_entry(entry, number + 1)
        own = linked(previous, text)
        at[entry.domain] = number + 1, own
        yield AuditRow(entry.domain, number + 1, text, own.hex(), previous.hex())


HEAD_TYPE: Final = "audit-head+jws"
"""``typ`` of a signed head."""


class AuditEntryModel(BaseModel):
    """An entry of a chain: who asked for what, when, on which object, with what outcome.

    ``hash`` is SHA-256 over the hash before it and the canonical JSON (RFC 8785) of the other
    fields but ``hash`` and ``previous``.
    """

    number: Annotated[int, Field(ge=1)]
    domain: str
    at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    actor: str | None
    actorDomain: str | None  # noqa: N815  # as stored
    action: str
    object: str
    outcome: str
    details: dict[str, Detail]
    hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    previous: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]


class AuditPage(BaseModel):
    """Entries of one chain, the oldest first. ``next`` is null on the last page."""

    entries: list[AuditEntryModel]
    next: Annotated[int, Field(ge=1)] | None


class AuditHeadModel(BaseModel):
    """The last entry of a chain; number 0 and an empty hash where it has none.

    ``signed`` is a compact JWS of domain, number, hash and time, with ``audit.keyFile``.
    """

    domain: str
    number: Annotated[int, Field(ge=0)]
    hash: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]
    at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    signed: str | None


def row_json(row: AuditRow) -> dict[str, object]:
    """Return a stored entry as ``AuditEntryModel``."""
    return {**orjson.loads(row.entry), "hash": row.hash, "previous": row.previous}


def head_json(head: AuditHead, at_ms: int) -> dict[str, object]:
    """Return a head as it is shown, and signed."""
    return {"domain": head.domain, "number": head.number, "hash": head.hash, "at": iso(at_ms)}


def parse_heads(
    text: str, opened: Callable[[str], bytes], *, only_signed: bool
) -> dict[DomainId, SavedHead]:
    """Read saved heads: JSON objects, one a line or a list of them, or compact JWS, one a line.

    Args:
        text: content of the file.
        opened: returns the payload of a JWS, or raises Malformed.
        only_signed: refuse heads that are not signed.

    Returns:
        The last head of each domain.

    Raises:
        Malformed: not heads, or one of them is not signed as it should be.
    """
    found = {}
    for document in _documents(text):
        signed = document if isinstance(document, str) else document.get("signed")
        if only_signed and not isinstance(signed, str):
            raise Malformed("a head is not signed; leave out the key to use it nevertheless")
        if isinstance(signed, str):
            domain, head = _head(_object(opened(signed).decode("utf-8", "replace")))
        else:
            domain, head = _head(document if isinstance(document, dict) else {})
        found[domain] = head
    return found


def _documents(text: str) -> Iterator[str | dict[str, object]]:
    try:
        whole = orjson.loads(text)
    except orjson.JSONDecodeError:
        lines = (line.strip() for line in text.splitlines())
        yield from (_object(line) if line[0] == "{" else line for line in lines if line)
        return
    for document in whole if isinstance(whole, list) else [whole]:
        if not isinstance(document, dict):
            raise Malformed("not a saved head: neither an object nor a JWS")
        yield document


def _object(line: str) -> dict[str, object]:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"not a saved head: {error}") from error
    if not isinstance(found, dict):
        raise Malformed("not a saved head: not an object")
    return found


def _head(document: Mapping[str, object]) -> tuple[DomainId, SavedHead]:
    match document:
        case {"domain": str(domain), "number": int(number), "hash": str(own)}:
            with suppress(ValueError):
                return DomainId(domain), SavedHead(number, bytes.fromhex(own))
    raise Malformed("not a saved head: domain, number and hash are required")
