"""Who asked for what: the audit entries that calls, requests and reads leave."""

import asyncio
import json
import logging

import pytest

from sfu_wrapper.adapters.memory.audit import MemoryAudit
from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.model.audit import AuditHead
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import (
    DomainId,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    UserId,
    UserKey,
)
from sfu_wrapper.ports.store import Commit, OutboxRow
from sfu_wrapper.service.recordings import audit as service
from sfu_wrapper.service.recordings.audit import (
    MAX_KINDS,
    NO_DOMAIN,
    SAME_READ_S,
    Audit,
    Kind,
    Refusals,
)
from tests.helpers.calls import call
from tests.helpers.clocks import StandingClock
from tests.helpers.http import ALWAYS, pass_for, world
from tests.helpers.live import DOMAIN, live
from tests.helpers.stores import ALICE
from tests.helpers.wait import until

ADMIN = pass_for("root", "domain-admin")
ALWAYS_AUDIO = RecordingPermissions(RecordingType.AUDIO, RecordingProfile.ALWAYS)
OURS = DomainId(DOMAIN)


def entries(store: MemoryStore, domain: str = DOMAIN) -> list[dict[str, object]]:
    return [json.loads(row.entry) for row in store.audit.entries(DomainId(domain), 0, 1_000)]


def summary(store: MemoryStore, domain: str = DOMAIN) -> list[tuple[object, ...]]:
    """Who, what, outcome of each entry."""
    names = ("actor", "action", "outcome")
    return [tuple(found[name] for name in names) for found in entries(store, domain)]


async def test_a_start_and_a_stop_by_hand_are_recorded_with_who_and_why() -> None:
    store = MemoryStore()
    async with live(store=store) as controller:
        there = await call(controller)
        await there.started()
        await there.stopped()

    start, stop = (
        found for found in entries(store) if str(found["action"]).startswith("recording.")
    )
    uuid, _, segment = str(start["object"]).partition("/")
    assert (start["actor"], start["actorDomain"], start["outcome"]) == ("alice", DOMAIN, "done")
    assert (start["action"], segment) == ("recording.start", "1")
    details = {"decidedBy": "user", "automatic": False, "why": "NOT_ASKED", "type": "all"}
    assert details.items() <= dict(start["details"]).items()  # type: ignore[call-overload]
    assert (stop["action"], stop["object"]) == ("recording.stop", f"{uuid}/1")
    assert dict(stop["details"])["reason"] == "requested"  # type: ignore[call-overload]


async def test_an_entry_has_the_decision_that_allowed_its_start() -> None:
    store = MemoryStore()
    async with live(store=store) as controller:
        there = await call(controller)
        await controller.permit("alice", None)
        await store.set_permission(OURS, None, ALWAYS_AUDIO)
        await there.started()
        await there.stopped()

    (start,) = (found for found in entries(store) if found["action"] == "recording.start")
    details = dict(start["details"])  # type: ignore[call-overload]
    assert (details["decidedBy"], details["type"]) == ("domain", "audio")


async def test_what_the_controller_does_by_itself_has_no_actor() -> None:
    store = MemoryStore()
    async with live(store=store) as controller:
        there = await call(controller, record=True)
        await there.owner.event("roomRecordingStarted")
        await there.service.ok("endRoom", {"room": there.room})
        await there.owner.event("roomRecordingStopped")

    assert (None, "recording.start", "done") in summary(store)
    assert (None, "recording.stop", "done") in summary(store)


async def test_refused_starts_are_recorded_once_and_then_counted() -> None:
    store = MemoryStore()
    async with live(store=store) as controller:
        there = await call(controller)
        for _ in range(5):
            assert await there.other.refused("startRoomRecording", {"room": there.room})

    refused = [found for found in entries(store) if found["outcome"] != "done"]
    assert [(found["actor"], found["action"], found["outcome"]) for found in refused] == [
        ("bob", "recording.start", "NOT_ROOM_OWNER")
    ] * 2
    assert [dict(found["details"]) for found in refused] == [{}, {"more": 4}]  # type: ignore[call-overload]


