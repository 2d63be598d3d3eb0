"""Dry runs of permissions over HTTP and by command, beside what really happens."""

import asyncio
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.cli.main import main
from sfu_wrapper.model.identity import DomainId, RoomId, RoomUuid
from sfu_wrapper.ports.store import Commit, PartRow, RoomRow, Store
from sfu_wrapper.service.recordings import dry_runs
from sfu_wrapper.wire.dry_runs import DryRunAnswer
from sfu_wrapper.wire.room_state import encode_room
from tests.helpers import rooms
from tests.helpers.http import World, pass_for, world

ADMIN = pass_for("root", "domain-admin")
ALWAYS = {"recordingType": "all", "recordingProfile": "always"}
NEVER = {"recordingType": "all", "recordingProfile": "skip"}
PATH = "/permissions/dry-run"


async def store_call(store: Store, name: str, *, ended_ms: int, domain: str = "example") -> None:
    """Store a call of alice's that began a minute before its end."""
    call = rooms.automatic()
    call.clock(60_000)
    call.end()
    place = {"uuid": RoomUuid(name), "id": RoomId(f"room-{name}"), "domain": DomainId(domain)}
    room = replace(call.room, **place, established_ms=ended_ms - 60_000, ended_ms=ended_ms)  # type: ignore[arg-type]
    stored = encode_room(room)
    row = RoomRow(
        uuid=room.uuid,
        id=room.id,
        domain=room.domain,
        owner=room.owner,
        life=room.life,
        settled=True,
        created_ms=ended_ms - 60_000,
        ended_ms=ended_ms,
        state=stored.head,
    )
    parts = tuple(PartRow(room.uuid, each, state) for each, state in stored.parts.items())
    await store.commit(Commit(row, parts=parts), 1)


async def calls(here: World) -> None:
    """Store two calls of today, one of ten days ago, one of another domain."""
    now_ms = SystemClock().now().wall_ms
    for name, ago_ms in (("one", 1_000), ("two", 2_000), ("old", 10 * 86_400_000)):
        await store_call(here.store, name, ended_ms=now_ms - ago_ms)
    await store_call(here.store, "other", ended_ms=now_ms - 3_000, domain="other")


async def test_calls_that_a_permission_would_have_recorded_are_listed() -> None:
    async with world() as here:
        await calls(here)
        answer = await here.ask("POST", PATH, ADMIN, {"user": "alice", "recording": ALWAYS})
        found = answer.json

    DryRunAnswer.model_validate_json(json.dumps(found))
    assert found["judged"] == 2
    assert [call["uuid"] for call in found["calls"]] == ["two", "one"]
    assert found["calls"][0]["now"]["reason"] == "NO_PERMISSION"
    assert found["calls"][0]["would"] == {
        "allowed": True,
        "automatic": True,
        "type": "all",
        "source": "user",
    }
    assert "next" not in found


async def test_days_and_the_own_domain_bound_it() -> None:
    async with world() as here:
        await calls(here)
        for days, judged in ((1, 2), (30, 3)):
            wish = {"recording": ALWAYS, "days": days}
            assert (await here.ask("POST", PATH, ADMIN, wish)).json["judged"] == judged
        nobody = {"user": "zoe", "recording": ALWAYS}
        assert (await here.ask("POST", PATH, ADMIN, nobody)).json == {"judged": 0, "calls": []}


async def test_it_agrees_with_what_the_permission_does_once_it_is_set() -> None:
    async with world() as here:
        await calls(here)
        wish = {"user": "alice", "recording": ALWAYS}
        tried = (await here.ask("POST", PATH, ADMIN, wish)).json["calls"][0]["would"]
        place = "/permissions/domain/example/user/alice"
        await here.ask("PUT", place, ADMIN, {"recording": ALWAYS})
        again = (await here.ask("POST", PATH, ADMIN, wish)).json
        removed = (await here.ask("POST", PATH, ADMIN, {"user": "alice", "recording": None})).json
        skipped = (await here.ask("POST", PATH, ADMIN, {"user": "alice", "recording": NEVER})).json

    assert again == {"judged": 2, "calls": []}
    assert removed["calls"][0]["now"] == tried
    assert [call["would"]["reason"] for call in skipped["calls"]] == ["PROFILE"] * 2


async def test_pages_go_on_where_the_last_one_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_runs, "READ", 1)
    seen: list[str] = []
    async with world() as here:
        await calls(here)
        wish: dict[str, object] = {"recording": ALWAYS}
        for _ in range(4):
            page = (await here.ask("POST", PATH, ADMIN, wish)).json
            seen += [call["uuid"] for call in page["calls"]]
            if "next" not in page:
                break
            wish["after"] = page["next"]

    assert seen == ["two", "one"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "recording"),
        ({"recording": {"recordingType": "all"}}, "recording.recordingProfile"),
        ({"recording": None, "days": 0}, "days"),
        ({"recording": None, "days": 366}, "days"),
        ({"recording": None, "user": "a b"}, "user"),
        ({"recording": None, "after": "nonsense"}, "after"),
        ({"recording": None, "more": 1}, "more"),
    ],
)
async def test_a_wrong_body_is_refused_with_the_path_of_the_field(
    body: dict[str, object], path: str
) -> None:
    async with world() as here:
        answer = await here.ask("POST", PATH, ADMIN, body)

    assert (answer.status, answer.json["details"]["path"]) == (400, path)


async def test_nothing_is_stored_by_it() -> None:
    async with world() as here:
        await calls(here)
        await here.ask("POST", PATH, ADMIN, {"user": "alice", "recording": ALWAYS})
        place = "/permissions/domain/example/user/alice"
        assert (await here.ask("GET", place, ADMIN)).status == 404


async def test_the_command_lists_the_calls_and_counts_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "store.db"
    with closing(SqliteStore(file)) as store:
        await store_call(store, "one", ended_ms=SystemClock().now().wall_ms)
    monkeypatch.setenv("SFU_WRAPPER__STORE__URL", f"sqlite:{file}")
    wish = ("user:alice", "--domain", "example", "--type", "all", "--profile", "always")
    command = ("permissions", "dry-run", *wish)

    assert await asyncio.to_thread(main, command) == 0
    shown = capsys.readouterr().out
    assert "room-one" in shown
    assert "1 of 1 calls of the last 7 days would be decided otherwise" in shown
    assert "with user:alice: recordingType all, recordingProfile always" in shown
    assert await asyncio.to_thread(main, (*command, "--json")) == 0
    call, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert call["would"]["automatic"] is True
    assert last == {"judged": 1, "changed": 1, "days": 7}
    assert await asyncio.to_thread(main, (*command, "--days", "0")) != 0
