"""Audit entries as canonical JSON (RFC 8785), and as rows of their chain.

``strict_json.canonical`` sorts keys by code point, writes ``null``, booleans and whole numbers, and
escapes what RFC 8785 escapes. It differs from the RFC in three things that no entry holds: floating
point numbers, whole numbers beyond 2**53 (here texts), and keys outside of the basic multilingual
plane (the keys are constants of this project). Source: audit.md, "The chain".
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from sfu_wrapper.core.audit import NO_HASH, linked
from sfu_wrapper.model.audit import AuditEntry, AuditHead, AuditRow, Detail
from sfu_wrapper.model.identity import DomainId, UserId
from sfu_wrapper.wire.strict_json import canonical, iso, parse_iso, parse_strict

MAX_WHOLE: Final = 2**53 - 1
"""Largest whole number that every reader of JSON understands in the same way (RFC 7493)."""

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
