"""Stores under test, what one puts into them, and what every store promises.

``PROMISES`` is the contract: run on the fake and on the real store it must pass, run on the broken
ones something in it must fail.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import (
    DomainId,
    OwnerPermissions,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    RoomId,
    RoomUuid,
    UserId,
    UserKey,
)
from sfu_wrapper.model.trace import TraceContext
from sfu_wrapper.ports.store import (
    AnswerRow,
    AnswerSize,
    Commit,
    OutboxRow,
    PartRow,
    RoomQuery,
    RoomRow,
    Store,
)

EPOCH = 1
ALICE = UserKey(DomainId("example"), UserId("alice"))
ALWAYS = RecordingPermissions(RecordingType.ALL, RecordingProfile.ALWAYS)
SKIP = RecordingPermissions(RecordingType.NONE, RecordingProfile.SKIP)


class StoreBench:
    """A store, and the same data opened again by the next process."""

    def __init__(self, make: Callable[[], Store]) -> None:
        self._make = make
        self.store = make()

    def reopen(self) -> Store:
        """Close, and open what is there."""
        self.store.close()
        self.store = self._make()
        return self.store


def memory_bench(_: Path) -> StoreBench:
    """The fake, whose data lives as long as the bench."""
    kept = MemoryStore()

    class Reopened(MemoryStore):
        def __init__(self) -> None:
            self.__dict__ = kept.__dict__
            self._closed = False

    return StoreBench(Reopened)


def sqlite_bench(folder: Path) -> StoreBench:
    """The real one."""
    return StoreBench(lambda: SqliteStore(folder / "store" / "sfu-wrapper.db"))


def room(uuid: str = "uuid-1", *, id_: str = "room", at_ms: int = 1, **other: object) -> RoomRow:
    """A room row; ``other``: life, settled, ended_ms, state."""
    given: dict[str, object] = {
        "life": "waiting",
        "settled": False,
        "ended_ms": None,
        "state": b"state",
    } | other
    return RoomRow(
        uuid=RoomUuid(uuid),
        id=RoomId(id_),
        domain=ALICE.domain,
        owner=ALICE.user,
        created_ms=at_ms,
        **given,  # type: ignore[arg-type]  # checked by the dataclass's users
    )


def message(n: int, uuid: str = "uuid-1", *, mandatory: bool = True) -> OutboxRow:
    """The nth message of a room."""
    return OutboxRow(
        room=RoomUuid(uuid),
        routing_key="recordingInfo",
        message_id=f"{uuid}:{n}",
        correlation_id="room",
        body=b'{"n":%d}' % n,
        created_ms=1000 + n,
        mandatory=mandatory,
    )


async def state_outbox_and_answer_are_stored_together(bench: StoreBench) -> None:
    answer = AnswerRow("alice/1", b"digest", b"answer", expires_ms=50)
    rows = await bench.store.commit(Commit(room(), (message(1), message(2)), (answer,)), EPOCH)

    again = bench.reopen()
    assert again.room(RoomUuid("uuid-1")) == room()
    assert again.pending_outbox(0, 10) == rows
    assert [row.message_id for row in rows] == ["uuid-1:1", "uuid-1:2"]
    assert again.answer("alice/1", now_ms=49) == answer


async def what_was_confirmed_is_read_at_once(bench: StoreBench) -> None:
    await bench.store.commit(Commit(room(state=b"1")), EPOCH)
    await bench.store.commit(Commit(room(state=b"2", life="established")), EPOCH)

    found = bench.store.room(RoomUuid("uuid-1"))
    assert found == room(state=b"2", life="established")


async def a_fenced_off_controller_writes_nothing(bench: StoreBench) -> None:
    await bench.store.commit(Commit(room(state=b"new")), 2)
    answer = AnswerRow("alice/1", b"digest", b"answer", expires_ms=50)
    with pytest.raises(Unavailable):
        await bench.store.commit(Commit(room(state=b"old"), (message(1),), (answer,)), 1)
    with pytest.raises(Unavailable):
        await bench.store.commit(Commit(None, (message(2),)), 1)

    again = bench.reopen()
    assert again.room(RoomUuid("uuid-1")) == room(state=b"new")
    assert again.pending_outbox(0, 10) == ()
    assert again.answer("alice/1", now_ms=1) is None


async def one_refused_commit_takes_no_other_with_it(bench: StoreBench) -> None:
    await bench.store.commit(Commit(room("fenced")), 2)
    futures = [
        bench.store.commit(Commit(room("a"), (message(1, "a"),)), EPOCH),
        bench.store.commit(Commit(room("fenced"), (message(1, "fenced"),)), EPOCH),
        bench.store.commit(Commit(room("b"), (message(1, "b"),)), EPOCH),
    ]
    outcomes = await asyncio.gather(*futures, return_exceptions=True)

    assert [isinstance(outcome, Unavailable) for outcome in outcomes] == [False, True, False]
    assert [row.room for row in bench.reopen().pending_outbox(0, 10)] == ["a", "b"]


async def outbox_numbers_rise_and_are_never_used_again(bench: StoreBench) -> None:
    (first,) = await bench.store.commit(Commit(None, (message(1),)), EPOCH)
    await bench.store.mark_published([first.seq])
    (second,) = await bench.reopen().commit(Commit(None, (message(2),)), EPOCH)

    assert 0 < first.seq < second.seq


async def a_message_keeps_its_trace_context(bench: StoreBench) -> None:
    trace = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1")
    traces = (trace, replace(trace, state=None), None)
    messages = [replace(message(n), trace=each) for n, each in enumerate(traces)]
    await bench.store.commit(Commit(None, tuple(messages)), EPOCH)

    assert [row.trace for row in bench.reopen().pending_outbox(0, 10)] == list(traces)


async def the_outbox_is_paged_in_order(bench: StoreBench) -> None:
    commits = [bench.store.commit(Commit(None, (message(n),)), EPOCH) for n in range(10)]
    rows = [row for (row,) in await asyncio.gather(*commits)]

    assert [row.message_id for row in rows] == [f"uuid-1:{n}" for n in range(10)]
    assert list(bench.store.pending_outbox(0, 4)) == rows[:4]
    assert list(bench.store.pending_outbox(rows[3].seq, 100)) == rows[4:]


async def only_confirmed_messages_are_forgotten(bench: StoreBench) -> None:
    rows = await bench.store.commit(Commit(None, tuple(message(n) for n in range(4))), EPOCH)
    await bench.store.mark_published([rows[0].seq, rows[2].seq, 999])

    assert bench.reopen().pending_outbox(0, 10) == (rows[1], rows[3])


async def settled_rooms_are_not_taken_up_again(bench: StoreBench) -> None:
    await bench.store.commit(Commit(room("a")), EPOCH)
    await bench.store.commit(Commit(room("b", at_ms=2)), EPOCH)
    await bench.store.commit(Commit(room("a", settled=True, life="ended", ended_ms=9)), EPOCH)

    again = bench.reopen()
    assert [row.uuid for row in again.unsettled_rooms()] == ["b"]
    assert again.room(RoomUuid("a")) == room("a", settled=True, life="ended", ended_ms=9)


def part(name: str, state: bytes | None = b"{}", uuid: str = "uuid-1") -> PartRow:
    """A part of a room; ``state`` None removes it."""
    return PartRow(RoomUuid(uuid), name, state)


async def parts_change_one_by_one(bench: StoreBench) -> None:
    first = (part("segment/1", b"a"), part("segment/2", b"b"), part("person/alice", b"c"))
    await bench.store.commit(Commit(room(), parts=first), EPOCH)
    second = (part("segment/2", b"d"), part("person/alice", None), part("person/nobody", None))
    await bench.store.commit(Commit(room(), parts=second), EPOCH)

    again = bench.reopen()
    found = {each.name: each.state for each in again.parts(RoomUuid("uuid-1"))}
    assert found == {"segment/1": b"a", "segment/2": b"d"}
    assert again.part(RoomUuid("uuid-1"), "segment/2") == part("segment/2", b"d")
    assert again.part(RoomUuid("uuid-1"), "person/alice") is None


async def parts_belong_to_one_room(bench: StoreBench) -> None:
    for uuid in ("a", "b"):
        parts = (part("segment/1", uuid.encode(), uuid),)
        await bench.store.commit(Commit(room(uuid), parts=parts), EPOCH)

    assert bench.reopen().parts(RoomUuid("b")) == (part("segment/1", b"b", "b"),)
    assert bench.store.part(RoomUuid("a"), "segment/1") == part("segment/1", b"a", "a")
    assert bench.store.parts(RoomUuid("c")) == ()


async def parts_go_with_their_room_or_not_at_all(bench: StoreBench) -> None:
    await bench.store.commit(Commit(room(), parts=(part("segment/1", b"new"),)), 2)
    with pytest.raises(Unavailable):
        await bench.store.commit(Commit(room(), parts=(part("segment/1", b"old"),)), 1)

    assert bench.reopen().parts(RoomUuid("uuid-1")) == (part("segment/1", b"new"),)


async def ended(bench: StoreBench, uuid: str, ended_ms: int, *, parts: int = 2) -> None:
    """A settled room with parts."""
    over = room(uuid, id_=uuid, life="ended", settled=True, ended_ms=ended_ms)
    rows = tuple(part(f"segment/{n}", b"{}", uuid) for n in range(parts))
    await bench.store.commit(Commit(over, parts=rows), EPOCH)


async def old_rooms_leave_with_their_parts(bench: StoreBench) -> None:
    await ended(bench, "old", 100)
    await ended(bench, "young", 300)
    await bench.store.commit(
        Commit(room("unsettled", life="ended", ended_ms=50), parts=(part("x", b"", "unsettled"),)),
        EPOCH,
    )
    await bench.store.commit(Commit(room("alive")), EPOCH)

    assert await bench.store.forget_rooms(300, 100) == 3
    again = bench.reopen()
    assert again.room(RoomUuid("old")) is None
    assert again.parts(RoomUuid("old")) == ()
    assert len(again.parts(RoomUuid("young"))) == 2
    assert {row.uuid for row in again.unsettled_rooms()} == {"unsettled", "alive"}
    assert await again.forget_rooms(300, 100) == 0


async def old_rooms_leave_in_batches(bench: StoreBench) -> None:
    await ended(bench, "older", 100, parts=4)
    await ended(bench, "old", 200, parts=4)
    counts: list[int] = []
    while not counts or counts[-1]:
        counts.append(await bench.store.forget_rooms(1_000, 3))
        left = [bench.store.room(RoomUuid(uuid)) is not None for uuid in ("older", "old")]
        assert left != [True, False], "the longest ended goes first"

    assert counts == [3, 3, 3, 1, 0]
    assert left == [False, False]


async def a_uuid_that_was_used_stays_used(bench: StoreBench) -> None:
    assert not bench.store.has_used(RoomUuid("old"))
    await ended(bench, "Old", 100)
    await bench.store.commit(Commit(room("alive")), EPOCH)
    while await bench.store.forget_rooms(1_000, 1):
        pass

    again = bench.reopen()
    assert again.room(RoomUuid("Old")) is None
    assert [again.has_used(RoomUuid(uuid)) for uuid in ("Old", "old", "ALIVE")] == [True] * 3
    assert not again.has_used(RoomUuid("older"))


async def a_uuid_of_a_room_that_was_not_stored_is_free(bench: StoreBench) -> None:
    await bench.store.commit(Commit(room("fenced")), 2)
    message_of_fenced = (message(1, "fenced"),)
    with pytest.raises(Unavailable):
        await bench.store.commit(Commit(room("new"), message_of_fenced), EPOCH)
    await bench.store.commit(Commit(outbox=(message(2, "elsewhere"),)), EPOCH)

    again = bench.reopen()
    assert not again.has_used(RoomUuid("new"))
    assert not again.has_used(RoomUuid("elsewhere"))


async def what_is_published_later_outlives_its_room(bench: StoreBench) -> None:
    over = room(life="ended", settled=True, ended_ms=1)
    rows = await bench.store.commit(Commit(over, (message(1),)), EPOCH)
    await bench.store.forget_rooms(1_000, 100)

    assert bench.reopen().pending_outbox(0, 10) == rows


async def kept_answers_are_counted_in_order_of_expiry(bench: StoreBench) -> None:
    late, early = AnswerRow("b", b"d", b"12345", 200), AnswerRow("a", b"d", b"123", 100)
    await bench.store.commit(Commit(answers=(late, early)), EPOCH)

    sizes = bench.reopen().kept_answers()
    assert sizes == (AnswerSize("a", 3, 100), AnswerSize("b", 5, 200))


async def an_answer_that_makes_room_is_gone(bench: StoreBench) -> None:
    await bench.store.commit(Commit(answers=(AnswerRow("a", b"d", b"1", 100),)), EPOCH)
    newer = AnswerRow("b", b"d", b"2", 100)
    await bench.store.commit(Commit(answers=(newer,), forgotten=("a", "unknown")), EPOCH)

    assert bench.reopen().answer("a", now_ms=1) is None
    assert bench.store.answer("b", now_ms=1) == newer


async def a_room_id_used_again_means_the_youngest(bench: StoreBench) -> None:
    await bench.store.commit(Commit(room("old", at_ms=1)), EPOCH)
    await bench.store.commit(Commit(room("young", at_ms=1)), EPOCH)
    await bench.store.commit(Commit(room("old", at_ms=1, life="ended")), EPOCH)

    found = bench.reopen().latest_room(ALICE.domain, RoomId("room"))
    assert found is not None
    assert found.uuid == "young"
    assert bench.store.latest_room(ALICE.domain, RoomId("nobody's")) is None
    assert bench.store.room(RoomUuid("nobody's")) is None


async def a_room_id_means_a_room_of_its_domain(bench: StoreBench) -> None:
    await bench.store.commit(Commit(room("ours", at_ms=1)), EPOCH)
    other = DomainId("other")
    await bench.store.commit(Commit(replace(room("theirs", at_ms=2), domain=other)), EPOCH)

    ours = bench.reopen().latest_room(ALICE.domain, RoomId("room"))
    theirs = bench.store.latest_room(other, RoomId("room"))
    assert ours is not None
    assert theirs is not None
    assert (ours.uuid, theirs.uuid) == ("ours", "theirs")
    assert bench.store.latest_room(DomainId("third"), RoomId("room")) is None


async def answers_expire_and_can_be_forgotten(bench: StoreBench) -> None:
    early = AnswerRow("early", b"d", b"a", expires_ms=100)
    late = AnswerRow("late", b"d", b"a", expires_ms=200)
    await bench.store.commit(Commit(answers=(early, late)), EPOCH)
    assert bench.store.answer("early", now_ms=100) is None
    assert bench.store.answer("late", now_ms=100) == late
    await bench.store.forget_answers(before_ms=150)

    assert bench.store.answer("early", now_ms=0) is None
    assert bench.store.answer("late", now_ms=0) == late


async def settled_rooms_are_paged_by_their_end(bench: StoreBench) -> None:
    ends = {"b": 20, "a": 20, "c": 10, "late": 30, "early": 9}
    for uuid, end_ms in ends.items():
        ended = room(uuid, at_ms=40 - end_ms, life="ended", settled=True, ended_ms=end_ms)
        await bench.store.commit(Commit(ended), EPOCH)
    await bench.store.commit(Commit(room("open", at_ms=15)), EPOCH)

    assert by_time(bench.reopen(), RoomQuery(True, 10, 30)) == ["c", "a", "b"]
    assert by_time(bench.store, RoomQuery(True, 10, 30, limit=2)) == ["c", "a"]
    after = (20, RoomUuid("a"))
    assert by_time(bench.store, RoomQuery(True, 10, 31, after)) == ["b", "late"]


async def open_rooms_are_paged_by_their_creation(bench: StoreBench) -> None:
    for uuid, at_ms in {"b": 2, "a": 2, "c": 1, "young": 3}.items():
        await bench.store.commit(Commit(room(uuid, at_ms=at_ms, ended_ms=50)), EPOCH)
    await bench.store.commit(Commit(room("over", settled=True, ended_ms=2)), EPOCH)

    assert by_time(bench.reopen(), RoomQuery(False, 0, 3)) == ["c", "a", "b"]
    assert by_time(bench.store, RoomQuery(False, 2, 3, limit=1)) == ["a"]
    after = (2, RoomUuid("a"))
    assert by_time(bench.store, RoomQuery(False, 0, 9, after)) == ["b", "young"]


async def rooms_of_one_domain_are_paged_by_themselves(bench: StoreBench) -> None:
    other = DomainId("other")
    for n in (1, 2, 3):
        for domain in (ALICE.domain, other):
            opened = replace(room(f"{domain}-{n}", id_=f"{n}", at_ms=n), domain=domain)
            ended = replace(opened, uuid=RoomUuid(f"{domain}-{n}-over"), settled=True, ended_ms=n)
            await bench.store.commit(Commit(opened), EPOCH)
            await bench.store.commit(Commit(ended), EPOCH)

    assert by_time(bench.reopen(), RoomQuery(False, 0, 9, limit=2, domain=other)) == [
        "other-1",
        "other-2",
    ]
    after = (1, RoomUuid("other-1-over"))
    assert by_time(bench.store, RoomQuery(True, 0, 9, after, domain=other)) == [
        "other-2-over",
        "other-3-over",
    ]
    assert by_time(bench.store, RoomQuery(True, 0, 9, domain=DomainId("third"))) == []


def by_time(store: Store, query: RoomQuery) -> list[str]:
    """The uuids of a page."""
    return [row.uuid for row in store.rooms_by_time(query)]


async def permissions_of_user_and_domain_are_apart(bench: StoreBench) -> None:
    store = bench.store
    await store.set_permission(ALICE.domain, None, SKIP)
    assert store.permissions(ALICE) == OwnerPermissions(None, SKIP)
    await store.set_permission(ALICE.domain, ALICE.user, ALWAYS)
    assert bench.reopen().permissions(ALICE) == OwnerPermissions(ALWAYS, SKIP)
    await bench.store.set_permission(ALICE.domain, None, None)
    assert bench.store.permissions(ALICE) == OwnerPermissions(ALWAYS, None)
    await bench.store.set_permission(ALICE.domain, ALICE.user, None)

    assert bench.store.permissions(ALICE) == OwnerPermissions()
    elsewhere = UserKey(DomainId("other"), ALICE.user)
    assert bench.store.permissions(elsewhere) == OwnerPermissions()


async def closing_finishes_what_waits_and_refuses_the_rest(bench: StoreBench) -> None:
    futures = [bench.store.commit(Commit(None, (message(n),)), EPOCH) for n in range(5)]
    bench.store.close()
    late = bench.store.commit(Commit(None, (message(9),)), EPOCH)

    await asyncio.gather(*futures)
    with pytest.raises(Unavailable):
        await late
    assert len(bench.reopen().pending_outbox(0, 10)) == 5


Promise = Callable[[StoreBench], Awaitable[None]]

PROMISES: tuple[Promise, ...] = (
    state_outbox_and_answer_are_stored_together,
    what_was_confirmed_is_read_at_once,
    a_fenced_off_controller_writes_nothing,
    one_refused_commit_takes_no_other_with_it,
    outbox_numbers_rise_and_are_never_used_again,
    the_outbox_is_paged_in_order,
    a_message_keeps_its_trace_context,
    only_confirmed_messages_are_forgotten,
    settled_rooms_are_not_taken_up_again,
    a_room_id_used_again_means_the_youngest,
    a_room_id_means_a_room_of_its_domain,
    parts_change_one_by_one,
    parts_belong_to_one_room,
    parts_go_with_their_room_or_not_at_all,
    old_rooms_leave_with_their_parts,
    old_rooms_leave_in_batches,
    a_uuid_that_was_used_stays_used,
    a_uuid_of_a_room_that_was_not_stored_is_free,
    what_is_published_later_outlives_its_room,
    kept_answers_are_counted_in_order_of_expiry,
    an_answer_that_makes_room_is_gone,
    answers_expire_and_can_be_forgotten,
    settled_rooms_are_paged_by_their_end,
    open_rooms_are_paged_by_their_creation,
    permissions_of_user_and_domain_are_apart,
    closing_finishes_what_waits_and_refuses_the_rest,
)
