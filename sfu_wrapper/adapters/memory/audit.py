"""Audit chains in memory."""

from collections.abc import Iterable

from sfu_wrapper.model.audit import AuditEntry, AuditHead, AuditRow
from sfu_wrapper.model.identity import DomainId
from sfu_wrapper.wire.audit import appended, decode_entry


class MemoryAudit:
    """``AuditLog`` for tests."""

    def __init__(self) -> None:
        self._chains: dict[DomainId, list[AuditRow]] = {}

    def append(self, entries: Iterable[AuditEntry]) -> None:
        """Append entries to the chains of their domains."""
        for row in appended({head.domain: head for head in self.heads()}, entries):
            self._chains.setdefault(row.domain, []).append(row)

    def head(self, domain: DomainId) -> AuditHead:
        """See ``AuditLog``."""
        chain = self._chains.get(domain)
        return _head(chain[-1]) if chain else AuditHead(domain, 0, "")

    def heads(self) -> tuple[AuditHead, ...]:
        """See ``AuditLog``."""
        return tuple(_head(chain[-1]) for _, chain in sorted(self._chains.items()))

    def entries(self, domain: DomainId, after: int, limit: int) -> tuple[AuditRow, ...]:
        """See ``AuditLog``."""
        return tuple(self._chains.get(domain, [])[after : after + limit])

    def entries_about(self, domain: DomainId, object_: str, limit: int) -> tuple[AuditRow, ...]:
        """See ``AuditLog``."""
        chain = self._chains.get(domain, [])
        return tuple([row for row in chain if decode_entry(row.entry).object == object_][-limit:])


def _head(row: AuditRow) -> AuditHead:
    return AuditHead(row.domain, row.number, row.hash)