async def test_an_entry_and_its_toggle_are_stored_together_or_not_at_all() -> None:
    store = MemoryStore()
    async with live(store=store) as controller:
        there = await call(controller)
        store.failing = True
        assert await there.owner.refused("startRoomRecording", {"room": there.room})
        store.failing = False

        assert not [found for found in entries(store) if found["action"] == "recording.start"]


async def test_changes_of_permissions_are_recorded_with_what_they_changed() -> None:
    async with world() as here:
        await here.ask("PUT", "/permissions/domain/example/user/bob", ADMIN, ALWAYS)
        await here.ask("DELETE", "/permissions/domain/example/user/bob", ADMIN)
        found = entries(here.store)

    assert [(each["actor"], each["action"], each["object"]) for each in found] == [
        ("root", "permission.set", "user:bob"),
        ("root", "permission.delete", "user:bob"),
    ]
    assert [dict(each["details"]) for each in found] == [  # type: ignore[call-overload]
        {"after": "all always"},
        {"before": "all always"},
    ]


async def test_a_user_that_may_not_change_its_own_permission_is_audited() -> None:
    async with world(user_may_write=False) as here:
        assert (await here.ask("PUT", "/permissions", pass_for("bob"), ALWAYS)).status == 403
        assert (await here.ask("GET", "/permissions", pass_for("bob"))).status == 404
        found = entries(here.store)

    assert [(each["actor"], each["action"], each["outcome"]) for each in found] == [
        ("bob", "PUT /permissions", "FORBIDDEN")
    ]


async def test_settings_of_the_own_domain_that_are_not_set_are_no_refusals() -> None:
    async with world() as here:
        admin = pass_for("admin", "domain-admin")
        for path in ("/permissions/domain/example", "/retention/domain/example"):
            assert (await here.ask("GET", path, admin)).status == 404
        assert (await here.ask("GET", "/retention/domain/elsewhere", admin)).status != 200
        assert (await here.ask("DELETE", "/permissions/domain/example", admin)).status == 404
        found = entries(here.store)

    assert [each["action"] for each in found] == [
        "GET /retention/domain/{id}",
        "DELETE /permissions/domain/{id}",
    ]


async def test_refused_tokens_are_recorded_and_not_stored() -> None:
    async with world() as here:
        for bearer in (None, "secret-of-somebody", "secret-of-somebody"):
            await here.ask("GET", "/permissions", bearer)
        await here.rooms.audit.flush()
        found = entries(here.store, NO_DOMAIN)

    assert [(each["actor"], each["action"], each["object"]) for each in found] == [
        (None, "token.refuse", "GET /permissions")
    ] * 2
    assert dict(found[1]["details"]) == {"more": 2}  # type: ignore[call-overload]
    assert "secret-of-somebody" not in json.dumps(found)


async def test_a_request_about_another_domain_is_recorded_in_the_chain_of_its_sender() -> None:
    async with world() as here:
        stranger = pass_for("mallory", domain="elsewhere")
        await here.ask("DELETE", "/permissions/domain/example", stranger)

        assert entries(here.store) == []
        (found,) = entries(here.store, "elsewhere")
    assert (found["actor"], found["object"]) == ("mallory", "/permissions/domain/example")


def test_a_flood_of_refusals_leaves_a_bounded_number_of_entries() -> None:
    refusals = Refusals()
    kinds = [
        Kind(UserKey(OURS, UserId(f"user-{n}")), OURS, "GET /recordings", f"/{n}", "FORBIDDEN")
        for n in range(5_000)
    ]
    at_once = [noted for each in kinds if (noted := refusals.take(1, each)) is not None]
    counted = refusals.end_window(2)

    assert len(at_once) + len(counted) <= 2 * MAX_KINDS + 2
    more = sum(dict(noted.details)["more"] or 0 for noted in counted)  # type: ignore[misc]
    assert len(at_once) + more == 5_000, "none is lost"
    assert refusals.end_window(3) == ()


