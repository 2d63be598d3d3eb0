"""The list of recordings over HTTP: who sees what, filters and pages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from sfu_wrapper.core.retention import RetentionRules
from sfu_wrapper.model.recording import Hold, RecordingState
from sfu_wrapper.wire.recording_models import (
    AttendedRecording,
    IndexedRecording,
    RecordingsPage,
    UsagePage,
)
from sfu_wrapper.wire.strict_json import iso
from tests.helpers.http import Json, World, pass_for, world
from tests.helpers.recordings import (
    LENGTH_MS,
    START_MS,
    facts,
    failure,
    finished,
    put,
    result,
    user,
)

ADMIN = pass_for("root", "domain-admin")
SERVICE = pass_for("rooms", "service")
MERGED = {"rec-1.webm": b"webm", "rec-1.jpg": b"jpg"}


@asynccontextmanager
async def peopled(rules: RetentionRules | None = None) -> AsyncIterator[World]:
    """Recordings of alice (with bob), of carol (with alice) and of zoe of another domain."""
    async with world(recordings={"rules": rules}) as here:
        mine, failed = facts("a"), facts("a", 2, started_ms=START_MS + 1000, room="other-room")
        attended = facts("c", owner="carol", guests=(user("alice"),), started_ms=START_MS + 2000)
        foreign = facts("z", owner="zoe", domain="other", guests=(user("alice"),))
        await put(
            here.store,
            finished(mine, result(mine, MERGED)),
            finished(failed, failure(failed)),
            finished(attended, result(attended, MERGED)),
            replace(finished(foreign, result(foreign, MERGED)), facts=foreign),
        )
        yield here


def names(page: Json) -> list[str]:
    """Return the addresses on a page."""
    return [each["recording"] for each in page["recordings"]]


@pytest.mark.parametrize(
    ("token", "seen"),
    [
        (pass_for("alice"), ["a/2", "a/1"]),
        (pass_for("bob"), []),
        (pass_for("carol"), ["c/1"]),
        (ADMIN, ["c/1", "a/2", "a/1"]),
        (SERVICE, ["c/1", "a/2", "z/1", "a/1"]),
        (pass_for("alice", domain="other"), []),
        (pass_for("zoe", "domain-admin", domain="other"), ["z/1"]),
    ],
)
async def test_each_sees_its_own_and_operators_more(token: str, seen: list[str]) -> None:
    async with peopled() as here:
        answer = await here.ask("GET", "/recordings", token)

    assert answer.status == 200
    assert names(answer.json) == seen
    RecordingsPage.model_validate_json(answer.body, strict=False)


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("room=other-room", ["a/2"]),
        ("uuid=a", ["a/2", "a/1"]),
        ("owner=carol", ["c/1"]),
        ("participant=bob", ["a/2", "a/1"]),
        ("participant=example/alice", ["c/1", "a/2", "a/1"]),
        ("state=failed", ["a/2"]),
        ("state=ready&owner=alice", ["a/1"]),
        (f"from={iso(START_MS + 1000)}", ["c/1", "a/2"]),
        (f"to={iso(START_MS + 1000)}", ["a/1"]),
        ("domain=other", []),
        ("room=none", []),
    ],
)
async def test_filters_narrow_what_an_administrator_sees(query: str, seen: list[str]) -> None:
    async with peopled() as here:
        answer = await here.ask("GET", f"/recordings?{query}", ADMIN)

    assert names(answer.json) == seen


async def test_a_filter_by_another_owner_shows_a_user_nothing() -> None:
    async with peopled() as here:
        answer = await here.ask("GET", "/recordings?owner=carol", pass_for("alice"))
        elsewhere = await here.ask("GET", "/recordings?owner=alice&domain=other", pass_for("alice"))
        service = await here.ask("GET", "/recordings?owner=zoe&domain=other", SERVICE)

    assert names(answer.json) == names(elsewhere.json) == []
    assert names(service.json) == ["z/1"]


async def test_a_recorded_person_sees_who_recorded_and_until_when_and_no_files() -> None:
    async with peopled(RetentionRules(days=1)) as here:
        answer = await here.ask("GET", "/recordings?participant=me", pass_for("alice"))
        direct = await here.ask("GET", "/recordings/c/1", pass_for("alice"))

    assert sorted(names(answer.json)) == ["a/1", "a/2", "c/1", "z/1"]
    by_name = {each["recording"]: each for each in answer.json["recordings"]}
    theirs = by_name["c/1"]
    AttendedRecording.model_validate(theirs, strict=False)
    assert theirs["owner"] == "carol"
    assert theirs["seconds"] == LENGTH_MS / 2 / 1000
    assert theirs["decision"] == {
        "allowed": True, "automatic": True, "type": "all", "source": "user"
    }  # fmt: skip
    assert theirs["expiresAt"] == iso(START_MS + 2000 + 2 * LENGTH_MS + 86_400_000)
    assert not {"files", "participants", "error", "hold"} & theirs.keys()
    assert [each["name"] for each in by_name["a/1"]["files"]] == ["rec-1.webm", "rec-1.jpg"]
    assert direct.status == 404


async def test_pages_follow_each_other_and_hold_everything_once() -> None:
    async with world() as here:
        many = [facts("m", n, started_ms=START_MS + n // 3) for n in range(1, 12)]
        await put(here.store, *(finished(each, result(each, {})) for each in many))
        seen: list[str] = []
        after = ""
        for _ in range(10):
            answer = await here.ask("GET", f"/recordings?limit=4{after}", pass_for("alice"))
            seen += names(answer.json)
            if "next" not in answer.json:
                break
            after = f"&after={answer.json['next']}"

    assert sorted(seen) == sorted(f"m/{n}" for n in range(1, 12))
    assert len(seen) == 11


@pytest.mark.parametrize(
    "query",
    ["limit=501", "limit=0", "after=x", "state=lost", "from=yesterday", "segment=1", "uuid=..",
     "participant=a/b/c"],
)  # fmt: skip
async def test_a_wrong_parameter_is_refused(query: str) -> None:
    async with world() as here:
        answer = await here.ask("GET", f"/recordings?{query}", pass_for("alice"))

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")


async def test_one_recording_says_all_that_is_known() -> None:
    async with world() as here:
        about = facts(guests=(user("bob"), user("zoe", "other")))
        made = finished(about, result(about, MERGED, warnings=("sound is short",)))
        await put(here.store, replace(made, hold=Hold(user("root"), "a dispute", START_MS)))
        answer = await here.ask("GET", "/recordings/uuid-1/1", pass_for("alice"))

    IndexedRecording.model_validate_json(answer.body, strict=False)
    shown = answer.json
    assert shown["state"] == "ready"
    assert shown["duration"] == 60
    assert shown["warnings"] == ["sound is short"]
    assert shown["hold"] == {"by": "root", "reason": "a dispute", "since": iso(START_MS)}
    assert [each["user"] for each in shown["participants"]] == ["alice", "bob", "other/zoe"]
    assert shown["files"][0] | {"sha256": ""} == {
        "name": "rec-1.webm", "output": "default", "kind": "merged", "bytes": 4, "sha256": "",
        "encrypted": False,
    }  # fmt: skip
    assert "expiresAt" not in shown


async def test_a_failed_one_says_why_and_a_running_one_has_no_end() -> None:
    async with world() as here:
        failed = facts("f")
        running = facts("r", stopped_ms=None, duration_ms=None, reason=None, by=None)
        made = replace(finished(running, failure(running)), outcome=None, outcome_ms=None)
        await put(
            here.store,
            finished(failed, failure(failed)),
            replace(made, state=RecordingState.RECORDING),
        )
        first = await here.ask("GET", "/recordings/f/1", pass_for("alice"))
        second = await here.ask("GET", "/recordings/r/1", pass_for("alice"))

    for answer in (first, second):
        IndexedRecording.model_validate_json(answer.body, strict=False)
    assert first.json["error"]["code"] == "UNREADABLE_MJR"
    assert second.json["state"] == "recording"
    assert second.json["by"] == "system"
    assert not {"stoppedAt", "duration", "reason"} & second.json.keys()


async def test_usage_adds_up_by_owner_for_operators_alone() -> None:
    async with peopled() as here:
        domain = await here.ask("GET", "/usage", ADMIN)
        everywhere = await here.ask("GET", "/usage?limit=2", SERVICE)
        more = await here.ask("GET", f"/usage?limit=2&after={everywhere.json['next']}", SERVICE)
        later = await here.ask("GET", f"/usage?from={iso(START_MS + 1000)}", ADMIN)
        refused = await here.ask("GET", "/usage", pass_for("alice"))

    UsagePage.model_validate_json(domain.body, strict=False)
    assert domain.json["usage"] == [
        {"domain": "example", "owner": "alice", "recordings": 2, "seconds": 120, "bytes": 7},
        {"domain": "example", "owner": "carol", "recordings": 1, "seconds": 60, "bytes": 7},
    ]
    assert [each["owner"] for each in everywhere.json["usage"]] == ["alice", "carol"]
    assert [each["owner"] for each in more.json["usage"]] == ["zoe"]
    assert [each["recordings"] for each in later.json["usage"]] == [1, 1]
    assert (refused.status, refused.code) == (403, "FORBIDDEN")
