"""Evidence of recordings: the document, signed where there is a key, and the entry of its reading.

Source: evidence.md.
"""

from sfu_wrapper import __version__
from sfu_wrapper.core.events import Requester
from sfu_wrapper.model.recording import RecordingKey
from sfu_wrapper.service.recordings.audit import Audit
from sfu_wrapper.service.recordings.queries import RecordingQueries
from sfu_wrapper.wire.evidence import (
    EVIDENCE_TYPE,
    MAX_ENTRIES,
    Address,
    Json,
    evidence,
    signed,
)
from sfu_wrapper.wire.strict_json import dump


class RecordingEvidence:
    """Maker of evidence, with the rights of a requester.

    Args:
        queries: the index, with the rights of a requester.
        audit: has the entries, the signer, and takes the entry of each reading.
    """

    def __init__(self, queries: RecordingQueries, audit: Audit) -> None:
        self._queries = queries
        self._audit = audit

    async def of(self, by: Requester, key: RecordingKey, address: Address) -> Json:
        """Return the evidence of one recording, once the entry of this reading is durable.

        Args:
            by: the requester.
            key: address of the recording.
            address: returns where a file with a public name is read.

        Raises:
            Refused: NOT_FOUND.
            Unavailable: the store cannot be read, or the entry not be stored.
        """
        recording = self._queries.recording(by, key)
        domain = recording.facts.domain
        noted = self._audit.entry(by.key, domain, "evidence.read", str(key))
        rows = self._audit.entries_about(domain, str(key), MAX_ENTRIES)
        document = evidence(recording, rows, address, __version__, noted.at_ms)
        await self._audit.note(noted)
        compact = self._audit.signature(dump(document), EVIDENCE_TYPE)
        return document if compact is None else signed(compact, document)