async def test_a_read_is_refused_if_its_entry_cannot_be_stored() -> None:
    store, clock = MemoryStore(), StandingClock()
    audit = Audit(store, clock)
    noted = audit.entry(ALICE, OURS, "file.read", "uuid-1/1", name="a.webm")
    store.failing = True
    with pytest.raises(Unavailable):
        await audit.note_read(noted, goes_on=True)
    store.failing = False
    await audit.note_read(noted, goes_on=True)

    assert len(entries(store)) == 1, "the failed one did not count as noted"


async def test_ranges_of_one_read_have_one_entry() -> None:
    store, clock = MemoryStore(), StandingClock()
    audit = Audit(store, clock)
    noted = audit.entry(ALICE, OURS, "file.read", "uuid-1/1", name="a.webm")
    await audit.note_read(noted, goes_on=False)
    await audit.note_read(noted, goes_on=True)
    assert len(entries(store)) == 1
    await audit.note_read(noted, "link-1", goes_on=True)
    assert len(entries(store)) == 2, "another reader"
    await audit.note_read(noted, goes_on=False)
    assert len(entries(store)) == 3, "read again from the beginning"
    clock.pass_s(SAME_READ_S)
    await audit.note_read(noted, goes_on=True)
    assert len(entries(store)) == 4, "much later"
    other = audit.entry(ALICE, OURS, "file.read", "uuid-1/1", name="b.webm")
    await audit.note_read(other, goes_on=True)
    assert len(entries(store)) == 5, "another file"


async def test_a_log_that_hangs_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Hanging(MemoryStore):
        def commit(self, commit: Commit, epoch: int) -> "asyncio.Future[tuple[OutboxRow, ...]]":
            return asyncio.get_running_loop().create_future()

    monkeypatch.setattr(service, "NOTE_S", 0.01)
    audit = Audit(Hanging(), StandingClock())
    with pytest.raises(Unavailable, match="cannot be written in time"):
        await audit.note(audit.entry(ALICE, OURS, "file.read", "uuid-1/1"))


async def test_refusals_that_cannot_be_stored_are_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore()
    audit = Audit(store, StandingClock())
    store.failing = True
    audit.refused(ALICE, OURS, "GET /recordings", "/recordings", "FORBIDDEN")
    audit.refused(ALICE, OURS, "GET /recordings", "/recordings", "FORBIDDEN")
    await audit.flush()

    assert [each.message for each in caplog.records] == ["audit.refusalsLost"] * 2


async def test_the_heads_of_all_chains_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    store = MemoryStore()
    audit = Audit(store, StandingClock())
    await audit.note(audit.entry(None, OURS, "recording.stop", "uuid-1/1"))
    task = asyncio.create_task(audit.run())
    await until(lambda: "audit.head" in caplog.messages)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    (logged,) = [each for each in caplog.records if each.message == "audit.head"]
    assert (logged.domain, logged.number) == (DOMAIN, 1)  # type: ignore[attr-defined]
    assert logged.hash == store.audit.head(OURS).hash  # type: ignore[attr-defined]


async def test_a_chain_is_read_over_http_by_pages_to_its_head() -> None:
    async with world() as here:
        for n in range(5):
            noted = here.rooms.audit.entry(None, DomainId("example"), "file.read", f"uuid-{n}/1")
            await here.rooms.audit.note(noted)
        first = (await here.ask("GET", "/audit?limit=3", ADMIN)).json
        second = (await here.ask("GET", f"/audit?limit=3&after={first['next']}", ADMIN)).json
        head = (await here.ask("GET", "/audit/head", ADMIN)).json

    both = [*first["entries"], *second["entries"]]
    assert ([each["number"] for each in both], second["next"]) == ([1, 2, 3, 4, 5], None)
    assert (head["number"], head["hash"], head["signed"]) == (5, both[-1]["hash"], None)
    assert both[1]["previous"] == both[0]["hash"]


async def test_a_cut_store_cannot_stop_the_controller_by_its_heads(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Unreadable(MemoryAudit):
        def heads(self) -> tuple[AuditHead, ...]:
            raise Unavailable("the disk is gone")

    store = MemoryStore()
    store.audit = Unreadable()
    Audit(store, StandingClock()).log_heads()

    assert caplog.messages == ["audit.headsUnreadable"]
