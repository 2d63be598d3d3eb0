"""Retention: one controller at a time finds what is due, and hands it to the workers.

Every ``interval_s`` seconds, with the lease ``retention`` of the store:

1. Results, raw files of failed segments and tombstones whose time is over, by domain, oldest first,
   in pages of ``PAGE``. Each page is one commit; where one of its recordings has changed meanwhile
   (a hold was set), the recordings are taken one by one and decided again.
2. Requested deletions without an answer: their message is published when they are first seen (a
   command may have written them next to this controller), and again every ``REPEAT_S``. Those that
   had no answer for so long are marked with the trouble, which the API shows.

``core.retention`` decides; the workers carry it out. Pages are bounded and give way to other work,
so that retention over any number of recordings delays nobody. Source: retention.md.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, assert_never
from uuid import uuid4

from sfu_wrapper.core.retention import (
    DAY_MS,
    Due,
    RetentionRules,
    due,
    request_deletion,
    steady_ms,
)
from sfu_wrapper.model.errors import RecordingError, Unavailable
from sfu_wrapper.model.identity import DomainId
from sfu_wrapper.model.recording import DeletionReason, Recording, RecordingKey, RecordingState
from sfu_wrapper.ports.recordings import Due as Place
from sfu_wrapper.ports.recordings import PutRecording, RecordingIndex
from sfu_wrapper.ports.store import Commit
from sfu_wrapper.ports.system import Clock, JobLeases
from sfu_wrapper.service.recordings.deletion_commits import (
    Committer,
    deletion,
    deletion_message,
    raw_deletion,
    together,
    tombstone_removal,
)

LEASE: Final = "retention"
LEASE_S: Final = 120.0
PAGE: Final = 25
REPEAT_S: Final = 3_600.0
_LATE_MS: Final = 60_000
NO_ANSWER: Final = "no worker has reported the deletion yet: see the workers' logs and health"

log = logging.getLogger(__name__)


class Retention:
    """Evaluator of retention.

    Args:
        index: the recordings.
        committer: writes the deletions.
        leases: one lease for all controllers; None: this is the only one.
        clock: wall and monotonic clock.
        rules: times of the configuration.
        interval_s: seconds between two rounds.
    """

    def __init__(
        self,
        index: RecordingIndex,
        committer: Committer,
        leases: JobLeases | None,
        clock: Clock,
        rules: RetentionRules,
        interval_s: float,
    ) -> None:
        self._index = index
        self._committer = committer
        self._leases = leases
        self._clock = clock
        self._rules = rules
        self._interval_s = interval_s
        self._holder = f"retention-{uuid4().hex}"
        self._began = clock.now()
        self._latest: Place | None = None
        self._full_at_ms = 0
        self._published: dict[RecordingKey, int] = {}  # monotonic ms of the last request

    async def run(self) -> None:
        """Evaluate at once and every ``interval_s`` seconds, until cancelled."""
        while True:
            try:
                await self.evaluate()
            except RecordingError as error:  # nothing is lost; the next round goes on
                log.warning("retention.failed", extra={"error": error.detail})
            await asyncio.sleep(self._interval_s)

    async def evaluate(self) -> int:
        """Run one round, if no other controller does. Returns the number of changed recordings.

        Raises:
            Unavailable: the store cannot be read or written.
        """
        if not await self._leads():
            return 0
        count = 0
        for domain in self._index.domains():
            own_days = self._index.retention_days(domain)
            for state, before_ms in self._spans(own_days):
                count += await self._evaluate(domain, own_days, state, before_ms)
        await self._repeat_requests()
        if count:
            log.info("retention.evaluated", extra={"recordings": count})
        return count

    def now_ms(self) -> int:
        """Return the time by which retention is judged, epoch ms."""
        return steady_ms(self._began, self._clock.now())

    async def _leads(self) -> bool:
        """Take or renew the lease. Returns False while another controller has it."""
        if self._leases is None:
            return True
        return await self._leases.acquire(LEASE, self._holder, LEASE_S)

    def _spans(self, own_days: int | None) -> Iterator[tuple[RecordingState, int]]:
        """Yield each state in which something can be due, with the time before which it ended."""
        rules, now_ms = self._rules, self.now_ms()
        result_days = rules.result_days(own_days)
        for state, days in (
            (RecordingState.READY, [result_days]),
            (RecordingState.FAILED, [result_days, rules.raw_days]),
            (RecordingState.DELETED, [rules.tombstone_days]),
        ):
            if limited := [each for each in days if each]:
                yield state, now_ms - min(limited) * DAY_MS + 1

    async def _evaluate(
        self, domain: DomainId, own_days: int | None, state: RecordingState, before_ms: int
    ) -> int:
        count, after = 0, None
        while True:
            page = self._index.finished(domain, state, before_ms, PAGE, after)
            count += await self._handle(page, own_days)
            if len(page) < PAGE:
                return count
            after = _place(page[-1])
            if not await self._leads():
                return count
            await asyncio.sleep(0)  # a long list must not delay others

    async def _handle(self, page: Sequence[Recording], own_days: int | None) -> int:
        """Write what is due of a page. Returns the number of changed recordings."""
        commits = [each for one in page if (each := self._commit_of(one, own_days)) is not None]
        if not commits:
            return 0
        try:
            await self._committer.write(together(commits))
        except Unavailable as error:
            if error.context.get("conflict") is not True:
                raise
            return await self._one_by_one(page, own_days)
        self._requested(page)
        return len(commits)

    async def _one_by_one(self, page: Sequence[Recording], own_days: int | None) -> int:
        count = 0
        for one in page:
            found = self._index.recording(one.key)
            commit = None if found is None else self._commit_of(found, own_days)
            if commit is None:
                continue
            try:
                await self._committer.write(commit)
            except Unavailable as error:
                if error.context.get("conflict") is not True:
                    raise
            else:
                self._requested([one])
                count += 1
        return count

    def _requested(self, recordings: Sequence[Recording]) -> None:
        """Note recordings whose requests were published now, and need no repeat for a while."""
        now_ms = self._clock.now().mono_ms
        self._published |= {each.key: now_ms for each in recordings}

    def _commit_of(self, recording: Recording, own_days: int | None) -> Commit | None:
        now_ms = self.now_ms()
        match due(recording, self._rules, own_days, now_ms):
            case None:
                return None
            case Due.RESULT:
                asked = request_deletion(recording, DeletionReason.RETENTION, now_ms)
                return deletion(asked, now_ms)
            case Due.RAW:
                return raw_deletion(recording, now_ms)
            case Due.TOMBSTONE:
                return tombstone_removal(recording, now_ms)
            case never:
                assert_never(never)

    async def _repeat_requests(self) -> None:
        """Publish requests without an answer, as far as they are due.

        All open requests are visited every ``REPEAT_S``, in between only the latest ones.
        """
        now_ms = self._clock.now().mono_ms
        is_full = now_ms >= self._full_at_ms
        seen: set[RecordingKey] = set()
        after = None if is_full else self._latest
        while True:
            page = self._index.deletions(PAGE, after)
            seen |= {each.key for each in page}
            await self._repeat([each for each in page if self._is_unanswered(each)])
            if page:
                after = _requested_place(page[-1])
            if len(page) < PAGE:
                break
            await asyncio.sleep(0)
        if after is not None:  # a command may store a request a little later than its time says
            self._latest = Place(after.at_ms - _LATE_MS, after.key)
        if is_full:
            self._full_at_ms = now_ms + round(REPEAT_S * 1000)
            self._published = {key: at for key, at in self._published.items() if key in seen}

    def _is_unanswered(self, recording: Recording) -> bool:
        """Return True if a request has not been published for ``REPEAT_S``, or not by us."""
        last_ms = self._published.get(recording.key)
        return last_ms is None or self._clock.now().mono_ms - last_ms >= REPEAT_S * 1000

    async def _repeat(self, recordings: Sequence[Recording]) -> None:
        if not recordings:
            return
        now_ms = self._clock.now().wall_ms
        rows = [
            deletion_message(each, each.deletion.reason, now_ms)
            for each in recordings
            if each.deletion is not None
        ]
        await self._committer.write(Commit(outbox=tuple(rows)))
        for recording in recordings:
            if recording.key in self._published:
                await self._mark(recording)
        self._requested(recordings)

    async def _mark(self, recording: Recording) -> None:
        """Store the trouble of a deletion without an answer, unless it is stored or answered."""
        requested = recording.deletion
        if requested is None or requested.trouble is not None:
            return
        log.warning("retention.noAnswer", extra={"recording": str(recording.key)})
        troubled = replace(recording, deletion=replace(requested, trouble=NO_ANSWER))
        try:
            await self._committer.write(Commit(recordings=(PutRecording(troubled),)))
        except Unavailable as error:
            if error.context.get("conflict") is not True:
                raise


def _place(recording: Recording) -> Place:
    """Return the place of a recording in the order of ``finished``."""
    deleted = recording.state is RecordingState.DELETED and recording.deletion is not None
    at_ms = recording.deletion.done_ms if deleted and recording.deletion else recording.outcome_ms
    return Place(at_ms or 0, recording.key)


def _requested_place(recording: Recording) -> Place:
    """Return the place of a recording in the order of ``deletions``."""
    return Place(recording.deletion.requested_ms if recording.deletion else 0, recording.key)
