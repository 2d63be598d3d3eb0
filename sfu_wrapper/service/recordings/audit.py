"""Audit: entries for what is asked of recordings, and their way into the store.

What enters: starts and stops with the commit of their room (``recording_entries``), everything else
by itself (``Audit.note``) or with a commit of its own (``entry``), and refused requests
(``Audit.refused``). What leaves: entries of the chains.

Rules
    1. What is done is stored together with its entry, or not done. A read of a file is refused if
       its entry cannot be stored: an unnoticed read is worse than a late one.
    2. Refused requests cost nothing but time, and everyone can send them. So of equal ones the
       first is stored at once, and the number of the others every ``WINDOW_S``. Beyond
       ``MAX_KINDS`` kinds in that time refusals are counted without their user. A crash loses at
       most the counts of one window.
    3. An entry holds ids, and no names or tokens. A token that is not valid names nobody: its
       refusal belongs to ``NO_DOMAIN``.

Source: audit.md, "What is recorded".
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sfu_wrapper.core.access import require_may_audit
from sfu_wrapper.core.effects import (
    Announce,
    Effect,
    RecordingFailed,
    RecordingStarted,
    RecordingStopped,
    Refusal,
    Reply,
)
from sfu_wrapper.core.room import Room, Segment
from sfu_wrapper.model.audit import AuditEntry, AuditHead, AuditRow, Detail
from sfu_wrapper.model.errors import RecordingError, Unavailable
from sfu_wrapper.model.identity import DomainId, Identity, UserId, UserKey, user_shown_as
from sfu_wrapper.model.recording import RecordingKey
from sfu_wrapper.ports.recordings import Signer
from sfu_wrapper.ports.store import Commit, Store
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.rooms.idempotency import NOT_KEPT, parse_ref
from sfu_wrapper.wire.audit import HEAD_TYPE, head_json
from sfu_wrapper.wire.strict_json import canonical

NOTE_S: Final = 5.0  # until an entry must be stored
WINDOW_S: Final = 60.0  # in which equal refusals are counted
MAX_KINDS: Final = 64  # kinds of refusals that are told apart in this time
SAME_READ_S: Final = 60.0  # in which further ranges belong to one read
MAX_READS: Final = 10_000  # reads under way
DAY_S: Final = 86_400.0
NO_DOMAIN: Final = DomainId("*")
"""Chain of what belongs to no domain; no domain can have this id."""

_DEEDS: Final = {
    "startRoomRecording": "recording.start",
    "stopRoomRecording": "recording.stop",
}

log = logging.getLogger(__name__)


def entry(
    at_ms: int,
    by: UserKey | None,
    domain: DomainId,
    action: str,
    object_: str,
    outcome: str = "done",
    **details: Detail,
) -> AuditEntry:
    """Return an entry for a commit.

    Args:
        at_ms: epoch ms.
        by: the user that asked; None: the system.
        domain: chain.
        action: what was asked for, such as ``recording.delete``.
        object_: what it concerns.
        outcome: ``done``, or the code of the refusal.
        details: further facts; None values are left out.
    """
    given = tuple((key, value) for key, value in details.items() if value is not None)
    actor = (None, None) if by is None else (by.user, by.domain)
    return AuditEntry(domain, at_ms, actor[0], action, object_, outcome, given, actor[1])


class Kind(NamedTuple):
    """Kind of a refusal: refusals of one kind are counted together."""

    by: UserKey | None
    domain: DomainId
    action: str
    object: str
    code: str


@dataclass(slots=True)
class _Count:
    """Refusals of one kind that were not stored yet."""

    more: int = 0


class Refusals:
    """Refused requests of one window, counted by kind; memory is bounded."""

    def __init__(self) -> None:
        self._counts: dict[Kind, _Count] = {}

    def take(self, at_ms: int, kind: Kind) -> AuditEntry | None:
        """Return the entry to store at once; None: the refusal is counted."""
        found = self._counts.get(kind)
        if found is None and len(self._counts) >= MAX_KINDS:
            kind = Kind(None, kind.domain, kind.action, "", kind.code)
            if kind not in self._counts and len(self._counts) >= 2 * MAX_KINDS:
                kind = Kind(None, NO_DOMAIN, "refused", "", "")
            found = self._counts.setdefault(kind, _Count())
        if found is None:
            self._counts[kind] = _Count()
            return entry(at_ms, *kind)
        found.more += 1
        return None

    def end_window(self, at_ms: int) -> tuple[AuditEntry, ...]:
        """Return the entries with the numbers of this window, and begin the next one."""
        ended, self._counts = self._counts, {}
        return tuple(
            entry(at_ms, *kind, more=count.more) for kind, count in ended.items() if count.more
        )


def recording_entries(
    room: Room | None, effects: Iterable[Effect], now_ms: int, refusals: Refusals
) -> Iterator[AuditEntry]:
    """Yield the entries of one commit of a room: starts, stops, and refused requests for them.

    Args:
        room: the room after the commit.
        effects: effects of the commit.
        now_ms: epoch ms.
        refusals: limits the entries about refused requests.
    """
    failed = set()
    for effect in effects:
        match effect:
            case Announce(announcement=RecordingStarted(segment=segment)) if room is not None:
                yield _started(room, segment, now_ms, "done")
            case Announce(announcement=RecordingFailed(segment=segment, code=code)) if room:
                failed.add(code)
                yield _started(room, segment, now_ms, code)
            case Announce(announcement=RecordingStopped(segment=segment)) if room is not None:
                yield _stopped(room, segment, now_ms)
            case Reply(ref=ref, answer=Refusal(code=code)) if code not in NOT_KEPT | failed:
                noted = _refused(room, ref, code, now_ms, refusals)
                if noted is not None:
                    yield noted
            case _:
                pass


def _started(room: Room, segment: Segment, now_ms: int, outcome: str) -> AuditEntry:
    decision = segment.decision or room.decision
    return entry(
        now_ms,
        _key(segment.by, room.domain),
        room.domain,
        "recording.start",
        str(RecordingKey(room.uuid, segment.number)),
        outcome,
        room=room.id,
        owner=room.owner,
        type=segment.type.value,
        begunBy=segment.begun_by,
        decidedBy=None if decision is None else decision.source,
        automatic=None if decision is None else decision.automatic,
        why=None if decision is None else decision.reason,
    )


def _stopped(room: Room, segment: Segment, now_ms: int) -> AuditEntry:
    return entry(
        now_ms,
        _key(segment.stopped_by, room.domain),
        room.domain,
        "recording.stop",
        str(RecordingKey(room.uuid, segment.number)),
        room=room.id,
        reason=segment.reason,
        durationMs=segment.duration_ms,
    )


def _refused(
    room: Room | None, ref: str, code: str, now_ms: int, refusals: Refusals
) -> AuditEntry | None:
    request = parse_ref(ref)
    action = _DEEDS.get(request.endpoint)
    if action is None:
        return None
    domain, user, *_ = request.key.split("\n")
    by = UserKey(DomainId(domain), UserId(user))
    where = (by.domain, "") if room is None else (room.domain, str(room.uuid))
    return refusals.take(now_ms, Kind(by, where[0], action, where[1], code))


def _key(shown: UserId | None, home: DomainId) -> UserKey | None:
    """Return the user with this name in a room of the domain ``home``."""
    if shown is None:
        return None
    return user_shown_as(shown, home)


class Audit:
    """Entries of their own, and refusals.

    The bound of the waiting entries, and their grouping into transactions, are those of the store.

    Args:
        store: where the chains are.
        clock: wall and monotonic clock.
        epoch: epoch of this controller; see ``Store``.
        signer: signs heads; None: they are not signed.

    Attributes:
        refusals: refused requests of the present minute.
    """

    def __init__(
        self, store: Store, clock: Clock, epoch: int = 1, signer: Signer | None = None
    ) -> None:
        self._signer = signer
        self._store = store
        self._clock = clock
        self._epoch = epoch
        self._reads: dict[tuple[object, ...], int] = {}  # monotonic ms of the entry
        self.refusals = Refusals()

    def entry(
        self,
        by: UserKey | None,
        domain: DomainId,
        action: str,
        object_: str,
        outcome: str = "done",
        **details: Detail,
    ) -> AuditEntry:
        """Return an entry of this moment, for a commit; see ``entry``."""
        return entry(self._clock.now().wall_ms, by, domain, action, object_, outcome, **details)

    async def note(self, *entries: AuditEntry) -> None:
        """Store entries that have no commit of their own; returns once they are on disk.

        Raises:
            Unavailable: not stored, or not in time: refuse what they record.
        """
        try:
            async with asyncio.timeout(NOTE_S):
                # Shielded: a client that leaves takes no entry of a read with it.
                await asyncio.shield(self._store.commit(Commit(audit=entries), self._epoch))
        except TimeoutError:
            raise Unavailable("the audit log cannot be written in time; try again") from None

    async def note_read(self, noted: AuditEntry, reader: str = "", *, goes_on: bool) -> None:
        """Store the entry of a read of a file, as ``note`` does.

        A player reads one file in many ranges. Those that go on within ``SAME_READ_S`` after the
        entry of their read have none of their own.

        Args:
            noted: the entry.
            reader: tells readers without a user apart: the id of a link.
            goes_on: True for a range that does not begin at the first byte.
        """
        key = (noted.actor_domain, noted.actor, reader, noted.object, noted.details)
        now_ms = self._clock.now().mono_ms
        last_ms = self._reads.get(key)
        if goes_on and last_ms is not None and now_ms - last_ms < SAME_READ_S * 1000:
            return
        await self.note(noted)
        self._reads.pop(key, None)
        self._reads[key] = now_ms
        if len(self._reads) > MAX_READS:
            del self._reads[next(iter(self._reads))]

    def refused(
        self, by: UserKey | None, domain: DomainId | None, action: str, object_: str, code: str
    ) -> None:
        """Note a refused request; never fails and never waits.

        Args:
            by: the requester; None: its token is not valid.
            domain: chain; None: ``NO_DOMAIN``.
            action: what was asked for.
            object_: what it concerns; empty for a token that is not valid.
            code: code of the refusal.
        """
        at_ms = self._clock.now().wall_ms
        noted = self.refusals.take(at_ms, Kind(by, domain or NO_DOMAIN, action, object_, code))
        if noted is not None:
            self._store.commit(Commit(audit=(noted,)), self._epoch).add_done_callback(_logged)

    async def run(self) -> None:
        """Store the numbers of refusals, and log the heads once a day, until cancelled."""
        loop = asyncio.get_running_loop()
        heads_at_s = loop.time()
        try:
            while True:
                if loop.time() >= heads_at_s:
                    heads_at_s = loop.time() + DAY_S
                    self.log_heads()
                await asyncio.sleep(WINDOW_S)
                await self.flush()
        finally:
            await asyncio.shield(self.flush())

    async def flush(self) -> None:
        """Store the numbers of refusals of this window."""
        counted = self.refusals.end_window(self._clock.now().wall_ms)
        if not counted:
            return
        try:
            await self.note(*counted)
        except RecordingError as error:
            log.warning("audit.refusalsLost", extra={"error": error.detail, "kinds": len(counted)})

    def log_heads(self) -> None:
        """Log the head of each chain: a copy outside of the store."""
        try:
            heads = self._store.audit.heads()
        except RecordingError as error:
            log.warning("audit.headsUnreadable", extra={"error": error.detail})
            return
        for head in heads:
            shown = self._shown(head)
            del shown["at"]
            log.info("audit.head", extra=shown)

    def head(self, by: Identity, domain: DomainId | None) -> dict[str, object]:
        """Return the head of a chain (``AuditHeadModel``); None: of the requester's domain.

        Raises:
            Refused: FORBIDDEN, NOT_FOUND.
            Unavailable: the store cannot be read.
        """
        return self._shown(self._store.audit.head(_allowed(by, domain)))

    def page(
        self, by: Identity, domain: DomainId | None, after: int, limit: int
    ) -> tuple[AuditRow, ...]:
        """Return entries of a chain after a number. Raises as ``head`` does."""
        return self._store.audit.entries(_allowed(by, domain), after, limit)

    def entries_about(self, domain: DomainId, object_: str, limit: int) -> tuple[AuditRow, ...]:
        """Return the latest entries about one object. Raises Unavailable."""
        return self._store.audit.entries_about(domain, object_, limit)

    def signature(self, payload: bytes, type_: str) -> str | None:
        """Return a compact JWS of a payload; None without a key. ``type_``: its ``typ``."""
        return None if self._signer is None else self._signer.sign(payload, type_)

    def _shown(self, head: AuditHead) -> dict[str, object]:
        shown = head_json(head, self._clock.now().wall_ms)
        return shown | {"signed": self.signature(canonical(shown), HEAD_TYPE)}


def _allowed(by: Identity, domain: DomainId | None) -> DomainId:
    wanted = domain or by.domain
    require_may_audit(by, wanted)
    return wanted


def _logged(done: "asyncio.Future[Any]") -> None:
    error = None if done.cancelled() else done.exception()
    if error is not None:
        log.warning("audit.refusalsLost", extra={"error": str(error), "kinds": 1})
