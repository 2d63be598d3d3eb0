"""Recordings in a store, with what retention and people do to them."""

from dataclasses import replace
from typing import Any

from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.retention import DAY_MS, RetentionRules
from sfu_wrapper.model.audit import AuditRow
from sfu_wrapper.model.identity import DomainId, RoomUuid, SegmentNo, UserId, UserKey
from sfu_wrapper.model.recording import (
    DeletionRequest,
    Recording,
    RecordingKey,
    RecordingState,
    Stay,
)
from sfu_wrapper.ports.recordings import PutRecording
from sfu_wrapper.ports.store import Commit, OutboxRow, Store
from sfu_wrapper.ports.system import JobLeases
from sfu_wrapper.service.recordings.changes import RecordingChanges
from sfu_wrapper.service.recordings.deletion_commits import Committer
from sfu_wrapper.service.recordings.erasures import Erasures
from sfu_wrapper.service.recordings.retention import Retention
from sfu_wrapper.wire.deletion_messages import parse_deletion
from tests.helpers.clocks import StandingClock
from tests.helpers.indexed import HOME, facts, failed, processed

NOW_S = 1_800_000_000
ADMIN = Requester(UserKey(HOME, UserId("adam")), admin=True)
OWNER = Requester(UserKey(HOME, UserId("alice")))
OTHER = Requester(UserKey(HOME, UserId("bob")))
SERVICE = Requester(UserKey(HOME, UserId("rooms")), service=True)
STRANGER = Requester(UserKey(DomainId("other"), UserId("zoe")), admin=True)


class Kept:
    """A store with recordings, and the services that delete them.

    Attributes:
        clock: stands still until a test moves it.
        published: messages of the outbox, in order.
    """

    def __init__(self, store: Store, **days: int) -> None:
        self.store = store
        self.clock = StandingClock(NOW_S)
        self.published: list[OutboxRow] = []
        self.committer = Committer(store, self.published.extend)
        self.rules = RetentionRules(**days)
        self.erasures = Erasures(store.index, self.committer, self.clock)

    def changes(self, *, owner_may_delete: bool = False) -> RecordingChanges:
        """Return what people may do."""
        return RecordingChanges(
            self.store.index,
            self.committer,
            self.clock,
            self.rules,
            owner_may_delete=owner_may_delete,
        )

    def retention(self, leases: JobLeases | None = None) -> Retention:
        """Return an evaluator."""
        return Retention(self.store.index, self.committer, leases, self.clock, self.rules, 300)

    async def put(
        self,
        number: int = 1,
        days_ago: float = 0,
        *,
        owner: UserId = OWNER.key.user,
        stays: tuple[Stay, ...] = (),
        domain: DomainId = HOME,
        state: RecordingState = RecordingState.READY,
        **changed: Any,  # noqa: ANN401 fields of the recording
    ) -> RecordingKey:
        """Store a recording whose processing ended so many days ago."""
        at = RecordingKey(RoomUuid("uuid"), SegmentNo(number))
        runs = state is RecordingState.RECORDING
        known = facts(number, "uuid", runs=runs, owner=owner, stays=stays, domain=domain)
        outcome = failed(at) if state is RecordingState.FAILED else processed(at)
        done_ms = self.clock.wall_ms - round(days_ago * DAY_MS)
        unfinished = runs or state is RecordingState.QUEUED
        recording = (
            Recording(known, state) if unfinished else Recording(known, state, outcome, done_ms)
        )
        change = PutRecording(replace(recording, **changed))
        await self.store.commit(Commit(recordings=(change,)), 1)
        return at

    def known(self, at: RecordingKey) -> Recording:
        """Return a recording that must be in the index."""
        found = self.store.index.recording(at)
        assert found is not None
        return found

    def requests(self) -> list[DeletionRequest]:
        """Return the published requests, repeats included."""
        read = [parse_deletion(row.body) for row in self.published]
        return [each for each in read if isinstance(each, DeletionRequest)]

    def audited(self) -> list[AuditRow]:
        """Return the chain of the domain."""
        return list(self.store.audit.entries(HOME, 0, 1_000))


def stay(user: UserKey) -> tuple[Stay, ...]:
    """Return the stays of one participant."""
    return (Stay(user, 1_000, 2_000),)
