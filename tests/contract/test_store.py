"""What every store promises, and that stores which do not keep a promise are found out."""

from asyncio import Future
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import DomainId, RoomId, RoomUuid
from sfu_wrapper.ports.store import (
    AnswerRow,
    AnswerSize,
    Commit,
    OutboxRow,
    PartRow,
    RoomQuery,
    RoomRow,
)
from tests.helpers import stores
from tests.helpers.stores import PROMISES, Promise, StoreBench, memory_bench, sqlite_bench

BENCHES = {"memory": memory_bench, "sqlite": sqlite_bench}
every_promise = pytest.mark.parametrize("promise", PROMISES, ids=lambda p: p.__name__)


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreBench]:
    bench = BENCHES[request.param](tmp_path)
    yield bench
    bench.store.close()


@every_promise
async def test_a_store_keeps(promise: Promise, bench: StoreBench) -> None:
    await promise(bench)


class OutboxBesideTheTransaction(MemoryStore):
    """Writes messages although the commit is refused."""

    def commit(self, commit: Commit, epoch: int) -> "Future[tuple[OutboxRow, ...]]":
        super().commit(Commit(outbox=commit.outbox), epoch=1_000_000)
        return super().commit(replace(commit, outbox=()), epoch)


class Forgetful(MemoryStore):
    """Confirms a room before it is written, and never writes it."""

    def commit(self, commit: Commit, epoch: int) -> "Future[tuple[OutboxRow, ...]]":
        return super().commit(replace(commit, room=None), epoch)


class Unfenced(MemoryStore):
    """Lets every controller write."""

    def commit(self, commit: Commit, epoch: int) -> "Future[tuple[OutboxRow, ...]]":
        return super().commit(commit, 1)


class NumbersAgain(MemoryStore):
    """Uses the numbers of published rows again."""

    def mark_published(self, seqs: Sequence[int]) -> "Future[None]":
        self._seq = 0
        return super().mark_published(seqs)


class PublishesTooMuch(MemoryStore):
    """Takes one confirm for all up to it."""

    def mark_published(self, seqs: Sequence[int]) -> "Future[None]":
        return super().mark_published(range(max(seqs) + 1))


class Untraced(MemoryStore):
    """Drops the trace context of a message."""

    def commit(self, commit: Commit, epoch: int) -> "Future[tuple[OutboxRow, ...]]":
        outbox = tuple(replace(row, trace=None) for row in commit.outbox)
        return super().commit(replace(commit, outbox=outbox), epoch)


class Unordered(MemoryStore):
    """Pages the outbox from its end."""

    def pending_outbox(self, after_seq: int, limit: int) -> tuple[OutboxRow, ...]:
        return super().pending_outbox(after_seq, 1_000)[::-1][:limit]


class KeepsAnswersForEver(MemoryStore):
    """Never lets an answer expire."""

    def answer(self, key: str, now_ms: int) -> AnswerRow | None:
        return super().answer(key, now_ms=0)


class LoadsEverything(MemoryStore):
    """Takes up rooms that are settled."""

    def unsettled_rooms(self) -> tuple[RoomRow, ...]:
        return tuple(self._rooms.values())


class FindsTheOldest(MemoryStore):
    """Mistakes a room for the first one of its id."""

    def latest_room(self, domain: DomainId, room: RoomId) -> RoomRow | None:
        rows = (row for row in self._rooms.values() if row.domain == domain)
        return next((row for row in rows if row.id == room), None)


class MixesUpDomains(MemoryStore):
    """Finds a room of another domain."""

    def latest_room(self, domain: DomainId, room: RoomId) -> RoomRow | None:
        found = [row for row in self._rooms.values() if row.id == room]
        return found[-1] if found else None


class OnePartForAll(MemoryStore):
    """Keeps parts by their name alone."""

    def _put_part(self, part: PartRow) -> None:
        for uuid in {*self._parts, part.room}:
            self._parts.setdefault(uuid, {})[part.name] = part


class NeverRemovesParts(MemoryStore):
    """Keeps what a commit removes."""

    def _put_part(self, part: PartRow) -> None:
        if part.state is not None:
            super()._put_part(part)


class PartsBesideTheTransaction(MemoryStore):
    """Writes parts although the commit is refused."""

    def commit(self, commit: Commit, epoch: int) -> "Future[tuple[OutboxRow, ...]]":
        for part in commit.parts:
            self._put_part(part)
        return super().commit(commit, epoch)


class LeavesPartsBehind(MemoryStore):
    """Removes rooms without what belongs to them."""

    def _forget_rooms(self, ended_before_ms: int, limit: int) -> int:
        parts = {uuid: dict(of_room) for uuid, of_room in self._parts.items()}
        removed = super()._forget_rooms(ended_before_ms, limit)
        self._parts = parts
        return removed


class RemovesAllAtOnce(MemoryStore):
    """Knows no batches."""

    def _forget_rooms(self, ended_before_ms: int, limit: int) -> int:
        return super()._forget_rooms(ended_before_ms, 1_000_000)


class FreesUuids(MemoryStore):
    """Removes rooms without a trace."""

    def has_used(self, uuid: RoomUuid) -> bool:
        return uuid in self._rooms


