"""Calls that were not recorded as was decided: over HTTP, and by command."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.sqlite.database import open_reader
from sfu_wrapper.adapters.sqlite.rows import rooms_by_time
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.cli.main import main
from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.policy import PolicySettings
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.identity import DomainId, RecordingType, Role, RoomId, RoomUuid
from sfu_wrapper.ports.store import Commit, PartRow, RoomQuery, RoomRow, Store
from sfu_wrapper.service.recordings.missed import MissedCalls
from sfu_wrapper.service.recordings.room_walk import READ
from sfu_wrapper.wire.recording_models import MissedCallsPage
from sfu_wrapper.wire.room_state import encode_room
from sfu_wrapper.wire.strict_json import iso
from tests.helpers import rooms
from tests.helpers.http import Json, World, pass_for, world
from tests.helpers.recordings import facts, failure, finished, put, user

ADMIN = pass_for("root", "domain-admin")
SERVICE = pass_for("rooms", "service")
EVER = 10**14


def ended(*, recorded: bool) -> Room:
    """A call of a minute that was to be recorded, and was or was not."""
    call = rooms.automatic()
    if recorded:
        call.confirm()
    call.clock(60_000)
    call.end()
    if recorded:
        call.close()
    return call.room


MISSED, WHOLE = ended(recorded=False), ended(recorded=True)
END_MS = MISSED.ended_ms or 0


async def store_room(
    store: Store, name: str, of: Room = MISSED, *, domain: str = "example", ended_ms: int = END_MS
) -> None:
    """Store a call under another uuid, domain and end; one that goes on has no end."""
    going_on = of.ended_ms is None
    place = {"uuid": RoomUuid(name), "id": RoomId(f"room-{name}"), "domain": DomainId(domain)}
    room = replace(of, **place, ended_ms=None if going_on else ended_ms)  # type: ignore[arg-type]
    stored = encode_room(room)
    row = RoomRow(
        uuid=room.uuid,
        id=room.id,
        domain=room.domain,
        owner=room.owner,
        life=room.life,
        settled=not going_on,
        created_ms=room.created.wall_ms,
        ended_ms=room.ended_ms,
        state=stored.head,
    )
    parts = tuple(PartRow(room.uuid, each, state) for each, state in stored.parts.items())
    await store.commit(Commit(row, parts=parts), 1)


@asynccontextmanager
async def peopled() -> AsyncIterator[World]:
    """Calls: one not recorded, a whole one, one whose processing failed, one of another domain."""
    async with world() as here:
        await store_room(here.store, "none")
        await store_room(here.store, "whole", WHOLE, ended_ms=END_MS + 1_000)
        await store_room(here.store, "failed", WHOLE, ended_ms=END_MS + 2_000)
        await store_room(here.store, "theirs", domain="other", ended_ms=END_MS + 3_000)
        await store_room(here.store, "running", rooms.automatic().room)
        about = facts("failed")
        await put(here.store, finished(about, failure(about)))
        yield here


def names(page: Json) -> list[str]:
    """Return the uuids on a page."""
    return [each["uuid"] for each in page["calls"]]


@pytest.mark.parametrize(
    ("token", "seen"),
    [
        (ADMIN, ["running", "none", "failed"]),
        (SERVICE, ["running", "none", "failed", "theirs"]),
        (pass_for("zoe", "domain-admin", domain="other"), ["theirs"]),
        (pass_for("zoe", "domain-admin", domain="third"), []),
    ],
)
async def test_operators_see_the_missed_calls_of_their_domain(token: str, seen: list[str]) -> None:
    async with peopled() as here:
        answer = await here.ask("GET", "/recordings/missed", token)

    assert answer.status == 200
    assert names(answer.json) == seen
    MissedCallsPage.model_validate_json(answer.body, strict=False)


async def test_a_missed_call_says_when_whose_and_why() -> None:
    async with peopled() as here:
        answer = await here.ask("GET", "/recordings/missed", ADMIN)
    _, none, failed = answer.json["calls"]

    reasons = none.pop("reasons")
    assert none == {
        "uuid": "none",
        "room": "room-none",
        "domain": "example",
        "owner": "alice",
        "kind": "direct",
        "origin": "internal",
        "state": "ended",
        "establishedAt": iso(END_MS - 60_000),
        "endedAt": iso(END_MS),
        "wantedSeconds": 60,
        "recordedSeconds": 0,
    }
    assert [each["code"] for each in reasons] == ["NOT_RECORDED"]
    assert reasons[0]["recordings"] == []
    assert [each["code"] for each in failed["reasons"]] == ["PROCESSING_FAILED"]
    assert failed["reasons"][0]["recordings"] == ["failed/1"]


@pytest.mark.parametrize(
    ("from_ms", "to_ms", "seen"),
    [
        (END_MS, END_MS + 1, ["running", "none"]),
        (END_MS + 1, END_MS + 2_000, ["running"]),
        (END_MS + 2_000, END_MS + 2_001, ["running", "failed"]),
        (0, 1_000, []),
    ],
)
async def test_a_range_is_that_of_the_end_and_calls_that_go_on_are_in_it(
    from_ms: int, to_ms: int, seen: list[str]
) -> None:
    async with peopled() as here:
        query = f"from={iso(from_ms)}&to={iso(to_ms)}"
        answer = await here.ask("GET", f"/recordings/missed?{query}", ADMIN)

    assert names(answer.json) == seen


async def test_pages_follow_each_other_without_repeats() -> None:
    async with peopled() as here:
        found: list[str] = []
        query = "limit=1"
        for _ in range(10):
            page = (await here.ask("GET", f"/recordings/missed?{query}", SERVICE)).json
            found += names(page)
            if "next" not in page:
                break
            query = f"limit=1&after={page['next']}"

    assert found == ["running", "none", "failed", "theirs"]


@pytest.mark.parametrize(
    "query", ["from=yesterday", "to=2026-12-01", "limit=0", "limit=101", "after=x", "room=a"]
)
async def test_a_wrong_question_is_refused(query: str) -> None:
    async with world() as here:
        answer = await here.ask("GET", f"/recordings/missed?{query}", SERVICE)

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")


async def test_a_page_looks_at_a_bounded_number_of_rooms_and_at_none_of_others() -> None:
    store = MemoryStore()
    for number in range(READ):
        await store_room(store, f"r{number:05}", WHOLE, domain="other")
    await store_room(store, "z")
    calls = MissedCalls(store, SystemClock())
    ours = await calls.page(Requester(user("root"), admin=True), 0, EVER)
    assert ([each.room.uuid for each in ours.calls], ours.next) == (["z"], None)

    service = Requester(user("rooms"), service=True)
    first = await calls.page(service, 0, EVER)
    second = await calls.page(service, 0, EVER, first.next)
    assert (first.calls, first.next is None) == ((), False)
    assert ([each.room.uuid for each in second.calls], second.next) == (["z"], None)


async def test_a_damaged_room_does_not_hide_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async with peopled() as here:
        await here.store.commit(Commit(parts=(PartRow(RoomUuid("none"), "what", b"?"),)), 1)
        answer = await here.ask("GET", "/recordings/missed", ADMIN)

    assert names(answer.json) == ["running", "failed"]
    assert "room.unreadable" in caplog.text


@pytest.mark.parametrize("domain", [None, DomainId("example")])
@pytest.mark.parametrize("settled", [True, False])
async def test_a_page_of_rooms_reads_the_range_of_one_index(
    tmp_path: Path, settled: bool, domain: DomainId | None
) -> None:
    file = tmp_path / "store.db"
    with closing(SqliteStore(file)) as store, closing(open_reader(file)) as connection:
        await store_room(store, "none")
        plans: list[str] = []
        connection.set_trace_callback(plans.append)
        rooms_by_time(connection, RoomQuery(settled, 0, EVER, (5, RoomUuid("a")), domain=domain))
        connection.set_trace_callback(None)
        plan = str(connection.execute(f"EXPLAIN QUERY PLAN {plans[0]}").fetchall())

    index = ("rooms_by_end" if settled else "rooms_unsettled") + ("_in_domain" if domain else "")
    assert f"SEARCH rooms USING INDEX {index} (" in plan
    assert domain is None or "TEMP B-TREE" not in plan


def test_the_command_lists_them_as_a_table_and_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SFU_WRAPPER__STORE__URL", f"sqlite:{tmp_path}/store.db")

    async def fill() -> None:
        with closing(SqliteStore(tmp_path / "store.db")) as store:
            await store_room(store, "none")
            await store_room(store, "theirs", domain="other", ended_ms=END_MS + 1)

    asyncio.run(fill())

    def run(*argv: str) -> str:
        assert main(["recordings", "missed", *argv, "--config", str(tmp_path)]) == 0
        return capsys.readouterr().out

    (row,) = (line for line in run("--domain", "example").splitlines() if "NOT_RECORDED" in line)
    assert "room-none" in row
    assert "0.0 of 60.0 s" in row
    lines = [json.loads(line) for line in run("--json").splitlines()]
    assert [each["uuid"] for each in lines] == ["none", "theirs"]
    assert [each["code"] for each in lines[0]["reasons"]] == ["NOT_RECORDED"]
    (late,) = run("--json", "--from", iso(END_MS + 1)).splitlines()
    assert json.loads(late)["uuid"] == "theirs"
    assert run("--json", "--to", iso(END_MS)) == ""


async def test_a_call_of_a_running_controller_is_judged_from_what_it_has_stored() -> None:
    async with world(policy=PolicySettings(system=RecordingType.ALL)) as here:
        alice = here.peer("alice")
        for room in ("kept", "bare"):
            await here.do(alice, "createRoom", id=room, kind="meeting", record=room == "kept")
            await here.do(alice, "joinRoom", room=room)
        await here.do(here.peer("root", Role.DOMAIN_ADMIN), "stopRoomRecording", room="kept")
        await here.do(alice, "leaveRoom", room="bare")
        answer = await here.ask("GET", "/recordings/missed", ADMIN)
        rows = here.store.rooms_by_time(RoomQuery(settled=False, from_ms=0, to_ms=EVER))
        settled = here.store.rooms_by_time(RoomQuery(settled=True, from_ms=0, to_ms=EVER))

    assert {row.id for row in (*rows, *settled)} == {"kept", "bare"}
    assert [each.facts.room for each in here.store.index.all()] == ["kept"]
    assert answer.json == {"calls": []}
