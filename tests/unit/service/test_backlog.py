"""The relay's backlog: order per room, no gap between what is offered and what is read."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.ports.store import OutboxRow
from sfu_wrapper.service.rooms.relay import Backlog

PAGE = 3


def row(seq: int, room: str = "a") -> OutboxRow:
    return OutboxRow(
        room=RoomUuid(room),
        routing_key="recordingInfo",
        message_id=f"{room}:{seq}",
        correlation_id="room",
        body=b"{}",
        created_ms=seq * 10,
        seq=seq,
    )


def caught_up(limit: int = 10) -> Backlog:
    backlog = Backlog(limit)
    backlog.refill((), PAGE)
    return backlog


def test_a_fresh_backlog_reads_the_store_first() -> None:
    backlog = Backlog(10)
    offered = backlog.offer([row(1)])

    assert offered == []
    assert backlog.wants_rows
    assert not backlog.empty
    assert backlog.refill([row(1)], PAGE) == ["a"]
    assert not backlog.wants_rows


def test_offered_rows_wait_in_order_per_room() -> None:
    backlog = caught_up()
    fresh = backlog.offer([row(1, "a"), row(2, "b"), row(3, "a")])

    assert fresh == ["a", "b"]
    assert backlog.waiting == 3
    assert backlog.head(RoomUuid("a")).seq == 1
    assert backlog.published(RoomUuid("a"))
    assert backlog.head(RoomUuid("a")).seq == 3
    assert not backlog.published(RoomUuid("a"))


def test_rooms_that_are_offered_out_of_order_lose_nothing() -> None:
    backlog = caught_up()

    assert backlog.offer([row(12, "b")]) == ["b"]
    assert backlog.offer([row(11, "a")]) == ["a"]


def test_too_many_rows_are_left_to_the_store() -> None:
    backlog = caught_up(limit=4)
    backlog.offer([row(seq) for seq in range(1, 7)])

    assert (backlog.waiting, backlog.wants_rows) == (4, False)
    for _ in range(4):
        backlog.published(RoomUuid("a"))
    backlog.forgotten([1, 2, 3, 4])
    assert backlog.wants_rows
    assert backlog.refill([row(5), row(6)], PAGE) == ["a"]
    assert not backlog.behind
    assert backlog.waiting == 2


def test_a_row_that_was_read_is_not_taken_again_when_it_is_offered() -> None:
    backlog = Backlog(10)
    backlog.refill([row(1), row(2)], PAGE)
    backlog.published(RoomUuid("a"))
    backlog.published(RoomUuid("a"))
    backlog.forgotten([1, 2])

    assert backlog.offer([row(1), row(2)]) == []
    assert backlog.empty


def test_the_oldest_row_tells_the_lag() -> None:
    backlog = caught_up()
    assert backlog.oldest_ms is None
    backlog.offer([row(5, "b"), row(4, "a")])

    assert backlog.oldest_ms == 40


@given(
    limit=st.integers(1, 6),
    steps=st.lists(st.sampled_from(["commit", "offer", "read", "publish", "forget"]), max_size=80),
    rooms=st.lists(st.sampled_from("abc"), min_size=80, max_size=80),
    offered_first=st.lists(st.integers(0, 5), min_size=80, max_size=80),
)
def test_whatever_happens_every_row_is_published_once_and_in_order(
    limit: int, steps: list[str], rooms: list[str], offered_first: list[int]
) -> None:
    backlog = Backlog(limit)
    ready: list[RoomUuid] = []
    store: dict[int, OutboxRow] = {}
    to_offer: dict[str, list[OutboxRow]] = {}
    unforgotten: list[int] = []
    published: list[OutboxRow] = []
    committed: list[OutboxRow] = []

    def read() -> None:
        if backlog.wants_rows:
            page = [r for s, r in sorted(store.items()) if s > backlog.read_to][:PAGE]
            ready.extend(backlog.refill(page, PAGE))

    def publish() -> None:
        if ready:
            room = ready.pop(0)
            published.append(backlog.head(room))
            unforgotten.append(published[-1].seq)
            if backlog.published(room):
                ready.append(room)

    def forget() -> None:
        for seq in unforgotten:
            del store[seq]
        backlog.forgotten(unforgotten)
        unforgotten.clear()

    def offer(which: int) -> None:
        if waiting := sorted(room for room, rows in to_offer.items() if rows):
            room = waiting[which % len(waiting)]
            ready.extend(backlog.offer([to_offer[room].pop(0)]))

    for number, step in enumerate(steps):
        match step:
            case "commit":
                new = replace(row(len(committed) + 1, rooms[number]))
                committed.append(new)
                store[new.seq] = new
                to_offer.setdefault(new.room, []).append(new)
            case "offer":
                offer(offered_first[number])
            case "read":
                read()
            case "publish":
                publish()
            case _:
                forget()
    for _ in range(len(committed) * 4 + 4):
        offer(0)
        publish()
        forget()
        read()

    for room in "abc":
        mine = [r.seq for r in published if r.room == room]
        assert mine == [r.seq for r in committed if r.room == room]
    assert backlog.empty
