"""What is over leaves the store: rooms after ``retention.roomDays``, answers that make room."""

from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.ports.store import AnswerRow, Commit
from tests.helpers.calls import ALWAYS, call
from tests.helpers.live import Peer, live
from tests.helpers.stores import EPOCH, part, room
from tests.helpers.wait import until

DAY_MS = 86_400_000
ROOM = {"room": "call"}


async def kept(store: MemoryStore, **days_ago: int) -> None:
    """Rooms that ended so many days ago, and an answer that has expired."""
    now_ms = SystemClock().now().wall_ms
    for uuid, days in days_ago.items():
        over = room(uuid, id_=uuid, life="ended", settled=True, ended_ms=now_ms - days * DAY_MS)
        parts = tuple(part(f"segment/{n}", b"{}", uuid) for n in range(1_200))
        await store.commit(Commit(over, parts=parts), EPOCH)
    answer = AnswerRow("example\nalice\nleaveRoom\n1", b"", b"", now_ms - 1)
    await store.commit(Commit(answers=(answer,)), EPOCH)


def forgotten(store: MemoryStore, *uuids: str) -> bool:
    return all(store.room(RoomUuid(uuid)) is None for uuid in uuids)


async def test_a_room_that_ended_long_ago_leaves_with_all_its_segments() -> None:
    store = MemoryStore()
    await kept(store, old=31, older=400, young=29)
    async with live(store=store):

        async def removed() -> bool:
            return forgotten(store, "old", "older")

        await until(removed)

    assert store.parts(RoomUuid("old")) == ()
    assert len(store.parts(RoomUuid("young"))) == 1_200


async def test_the_uuid_of_a_room_that_left_is_not_used_again() -> None:
    store = MemoryStore()
    await kept(store, old=31)
    async with live(store=store) as controller:

        async def removed() -> bool:
            return forgotten(store, "old")

        await until(removed)
        service, zoe = await controller.service(), await controller.client("zoe")
        assert await service.refused("getRoom", {"room": "old"}) == "ROOM_NOT_FOUND"
        for uuid in ("old", "OLD"):
            wish = {"uuid": uuid, "owner": "alice", "domain": "example"}
            assert await service.refused("createRoom", wish) == "ROOM_EXISTS"
            assert await zoe.refused("createRoom", {"uuid": uuid}) == "BAD_REQUEST"
        assert (await zoe.ok("createRoom", {"id": "old"}))["uuid"] != "old"


async def test_where_no_days_are_set_rooms_stay() -> None:
    store = MemoryStore()
    await kept(store, old=4_000)
    async with live("retention.roomDays=0", store=store) as controller:

        async def tidied() -> bool:
            return store.kept_answers() == ()

        await until(tidied)
        await (await controller.client("alice")).ok("ping")

    assert not forgotten(store, "old")


async def ask_often(peer: Peer, first: int, last: int) -> None:
    for number in range(first, last + 1):
        await peer.ask("leaveRoom", {"room": f"none-{number}"}, request_id=f"id-{number}")


async def test_the_oldest_answers_of_a_user_make_room_for_its_newest() -> None:
    store = MemoryStore()
    async with live("websocket.keptAnswerBytes=5000", store=store) as controller:
        await controller.permit("alice", ALWAYS)
        talk = await call(controller, kind="meeting")
        bobs = await talk.other.ask("leaveRoom", ROOM, request_id="bobs")
        await ask_often(talk.owner, 1, 30)

        answers = {each.key.split("\n", 2)[2]: each.bytes for each in store.kept_answers()}
        assert sum(size for key, size in answers.items() if "id-" in key) <= 5_000
        assert "leaveRoom\nid-30" in answers
        assert "leaveRoom\nid-1" not in answers
        again = await talk.other.ask("leaveRoom", ROOM, request_id="bobs")
        assert again == bobs, "another user's answers stay"


async def test_what_an_earlier_controller_kept_counts() -> None:
    store = MemoryStore()
    async with live("websocket.keptAnswerBytes=5000", store=store) as controller:
        await ask_often(await controller.client("alice"), 1, 8)
    before = len(store.kept_answers())
    async with live("websocket.keptAnswerBytes=5000", store=store) as controller:
        await ask_often(await controller.client("alice"), 9, 30)

    assert len(store.kept_answers()) <= before + 4
    assert sum(each.bytes for each in store.kept_answers()) <= 5_000
