"""Finished files and links for their readers: which file, whether it is whole, and the audit entry.

The decision to serve is made from the index; the file is opened afterwards, and must have the
length that the index has. An entry of the audit log is durable before the first byte is sent.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.finished import offered_file, place_below, public_name
from sfu_wrapper.core.links import Link, LinkKey, is_genuine, signed_link
from sfu_wrapper.model.audit import AuditEntry, Detail
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.recording import Recording, RecordingKey
from sfu_wrapper.model.segment import FinishedFile, Processed
from sfu_wrapper.ports.recording_files import OpenedFile, RecordingFiles
from sfu_wrapper.ports.recordings import RecordingIndex
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.recordings.audit import Audit
from sfu_wrapper.service.recordings.objects import ADDRESS_S, StoredFiles
from sfu_wrapper.service.recordings.queries import RecordingQueries

LINKS: Final = "GET /links/{uuid}/{segment}/{name}"  # in the audit log, where it names no object


@dataclass(frozen=True, slots=True)
class Offer:
    """File of a recording that somebody may read.

    Attributes:
        recording: the recording.
        file: the file.
        expires_s: epoch s at which the link to it expires; None: it was asked for by a token.
    """

    recording: Recording
    file: FinishedFile
    expires_s: int | None = None

    @property
    def name(self) -> str:
        """Public name of the file."""
        return public_name(self.file)


class RecordingDownloads:
    """Reader of files, and signer of links.

    Args:
        queries: the index, with the rights of a requester.
        index: the index, for links, which carry the right themselves.
        files: the folders.
        stored: the object store.
        audit: log of reads.
        clock: wall clock.
        keys: returns the keys of links; the first one signs.
    """

    def __init__(
        self,
        queries: RecordingQueries,
        index: RecordingIndex,
        files: RecordingFiles,
        stored: StoredFiles,
        audit: Audit,
        clock: Clock,
        keys: Callable[[], Sequence[LinkKey]],
    ) -> None:
        self._queries = queries
        self._index = index
        self._files = files
        self._stored = stored
        self._audit = audit
        self._clock = clock
        self._keys = keys

    def require(self, by: Requester, key: RecordingKey) -> None:
        """Require that the recording exists for the requester. Raises as ``offer``."""
        self._queries.recording(by, key)

    def offer(self, by: Requester, key: RecordingKey, name: str) -> Offer:
        """Return a file that the requester may read. Raises Refused: NOT_FOUND; Unavailable."""
        recording = self._queries.recording(by, key)
        return Offer(recording, offered_file(recording, name))

    def linked(self, link: Link) -> Offer:
        """Return the file of a link.

        Raises:
            Refused: LINK_INVALID: not signed by a key of ours, or over; NOT_FOUND: deleted.
            Unavailable: the store cannot be read.
        """
        if not is_genuine(self._keys(), link) or self._clock.now().wall_ms >= link.expires_s * 1000:
            self._audit.refused(None, None, "link.refuse", LINKS, Code.LINK_INVALID)
            detail = "link is not valid, or not any more: ask for a new one"
            raise Refused(Code.LINK_INVALID, detail)
        recording = self._index.recording(link.recording)
        if recording is None:
            raise Refused(Code.NOT_FOUND, "recording not found", recording=str(link.recording))
        with self._noting_refusal(recording):
            return Offer(recording, offered_file(recording, link.name), link.expires_s)

    async def open(self, offer: Offer, by: Requester | None) -> OpenedFile:
        """Open a file; by None: for the holder of a link.

        A refusal to the holder of a link is noted here, that to a user by the gateway.

        Raises:
            Refused: FILE_LOST: it is missing or has another length; NOT_MOUNTED.
            Unavailable: the disk does not answer.
        """
        with self._noting_refusal(offer.recording) if by is None else nullcontext():
            return await self._open(offer)

    async def address(self, offer: Offer, by: Requester | None, *, head: bool) -> str | None:
        """Return the address of a file in an object store; None: it is to be opened.

        That of a link works for as long as the link: a player keeps it for all ranges of the file.
        A refusal is noted as by ``open``.

        Args:
            offer: the file.
            by: the reader; None: the holder of a link.
            head: return an address for ``HEAD``.

        Raises:
            Refused: FILE_LOST; NOT_MOUNTED: the file is in another store.
            Unavailable: the store does not answer.
        """
        if offer.file.url is None:
            return None
        with self._noting_refusal(offer.recording) if by is None else nullcontext():
            return await self._stored.address(offer.file, self._address_s(offer), head=head)

    def _address_s(self, offer: Offer) -> int:
        if offer.expires_s is None:
            return ADDRESS_S
        return max(1, offer.expires_s - self._clock.now().wall_ms // 1000)

    async def _open(self, offer: Offer) -> OpenedFile:
        result = offer.recording.outcome
        assert isinstance(result, Processed)  # noqa: S101  # others offer no files
        opened = await self._files.open_result(place_below(result, offer.file))
        if opened.size_bytes != offer.file.size_bytes:
            opened.close()
            detail = f"file has {opened.size_bytes} bytes, not the {offer.file.size_bytes} recorded"
            raise Refused(Code.FILE_LOST, detail, name=offer.name)
        return opened

    async def open_log(self, by: Requester, key: RecordingKey) -> OpenedFile:
        """Open the log of the processing, once its audit entry is durable.

        Raises:
            Refused: NOT_FOUND: the recording, or its log; NOT_MOUNTED.
            Unavailable: the store or the disk does not answer.
        """
        recording = self._queries.recording(by, key)
        opened = await self._files.open_log(f"{key.uuid}-{key.segment}")
        if opened is None:
            detail = "log not found: it was not processed yet, or its log has been deleted"
            raise Refused(Code.NOT_FOUND, detail, recording=str(key))
        try:
            domain = recording.facts.domain
            await self._audit.note(self._audit.entry(by.key, domain, "log.read", str(key)))
        except BaseException:
            opened.close()
            raise
        return opened

    async def sign(self, by: Requester, offer: Offer, seconds: int) -> Link:
        """Return a link to a file, once its audit entry is durable. Raises Unavailable."""
        expires_s = self._clock.now().wall_ms // 1000 + seconds
        link = signed_link(self._keys(), offer.recording.key, offer.name, expires_s)
        noted = self._entry("link.create", offer, by, seconds=seconds, key=link.key)
        await self._audit.note(noted)
        return link

    async def note_read(self, offer: Offer, by: Requester | None, link: str, first: int) -> None:
        """Store the audit entry of a read.

        Args:
            offer: the file.
            by: the reader; None: the holder of a link.
            link: signature of the link; empty without one.
            first: first byte that is sent.

        Raises:
            Unavailable: it cannot be stored, so nothing may be sent.
        """
        noted = self._entry("link.read" if by is None else "file.read", offer, by)
        await self._audit.note_read(noted, link, goes_on=first > 0)

    @contextmanager
    def _noting_refusal(self, recording: Recording) -> Iterator[None]:
        """Note that the holder of a genuine link was refused within the block."""
        try:
            yield
        except Refused as refused:
            domain, object_ = recording.facts.domain, str(recording.key)
            self._audit.refused(None, domain, "link.read", object_, refused.code)
            raise

    def _entry(
        self, action: str, offer: Offer, by: Requester | None, **details: Detail
    ) -> AuditEntry:
        key = None if by is None else by.key
        domain, object_ = offer.recording.facts.domain, str(offer.recording.key)
        return self._audit.entry(key, domain, action, object_, "done", name=offer.name, **details)
