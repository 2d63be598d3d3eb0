"""Permissions over HTTP: what is put is what is got, and what counts."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.core.access import Subject
from sfu_wrapper.core.policy import Source
from sfu_wrapper.gateway.settings import GatewaySettings
from sfu_wrapper.model.audit import AuditEntry
from sfu_wrapper.model.errors import Code, Refused, Unavailable
from sfu_wrapper.model.identity import (
    DomainId,
    Identity,
    OwnerPermissions,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    Role,
    UserId,
    UserKey,
)
from sfu_wrapper.service.rooms import permissions as service
from sfu_wrapper.service.rooms.permissions import Permissions
from tests.helpers.clocks import StandingClock
from tests.helpers.http import ALWAYS, SKIP, pass_for, world

ADMIN = pass_for("root", "domain-admin")
ALICE = pass_for("alice")

PERMISSIONS = st.builds(
    RecordingPermissions, st.sampled_from(RecordingType), st.sampled_from(RecordingProfile)
)


@pytest.mark.parametrize(
    ("path", "token"),
    [
        ("/permissions", ALICE),
        ("/permissions/domain/example", ADMIN),
        ("/permissions/domain/example/user/alice@example", ADMIN),
    ],
)
async def test_put_get_delete(path: str, token: str) -> None:
    async with world() as here:
        none = await here.ask("GET", path, token)
        created = await here.ask("PUT", path, token, SKIP)
        replaced = await here.ask("PUT", path, token, ALWAYS)
        got = await here.ask("GET", path, token)
        deleted = await here.ask("DELETE", path, token)
        gone = await here.ask("GET", path, token)
        twice = await here.ask("DELETE", path, token)

    assert [none.status, created.status, replaced.status] == [404, 201, 200]
    assert (got.status, got.json) == (200, ALWAYS)
    assert replaced.json == ALWAYS
    assert (deleted.status, deleted.body) == (204, b"")
    assert [gone.status, twice.status] == [404, 404]
    assert {none.code, gone.code, twice.code} == {"NOT_FOUND"}


async def test_a_permission_counts_at_the_very_next_start() -> None:
    async with world() as here:
        alice = here.peer("alice")
        await here.do(alice, "createRoom", id="m", kind="meeting")
        await here.do(alice, "joinRoom", room="m")
        before = await here.do(alice, "startRoomRecording", room="m")
        await here.ask("PUT", "/permissions", ALICE, ALWAYS)
        after = await here.do(alice, "startRoomRecording", room="m")

    assert before["error"]["code"] == "NOT_PERMITTED"
    assert after["status"] == "ok"


async def test_the_users_own_counts_before_the_domains_and_that_before_the_systems() -> None:
    async with world() as here:
        levels = [await here.ask("GET", "/permissions/effective", ALICE)]
        await here.ask("PUT", "/permissions/domain/example", ADMIN, ALWAYS)
        levels.append(await here.ask("GET", "/permissions/effective", ALICE))
        await here.ask("PUT", "/permissions/domain/example/user/alice", ADMIN, SKIP)
        levels.append(await here.ask("GET", "/permissions/effective?user=alice", ADMIN))

    assert [(each.json["source"], each.json["records"]) for each in levels] == [
        ("system", False),
        ("domain", True),
        ("user", False),
    ]
    assert levels[2].json | {"user": "", "domain": ""} == {
        "user": "",
        "domain": "",
        "source": "user",
        "records": False,
        **SKIP,
    }


async def test_where_users_may_not_write_they_may_still_read() -> None:
    async with world(user_may_write=False) as here:
        await here.ask("PUT", "/permissions/domain/example/user/alice", ADMIN, SKIP)
        put = await here.ask("PUT", "/permissions", ALICE, ALWAYS)
        delete = await here.ask("DELETE", "/permissions", ALICE)
        got = await here.ask("GET", "/permissions", ALICE)

    assert [put.code, delete.code] == ["FORBIDDEN", "FORBIDDEN"]
    assert got.json == SKIP


@pytest.mark.parametrize(
    "body",
    [
        {**ALWAYS, "domainId": "other"},
        {**ALWAYS, "userId": "bob"},
        {**ALWAYS, "role": "domain-admin", "isAdmin": True},
        {"recording": {**ALWAYS["recording"], "createdBy": "root"}},
        {"recording": {"recordingType": "all"}},
        {"recording": {"recordingProfile": "always"}},
        {"recording": {"recordingType": "all", "recordingProfile": None}},
        ALWAYS["recording"],
        [],
        None,
    ],
    ids=json.dumps,
)
async def test_a_body_that_says_more_or_less_changes_nothing(body: object) -> None:
    async with world() as here:
        answer = await here.ask("PUT", "/permissions", ALICE, json.dumps(body).encode())
        got = await here.ask("GET", "/permissions", ALICE)

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")
    assert got.status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"X-HTTP-Method-Override": "DELETE"},
        {"X-User": "bob", "X-Forwarded-User": "bob", "X-Domain": "other"},
    ],
)
async def test_headers_cannot_make_it_another_request(headers: dict[str, str]) -> None:
    async with world() as here:
        await here.ask("PUT", "/permissions", ALICE, ALWAYS)
        answer = await here.ask("GET", "/permissions", ALICE, headers=headers)
        got = await here.ask("GET", "/permissions", ALICE)

    assert (answer.status, answer.json) == (200, ALWAYS)
    assert got.status == 200


@pytest.mark.parametrize(
    "query", ["?user=bob", "?userId=bob", "?domain=other", "?%00=1", "?" + "x" * 300 + "=1"]
)
async def test_a_query_cannot_make_it_about_somebody_else(query: str) -> None:
    async with world() as here:
        answer = await here.ask("PUT", f"/permissions{query}", ALICE, ALWAYS)
        bobs = await here.ask("GET", "/permissions", pass_for("bob"))

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")
    assert bobs.status == 404


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("?user=alice&user=bob", "query.user"),
        ("?user=", "query.user"),
        ("?user=a%20b", "query.user"),
        ("?user=a+b", "query.user"),
        ("?user=..", "query.user"),
        ("?user=" + "x" * 129, "query.user"),
    ],
)
async def test_an_ambiguous_or_impossible_user_is_refused(query: str, path: str) -> None:
    async with world() as here:
        answer = await here.ask("GET", f"/permissions/effective{query}", ADMIN)

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")
    assert answer.json["details"]["path"] == path


@pytest.mark.parametrize(
    "domain",
    [
        "%2e%2e",
        "..",
        ".",
        "%65xample",
        "example%00",
        "example%2Fuser%2Fbob",
        "example%252Fuser",
        "ex%C3%A4mple",
        "example%20",
        "example;a=b",
        "x" * 129,
    ],
)
async def test_a_domain_is_written_in_one_way(domain: str) -> None:
    async with world() as here:
        await here.ask("PUT", "/permissions/domain/example", ADMIN, ALWAYS)
        answer = await here.ask("GET", f"/permissions/domain/{domain}", ADMIN)

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "path",
    [
        "/permissions/",
        "//permissions",
        "/permissions/domain/example/",
        "/permissions/domain//example",
        "/permissions/domain/Example",
        "/permissions/domain/example.",
        "/Permissions",
        "/permissions/domain/other/../example",
    ],
)
async def test_other_ways_to_write_an_address_are_other_addresses(path: str) -> None:
    async with world() as here:
        await here.ask("PUT", "/permissions/domain/example", ADMIN, ALWAYS)
        await here.ask("PUT", "/permissions", ADMIN, ALWAYS)
        answer = await here.ask("GET", path, ADMIN)

    assert answer.status == 404


async def test_ids_may_be_written_as_clients_escape_them() -> None:
    async with world() as here:
        path = "/permissions/domain/example/user/"
        await here.ask("PUT", path + "a%40x%3Ay%2Bz", ADMIN, ALWAYS)
        got = await here.ask("GET", path + "a@x:y+z", ADMIN)

    assert got.json == ALWAYS


async def test_of_two_changes_upon_one_reading_one_goes_through() -> None:
    async with world() as here:
        await here.ask("PUT", "/permissions", ALICE, SKIP)
        read = await here.ask("GET", "/permissions", ALICE)
        condition = {"If-Match": read.headers["etag"]}
        audio = {"recording": {"recordingType": "audio", "recordingProfile": "always"}}
        answers = await asyncio.gather(
            here.ask("PUT", "/permissions", ALICE, ALWAYS, condition),
            here.ask("PUT", "/permissions", ALICE, audio, condition),
        )
        late = await here.ask("DELETE", "/permissions", ALICE, headers=condition)

    assert sorted(answer.status for answer in answers) == [200, 412]
    assert (late.status, late.code) == (412, "BAD_REQUEST")


async def test_conditions() -> None:
    async with world() as here:
        missing = await here.ask("PUT", "/permissions", ALICE, ALWAYS, {"If-Match": "*"})
        first = await here.ask("PUT", "/permissions", ALICE, ALWAYS, {"If-None-Match": "*"})
        second = await here.ask("PUT", "/permissions", ALICE, SKIP, {"If-None-Match": "*"})
        tag = first.headers["etag"]
        same = await here.ask("GET", "/permissions", ALICE, headers={"If-None-Match": f"W/{tag}"})
        weak = await here.ask("PUT", "/permissions", ALICE, SKIP, {"If-Match": f"W/{tag}"})
        listed = await here.ask("PUT", "/permissions", ALICE, SKIP, {"If-Match": f'"x", {tag}'})
        changed = await here.ask("GET", "/permissions", ALICE, headers={"If-None-Match": tag})

    assert [missing.status, first.status, second.status] == [412, 201, 412]
    assert (same.status, same.body, same.headers["etag"]) == (304, b"", tag)
    assert [weak.status, listed.status, changed.status] == [412, 200, 200]


async def test_what_cannot_be_stored_is_said_and_not_shown() -> None:
    async with world() as here:
        await here.ask("PUT", "/permissions", ALICE, SKIP)
        here.store.failing = True
        put = await here.ask("PUT", "/permissions", ALICE, ALWAYS)
        delete = await here.ask("DELETE", "/permissions", ALICE)
        got = await here.ask("GET", "/permissions", ALICE)

    assert [(put.status, put.code), (delete.status, delete.code)] == [(503, "OVERLOADED")] * 2
    assert got.json == SKIP


async def test_a_store_that_hangs_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Hanging(MemoryStore):
        def set_permission(
            self,
            domain: DomainId,
            user: UserId | None,
            permission: RecordingPermissions | None,
            audit: Sequence[AuditEntry] = (),
        ) -> "asyncio.Future[None]":
            return asyncio.get_running_loop().create_future()

    monkeypatch.setattr(service, "WRITE_S", 0.05)
    async with world(store=Hanging()) as here:
        put = await here.ask("PUT", "/permissions", ALICE, ALWAYS)

    assert (put.status, put.code) == (503, "OVERLOADED")


async def test_who_asks_too_often_is_told_when_to_come_back() -> None:
    async with world(limits=GatewaySettings(requests_per_second=0.1, requests_burst=3)) as here:
        answers = [await here.ask("GET", "/permissions", ALICE) for _ in range(4)]
        bobs = await here.ask("GET", "/permissions", pass_for("bob"))

    assert [answer.status for answer in answers] == [404, 404, 404, 429]
    assert answers[3].code == "RATE_LIMITED"
    assert 0 < int(answers[3].headers["retry-after"]) <= 10
    assert bobs.status == 404


async def test_a_token_that_is_not_believed_looks_like_none() -> None:
    async with world() as here:
        answers = [
            await here.ask("PUT", "/permissions", token, ALWAYS)
            for token in (None, "nonsense", ALICE + "x", ALICE[:-1], "")
        ]
        scheme = await here.ask("GET", "/permissions", headers={"Authorization": f"Basic {ALICE}"})
        twice = await here.raw(
            b"GET /permissions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            + f"Authorization: Bearer {ALICE}\r\nAuthorization: Bearer {ALICE}\r\n\r\n".encode()
        )

    for answer in (*answers, scheme, twice):
        assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")
        assert answer.headers["www-authenticate"] == "Bearer"


@dataclass
class Model:
    """What should be stored."""

    user: dict[str, RecordingPermissions] = field(default_factory=dict)
    domain: RecordingPermissions | None = None


class PermissionRules(RuleBasedStateMachine):
    """Whatever is written in whatever order, reading gives it back, and the user's counts first."""

    users = st.sampled_from(["alice", "bob"])

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.permissions = Permissions(MemoryStore(), StandingClock(), system=RecordingType.VIDEO)
        self.model = Model()

    def teardown(self) -> None:
        self.loop.close()

    @rule(user=users, permission=PERMISSIONS)
    def a_user_sets_its_own(self, user: str, permission: RecordingPermissions) -> None:
        fresh = self.loop.run_until_complete(self.permissions.put(who(user), None, permission))

        assert fresh is (user not in self.model.user)
        self.model.user[user] = permission

    @rule(user=users, permission=PERMISSIONS)
    def an_admin_sets_a_users(self, user: str, permission: RecordingPermissions) -> None:
        admin, about = who("root", Role.DOMAIN_ADMIN), Subject(DomainId("d"), UserId(user))
        self.loop.run_until_complete(self.permissions.put(admin, about, permission))
        self.model.user[user] = permission

    @rule(permission=PERMISSIONS)
    def an_admin_sets_the_domains(self, permission: RecordingPermissions) -> None:
        admin = who("root", Role.DOMAIN_ADMIN)
        about = Subject(DomainId("d"))
        self.loop.run_until_complete(self.permissions.put(admin, about, permission))
        self.model.domain = permission

    @rule(user=users)
    def a_user_deletes_its_own(self, user: str) -> None:
        work = self.permissions.delete(who(user), None)
        if self.model.user.pop(user, None) is None:
            with pytest.raises(Refused):
                self.loop.run_until_complete(work)
        else:
            self.loop.run_until_complete(work)

    @rule(user=users, permission=PERMISSIONS, role=st.sampled_from([Role.USER, Role.SERVICE]))
    def somebody_without_the_right_tries(
        self, user: str, permission: RecordingPermissions, role: Role
    ) -> None:
        for about in (Subject(DomainId("d")), Subject(DomainId("d"), UserId("alice"))):
            with pytest.raises(Refused):
                self.loop.run_until_complete(
                    self.permissions.put(who(user, role), about, permission)
                )

    @invariant()
    def what_was_put_is_got_and_counts(self) -> None:
        for user in ("alice", "bob"):
            own = self.model.user.get(user)
            counts = self.permissions.effective(who(user), UserKey(DomainId("d"), UserId(user)))
            if own is None:
                with pytest.raises(Refused) as refused:
                    self.permissions.get(who(user), None)
                assert refused.value.code == Code.NOT_FOUND
            else:
                assert self.permissions.get(who(user), None) == own
            expected = own or self.model.domain
            if expected is None:
                assert (counts.source, counts.type) == (Source.SYSTEM, RecordingType.VIDEO)
            else:
                assert counts.source is (Source.USER if own else Source.DOMAIN)
                assert (counts.type, counts.profile) == (
                    expected.recording_type,
                    expected.recording_profile,
                )


def who(user: str, *roles: Role) -> Identity:
    """Somebody of the domain d."""
    return Identity(DomainId("d"), UserId(user), frozenset(roles or (Role.USER,)))


TestPermissionRules = PermissionRules.TestCase
TestPermissionRules.settings = settings(stateful_step_count=20)


async def test_a_refused_change_is_not_even_waited_for() -> None:
    class Unreadable(MemoryStore):
        def permissions(self, owner: UserKey) -> OwnerPermissions:
            raise Unavailable("the store is away")

    async with world(store=Unreadable()) as here:
        refused = await here.ask("PUT", "/permissions/domain/example", ALICE, ALWAYS)
        away = await here.ask("PUT", "/permissions/domain/example", ADMIN, ALWAYS)

    assert [refused.status, away.status] == [403, 503]
