"""Entries of the audit chains (audit.md), as they are asked for and as they are stored."""

from dataclasses import dataclass

from sfu_wrapper.model.identity import DomainId, UserId

Detail = str | int | bool | None
"""Value of a detail of an entry."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Entry to append to the chain of its domain.

    Attributes:
        domain: chain.
        at_ms: epoch ms.
        actor: id of the user that asked; None: the system.
        action: ``recording.start``, ``recording.stop``, ``permission.put``, ``file.read`` …
        object: what it concerns: room uuid, recording, permission owner …
        outcome: ``done`` or the code of the refusal.
        details: further facts, a flat map of strings, whole numbers and booleans; no names of
            persons, no tokens.
        actor_domain: domain of the actor; None: that of the chain.
    """

    domain: DomainId
    at_ms: int
    actor: UserId | None
    action: str
    object: str
    outcome: str
    details: tuple[tuple[str, Detail], ...] = ()
    actor_domain: DomainId | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Stored entry.

    Attributes:
        domain: chain.
        number: place in the chain, from 1.
        entry: its canonical JSON.
        hash: its hash, hex.
        previous: hash of the entry before it, hex; empty for the first one.
    """

    domain: DomainId
    number: int
    entry: bytes
    hash: str
    previous: str


@dataclass(frozen=True, slots=True)
class AuditHead:
    """Last entry of a chain; number 0 and an empty hash where there is none."""

    domain: DomainId
    number: int
    hash: str
