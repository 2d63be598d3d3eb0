"""Holds, deletions, erasures and a domain's retention over HTTP, as their users see them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sfu_wrapper.core.retention import RetentionRules
from sfu_wrapper.model.recording import Deletion, DeletionReason, RecordingState
from sfu_wrapper.ports.recordings import PutRecording
from sfu_wrapper.ports.store import Commit
from tests.helpers.http import World, pass_for, world
from tests.helpers.recordings import facts, finished, put, put_ready, result, user

ADMIN = pass_for("adam", "domain-admin")
ALICE = pass_for("alice", "user")
RECORDING = "/recordings/uuid-1/1"


@asynccontextmanager
async def peopled(folder: Path, **settings: Any) -> AsyncIterator[World]:  # noqa: ANN401 of ``recording_parts``
    """Alice's recording with bob, bob's own, and one of zoe of another domain."""
    async with world(folder=folder, recordings=settings) as here:
        await put_ready(here.store, folder, {"a.webm": b"webm"})
        others = (facts("uuid-2", owner="bob", guests=()), facts("uuid-3", domain="other"))
        for about in others:
            await put(here.store, finished(about, result(about, {})))
        yield here


async def test_a_hold_is_shown_and_keeps_the_recording(tmp_path: Path) -> None:
    async with peopled(tmp_path) as here:
        answer = await here.ask("PUT", f"{RECORDING}/hold", ADMIN, {"reason": "case 7"})
        assert answer.status == 200
        assert (answer.json["by"], answer.json["reason"]) == ("adam", "case 7")
        shown = (await here.ask("GET", RECORDING, ALICE)).json
        assert shown["hold"] == answer.json

        refused = await here.ask("DELETE", RECORDING, ADMIN)
        assert (refused.status, refused.code) == (409, "RECORDING_HELD")
        assert (await here.ask("DELETE", f"{RECORDING}/hold", ADMIN)).status == 204
        assert (await here.ask("DELETE", f"{RECORDING}/hold", ADMIN)).code == "NOT_FOUND"
        assert (await here.ask("DELETE", RECORDING, ADMIN)).status == 202


async def test_a_deleted_recording_has_no_files_from_the_request_on(tmp_path: Path) -> None:
    async with peopled(tmp_path) as here:
        assert (await here.ask("GET", f"{RECORDING}/files/a.webm", ALICE)).status == 200
        answer = await here.ask("DELETE", RECORDING, ADMIN)
        assert (answer.status, answer.json["state"]) == (202, "ready")
        assert (answer.json["deletion"]["by"], answer.json["deletion"]["reason"]) == (
            "adam",
            "requested",
        )
        again = await here.ask("DELETE", RECORDING, ADMIN)
        assert (again.status, again.json) == (202, answer.json)
        shown = (await here.ask("GET", RECORDING, ALICE)).json
        assert (shown["state"], shown["deletion"]) == ("ready", answer.json["deletion"])

        assert (await here.ask("GET", f"{RECORDING}/files/a.webm", ALICE)).status == 404
        late = await here.ask("PUT", f"{RECORDING}/hold", ADMIN, {"reason": "case 7"})
        assert (late.status, late.code) == (409, "RECORDING_DELETED")


async def test_a_recording_whose_files_are_gone_is_204(tmp_path: Path) -> None:
    async with peopled(tmp_path) as here:
        found = here.store.index.recording(facts().key)
        assert found is not None
        gone = Deletion(DeletionReason.REQUESTED, 1, user("adam"), 2)
        change = PutRecording(replace(found, state=RecordingState.DELETED, deletion=gone))
        await here.store.commit(Commit(recordings=(change,)), 1)

        answer = await here.ask("DELETE", RECORDING, ADMIN)
        assert (answer.status, answer.body) == (204, b"")
        assert (await here.ask("GET", RECORDING, ALICE)).json["state"] == "deleted"


@pytest.mark.parametrize(("allowed", "status"), [(False, 403), (True, 202)])
async def test_an_owner_deletes_where_the_configuration_allows_it(
    tmp_path: Path, allowed: bool, status: int
) -> None:
    async with peopled(tmp_path, owner_may_delete=allowed) as here:
        assert (await here.ask("DELETE", RECORDING, ALICE)).status == status
        assert (await here.ask("DELETE", RECORDING, pass_for("bob", "user"))).status == 404


async def test_a_person_is_erased_in_two_steps(tmp_path: Path) -> None:
    async with peopled(tmp_path) as here:
        preview = await here.ask("POST", "/erasures", ADMIN, {"user": "bob"})
        assert (preview.status, preview.json) == (
            200,
            {
                "user": "bob",
                "confirmed": False,
                "count": 2,
                "recordings": [
                    {"recording": "uuid-2/1", "owned": True},
                    {"recording": "uuid-1/1", "owned": False},
                ],
                "held": [],
                "running": [],
            },
        )
        wrong = await here.ask(
            "POST", "/erasures", ADMIN, {"user": "bob", "confirm": True, "count": 1}
        )
        assert (wrong.status, wrong.code) == (409, "COUNT_CHANGED")
        assert wrong.json["details"] == {"count": 2}
        blind = await here.ask("POST", "/erasures", ADMIN, {"user": "bob", "confirm": True})
        assert (blind.status, blind.code) == (409, "COUNT_CHANGED")

        await here.ask("PUT", f"{RECORDING}/hold", ADMIN, {"reason": "case 7"})
        done = await here.ask(
            "POST", "/erasures", ADMIN, {"user": "bob", "confirm": True, "count": 1}
        )
        assert (done.status, done.json["confirmed"]) == (202, True)
        assert done.json["recordings"] == [{"recording": "uuid-2/1", "owned": True}]
        assert done.json["held"] == ["uuid-1/1"]
        assert (await here.ask("POST", "/erasures", ADMIN, {"user": "bob"})).json["count"] == 0


async def test_a_domain_sets_its_retention_and_sees_when_recordings_expire(
    tmp_path: Path,
) -> None:
    async with peopled(tmp_path, rules=RetentionRules(days=365)) as here:
        path = "/retention/domain/example"
        before = (await here.ask("GET", RECORDING, ALICE)).json["expiresAt"]
        assert (await here.ask("GET", path, ADMIN)).status == 404
        assert (await here.ask("PUT", path, ADMIN, {"days": 90})).status == 201
        assert (await here.ask("PUT", path, ADMIN, {"days": 30})).status == 200
        assert (await here.ask("GET", path, ADMIN)).json == {"days": 30}
        assert (await here.ask("GET", RECORDING, ALICE)).json["expiresAt"] < before

        longer = await here.ask("PUT", path, ADMIN, {"days": 366})
        assert (longer.status, longer.json["details"]) == (400, {"path": "days", "limit": 365})
        assert (await here.ask("DELETE", path, ADMIN)).status == 204
        assert (await here.ask("GET", RECORDING, ALICE)).json["expiresAt"] == before


async def test_a_whole_number_may_have_a_decimal_point(tmp_path: Path) -> None:
    async with peopled(tmp_path) as here:
        confirmed = {"user": "bob", "confirm": True, "count": 2.0}
        assert (await here.ask("POST", "/erasures", ADMIN, confirmed)).status == 202
        kept = await here.ask("PUT", "/retention/domain/example", ADMIN, {"days": 90.0})
        assert (kept.status, kept.body) == (201, b'{"days":90}')
        half = await here.ask("PUT", "/retention/domain/example", ADMIN, {"days": 90.5})
        assert (half.status, half.json["details"]) == (400, {"path": "days"})


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PUT", f"{RECORDING}/hold", {}, "reason"),
        ("PUT", f"{RECORDING}/hold", {"reason": ""}, "reason"),
        ("PUT", f"{RECORDING}/hold", {"reason": "x" * 1_001}, "reason"),
        ("PUT", f"{RECORDING}/hold", {"reason": "x", "until": "then"}, "until"),
        ("PUT", "/retention/domain/example", {"days": 0}, "days"),
        ("PUT", "/retention/domain/example", {"days": "90"}, "days"),
        ("POST", "/erasures", {}, "user"),
        ("POST", "/erasures", {"user": "a/b/c"}, "user"),
        ("POST", "/erasures", {"user": "bob", "count": -1}, "count"),
    ],
)
async def test_a_wrong_body_is_refused_with_its_field(
    tmp_path: Path, method: str, path: str, body: dict[str, object], field: str
) -> None:
    async with peopled(tmp_path) as here:
        answer = await here.ask(method, path, ADMIN, body)

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")
    assert answer.json["details"].get("path", "") == field