class UsesUuidsTooEarly(MemoryStore):
    """Notes the uuid of a room although its commit is refused."""

    def commit(self, commit: Commit, epoch: int) -> "Future[tuple[OutboxRow, ...]]":
        if commit.room is not None:
            self._used.add(commit.room.uuid)
        return super().commit(commit, epoch)


class RemovesMessages(MemoryStore):
    """Takes unpublished messages for a part of their room."""

    def _forget_rooms(self, ended_before_ms: int, limit: int) -> int:
        self._outbox.clear()
        return super()._forget_rooms(ended_before_ms, limit)


class CountsInOrderOfKeeping(MemoryStore):
    """Does not say which answer expires first."""

    def kept_answers(self) -> tuple[AnswerSize, ...]:
        rows = self._answers.values()
        return tuple(AnswerSize(row.key, len(row.answer), row.expires_ms) for row in rows)


class MakesNoRoom(MemoryStore):
    """Keeps every answer."""

    def commit(self, commit: Commit, epoch: int) -> "Future[tuple[OutboxRow, ...]]":
        return super().commit(replace(commit, forgotten=()), epoch)


class ForgetsThePlace(MemoryStore):
    """Begins each page at the time of the last room, and repeats it."""

    def rooms_by_time(self, query: RoomQuery) -> tuple[RoomRow, ...]:
        since_ms = query.from_ms if query.after is None else query.after[0]
        return super().rooms_by_time(replace(query, from_ms=since_ms, after=None))


class EndsTooLate(MemoryStore):
    """Takes the end of a range for a part of it."""

    def rooms_by_time(self, query: RoomQuery) -> tuple[RoomRow, ...]:
        return super().rooms_by_time(replace(query, to_ms=query.to_ms + 1))


class ReadsAllDomains(MemoryStore):
    """Gives a page of rooms of all domains."""

    def rooms_by_time(self, query: RoomQuery) -> tuple[RoomRow, ...]:
        return super().rooms_by_time(replace(query, domain=None))


class DropsAtClose(MemoryStore):
    """Fails what still waits when it is closed."""

    def close(self) -> None:
        super().close()
        self.failing = True


BROKEN: dict[Callable[[], MemoryStore], Promise] = {
    OutboxBesideTheTransaction: stores.a_fenced_off_controller_writes_nothing,
    Forgetful: stores.what_was_confirmed_is_read_at_once,
    Unfenced: stores.one_refused_commit_takes_no_other_with_it,
    NumbersAgain: stores.outbox_numbers_rise_and_are_never_used_again,
    PublishesTooMuch: stores.only_confirmed_messages_are_forgotten,
    Unordered: stores.the_outbox_is_paged_in_order,
    Untraced: stores.a_message_keeps_its_trace_context,
    KeepsAnswersForEver: stores.answers_expire_and_can_be_forgotten,
    LoadsEverything: stores.settled_rooms_are_not_taken_up_again,
    FindsTheOldest: stores.a_room_id_used_again_means_the_youngest,
    MixesUpDomains: stores.a_room_id_means_a_room_of_its_domain,
    OnePartForAll: stores.parts_belong_to_one_room,
    NeverRemovesParts: stores.parts_change_one_by_one,
    PartsBesideTheTransaction: stores.parts_go_with_their_room_or_not_at_all,
    LeavesPartsBehind: stores.old_rooms_leave_with_their_parts,
    RemovesAllAtOnce: stores.old_rooms_leave_in_batches,
    FreesUuids: stores.a_uuid_that_was_used_stays_used,
    UsesUuidsTooEarly: stores.a_uuid_of_a_room_that_was_not_stored_is_free,
    RemovesMessages: stores.what_is_published_later_outlives_its_room,
    CountsInOrderOfKeeping: stores.kept_answers_are_counted_in_order_of_expiry,
    MakesNoRoom: stores.an_answer_that_makes_room_is_gone,
    ForgetsThePlace: stores.open_rooms_are_paged_by_their_creation,
    EndsTooLate: stores.settled_rooms_are_paged_by_their_end,
    ReadsAllDomains: stores.rooms_of_one_domain_are_paged_by_themselves,
    DropsAtClose: stores.closing_finishes_what_waits_and_refuses_the_rest,
}


class LosesOnReopen(StoreBench):
    """Starts empty each time."""

    def __init__(self) -> None:
        super().__init__(MemoryStore)


@pytest.mark.parametrize(("broken", "promise"), BROKEN.items(), ids=lambda x: x.__name__)
async def test_a_broken_store_is_found_out(
    broken: Callable[[], MemoryStore], promise: Promise
) -> None:
    kept = broken()

    def again() -> MemoryStore:
        kept._closed = False
        return kept

    # pytest.raises that saw nothing raised fails with an exception that is no Exception.
    with pytest.raises((AssertionError, Unavailable, pytest.fail.Exception)):
        await promise(StoreBench(again))


async def test_a_store_that_forgets_between_processes_is_found_out() -> None:
    with pytest.raises(AssertionError):
        await stores.state_outbox_and_answer_are_stored_together(LosesOnReopen())
