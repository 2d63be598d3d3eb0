"""Every role, every operation over HTTP, on what is its own, its domain's and another domain's."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.model.identity import (
    DomainId,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    Role,
    UserId,
    UserKey,
)
from sfu_wrapper.model.recording import Hold
from sfu_wrapper.model.webhook import Endpoint
from sfu_wrapper.ports.recordings import DomainRetention
from sfu_wrapper.ports.store import Commit
from sfu_wrapper.ports.webhooks import DropEndpoint, Kept, PutEndpoint, SendTest
from tests.helpers.http import ALWAYS, World, pass_for, world
from tests.helpers.recordings import facts, finished, put, put_ready, result, user, write_files

PERMISSION = RecordingPermissions(RecordingType.AUDIO, RecordingProfile.OPTIONAL)
SUBJECTS = (
    ("example", "alice"), ("example", "bob"), ("example", None), ("other", "zoe"), ("other", None),
)  # fmt: skip
WEBHOOKS = (("ours", DomainId("example")), ("theirs", DomainId("other")), ("configured", None))
ROLES = ("user", "domain-admin", "service", "gateway", "nobody", "stranger")

# What alice of the domain example is answered, by her role (or with none, or with a bad token).
# Columns: user, domain-admin, service, gateway, a token without a role we know, no token.
MATRIX = """
GET    /permissions                                  200 200 200 200 200 401
PUT    /permissions                                  200 200 403 403 403 401
DELETE /permissions                                  204 204 403 403 403 401

GET    /permissions/domain/example                   403 200 200 403 403 401
PUT    /permissions/domain/example                   403 200 403 403 403 401
DELETE /permissions/domain/example                   403 204 403 403 403 401
GET    /permissions/domain/other                     403 404 200 403 403 401
PUT    /permissions/domain/other                     403 404 403 403 403 401
DELETE /permissions/domain/other                     403 404 403 403 403 401

GET    /permissions/domain/example/user/alice        403 200 200 403 403 401
PUT    /permissions/domain/example/user/alice        403 200 403 403 403 401
DELETE /permissions/domain/example/user/alice        403 204 403 403 403 401
GET    /permissions/domain/example/user/bob          403 200 200 403 403 401
PUT    /permissions/domain/example/user/bob          403 200 403 403 403 401
DELETE /permissions/domain/example/user/bob          403 204 403 403 403 401
GET    /permissions/domain/other/user/zoe            403 404 200 403 403 401
PUT    /permissions/domain/other/user/zoe            403 404 403 403 403 401
DELETE /permissions/domain/other/user/zoe            403 404 403 403 403 401

GET    /permissions/effective                        200 200 200 200 200 401
POST   /permissions/dry-run                          403 200 403 403 403 401
GET    /permissions/effective?user=alice             200 200 200 200 200 401
GET    /permissions/effective?user=bob               403 200 200 403 403 401
GET    /permissions/effective?user=zoe&domain=other  403 404 200 403 403 401

GET    /rooms                                        200 200 200 200 200 401
GET    /rooms/owned                                  200 200 200 200 200 401
GET    /rooms/joined                                 200 200 200 200 200 401
GET    /rooms/left                                   404 200 200 404 404 401
GET    /rooms/bobs                                   404 200 200 404 404 401
GET    /rooms/zoes                                   404 404 404 404 404 401
GET    /rooms/zoes?domain=other                      404 404 200 404 404 401
GET    /rooms/owned?domain=other                     404 404 404 404 404 401
GET    /rooms/owned/decision                         200 200 200 200 200 401
GET    /rooms/joined/decision                        200 200 200 200 200 401
GET    /rooms/bobs/decision                          404 200 200 404 404 401
GET    /rooms/zoes/decision                          404 404 404 404 404 401
GET    /rooms/zoes/decision?domain=other             404 404 200 404 404 401

GET    /audit                                        403 200 200 403 403 401
GET    /audit?domain=other                           403 404 200 403 403 401
GET    /audit?domain=*                               403 404 200 403 403 401
GET    /audit/head                                   403 200 200 403 403 401
GET    /audit/head?domain=other                      403 404 200 403 403 401
GET    /recordings                                   200 200 200 200 200 401
GET    /recordings/missed                            403 200 200 403 403 401
GET    /recordings/owned/1                           200 200 200 200 200 401
GET    /recordings/joined/1                          404 200 200 404 404 401
GET    /recordings/zoes/1                            404 404 200 404 404 401
GET    /recordings/none/1                            404 404 404 404 404 401
GET    /recordings/owned/1/files/a.webm              200 200 200 200 200 401
GET    /recordings/owned/1/files/none                404 404 404 404 404 401
GET    /recordings/joined/1/files/a.webm             404 200 200 404 404 401
GET    /recordings/zoes/1/files/a.webm               404 404 200 404 404 401
GET    /recordings/owned/1/vcon                      200 200 200 200 200 401
GET    /recordings/joined/1/vcon                     404 200 200 404 404 401
GET    /recordings/zoes/1/vcon                       404 404 200 404 404 401
GET    /recordings/none/1/vcon                       404 404 404 404 404 401
POST   /recordings/owned/1/links                     200 200 200 200 200 401
POST   /recordings/joined/1/links                    404 200 200 404 404 401
POST   /recordings/zoes/1/links                      404 404 200 404 404 401
GET    /links/owned/1/a.webm?expires=1&key=00000000&signature=NONE 403 403 403 403 403 403
GET    /recordings/owned/1/log                       200 200 200 200 200 401
GET    /recordings/joined/1/log                      404 200 200 404 404 401
GET    /recordings/zoes/1/log                        404 404 200 404 404 401
POST   /recordings/owned/1/retry                     403 409 409 403 403 401
POST   /recordings/zoes/1/retry                      403 404 409 403 403 401
PUT    /recordings/owned/1/hold                      403 200 403 403 403 401
PUT    /recordings/joined/1/hold                     404 200 403 404 404 401
PUT    /recordings/zoes/1/hold                       404 404 403 404 404 401
PUT    /recordings/none/1/hold                       404 404 404 404 404 401
DELETE /recordings/held/1/hold                       403 204 403 403 403 401
DELETE /recordings/owned/1/hold                      403 404 403 403 403 401
DELETE /recordings/zoes/1/hold                       404 404 403 404 404 401
DELETE /recordings/owned/1                           403 202 403 403 403 401
DELETE /recordings/held/1                            403 409 403 403 403 401
DELETE /recordings/joined/1                          404 202 403 404 404 401
DELETE /recordings/zoes/1                            404 404 403 404 404 401
DELETE /recordings/none/1                            404 404 404 404 404 401
POST   /erasures                                     403 200 403 403 403 401
GET    /retention/domain/example                     403 200 200 403 403 401
PUT    /retention/domain/example                     403 200 403 403 403 401
DELETE /retention/domain/example                     403 204 403 403 403 401
GET    /retention/domain/other                       403 404 200 403 403 401
PUT    /retention/domain/other                       403 404 403 403 403 401
DELETE /retention/domain/other                       403 404 403 403 403 401
GET    /usage                                        403 200 200 403 403 401

GET    /webhooks                                     403 200 200 403 403 401
GET    /webhooks?domain=other                        403 404 200 403 403 401
POST   /webhooks                                     403 201 403 403 403 401
GET    /webhooks/ours/deliveries                     403 200 200 403 403 401
GET    /webhooks/theirs/deliveries                   403 404 200 403 403 401
GET    /webhooks/configured/deliveries               403 404 404 403 403 401
POST   /webhooks/ours/test                           403 200 403 403 403 401
POST   /webhooks/theirs/test                         403 404 403 403 403 401
POST   /webhooks/ours/deliveries/msg_ours/retry      403 200 403 403 403 401
POST   /webhooks/theirs/deliveries/msg_theirs/retry  403 404 403 403 403 401
POST   /webhooks/ours/deliveries/msg_theirs/retry    403 404 403 403 403 401
DELETE /webhooks/ours                                403 204 403 403 403 401
DELETE /webhooks/theirs                              403 404 403 403 403 401
DELETE /webhooks/configured                          403 404 403 403 403 401

GET    /health/live                                  200 200 200 200 200 200
GET    /health/ready                                 200 200 200 200 200 200
GET    /metrics                                      200 200 200 200 200 200
"""
ROWS = [line.replace("NONE", 43 * "A").split() for line in MATRIX.splitlines() if line]
LINK = {"name": "a.webm", "seconds": 60}
BODIES = {"/webhooks": {"url": "https://a.example/hook"}}  # of POST, where another is needed
CASES = [
    pytest.param(method, path, [int(status) for status in statuses], id=f"{method} {path}")
    for method, path, *statuses in ROWS
]


def body_of(method: str, path: str) -> object:
    """Return a valid body of a request that has one."""
    bodies = {
        "PUT /permissions": ALWAYS,
        "PUT /recordings": {"reason": "case 7"},
        "PUT /retention": {"days": 30},
        "POST /erasures": {"user": "bob"},
        "POST /permissions": {"recording": None},
    }
    others = BODIES.get(path, LINK) if method == "POST" else None
    return bodies.get(f"{method} /{path.split('/')[1]}", others)


def changes(method: str, path: str, status: int) -> bool:
    """Return True if such an answer means that a permission or a webhook has changed."""
    written = method != "GET" and status < 300 and path != "/permissions/dry-run"
    return written and path.startswith(("/permissions", "/webhooks"))


def token_of(role: str) -> str | None:
    """Alice's, with one role."""
    return None if role == "stranger" else pass_for("alice", role)


@asynccontextmanager
async def peopled(folder: Path | None = None) -> AsyncIterator[World]:
    """Everybody has a permission and a room; alice is in one of bob's, and has left another.

    Recordings: alice's own, one of bob's with her, and zoe's. folder: where their files are.
    """
    async with world(folder=folder or Path("/nonexistent")) as here:
        await store_all(here)
        contents = {"a.webm": b"webm"}
        about = facts("held")
        held = finished(about, result(about, contents))
        await put(here.store, replace(held, hold=Hold(user("adam"), "case 7", 0)))
        days = (DomainRetention(DomainId("example"), 90), DomainRetention(DomainId("other"), 90))
        await here.store.commit(Commit(retention=days), 1)
        for about in (
            facts("owned"),
            facts("joined", owner="bob", guests=(user("alice"),)),
            facts("zoes", owner="zoe", domain="other"),
        ):
            if folder is not None:
                await put_ready(here.store, folder, contents, about)
                write_files(folder / "logs", {f"{about.key.uuid}-1.log": b"a line"})
            else:
                await put(here.store, finished(about, result(about, contents)))
        alice, bob = here.peer("alice"), here.peer("bob")
        zoe = here.peer("zoe", domain="other")
        for owner, room in ((alice, "owned"), (bob, "joined"), (bob, "left"), (bob, "bobs")):
            await here.do(owner, "createRoom", id=room, kind="meeting")
            await here.do(owner, "joinRoom", room=room)
        await here.do(zoe, "createRoom", id="zoes", kind="meeting")
        await here.do(alice, "joinRoom", room="joined")
        await here.do(alice, "joinRoom", room="left")
        await here.do(alice, "leaveRoom", room="left")
        yield here


async def store_all(here: World) -> None:
    """One permission for each subject, whatever there was."""
    for domain, each in SUBJECTS:
        name = UserId(each) if each else None
        await here.store.set_permission(DomainId(domain), name, PERMISSION)
    for known in here.store.webhooks.endpoints():
        await here.store.commit(Commit(webhooks=(DropEndpoint(known.id),)), 1)
    await here.store.webhooks.forget(1, Kept(0, 0), 1_000)
    for id_, owner in WEBHOOKS:
        endpoint = Endpoint(id_, owner, "https://a.example/", ("whsec_",), (), 1)
        test = SendTest(id_, f"msg_{id_}", DomainId("example"), 1, b"{}")
        await here.store.commit(Commit(webhooks=(PutEndpoint(endpoint), test)), 1)


def stored(here: World) -> list[object]:
    """All that is stored about who may record."""
    return [
        here.store.permissions(UserKey(DomainId(domain), UserId(each or "nobody")))
        for domain, each in SUBJECTS
    ] + [here.store.webhooks.endpoints(), *map(deliveries_of(here), ("ours", "theirs"))]


def deliveries_of(here: World) -> Callable[[str], object]:
    """Return a reader of the deliveries of a webhook."""
    return lambda id_: here.store.webhooks.deliveries(id_)


def is_of(path: str, route: str) -> bool:
    """Return True if a path is one of a route, as ``/rooms/owned`` is of ``/rooms/{id}``."""
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), path.partition("?")[0]) is not None


async def test_every_route_has_a_row_and_every_row_a_route() -> None:
    async with world() as here:
        described = (await here.ask("GET", "/openapi.json")).json["paths"]
    routes = {(method.upper(), path) for path, methods in described.items() for method in methods}
    rows = {(method, path) for method, path, *_ in ROWS}

    assert len(routes) > 10
    for one, route in routes:
        assert any(one == other and is_of(path, route) for other, path in rows), (one, route)
    for one, path in rows:
        assert any(one == other and is_of(path, route) for other, route in routes), (one, path)


@pytest.mark.parametrize(("method", "path", "statuses"), CASES)
async def test_every_role_gets_what_the_matrix_says(
    method: str, path: str, statuses: list[int], tmp_path: Path
) -> None:
    body = body_of(method, path)
    async with peopled(tmp_path) as here:
        for role, status in zip(ROLES, statuses, strict=True):
            before = stored(here)
            answer = await here.ask(method, path, token_of(role), body)

            assert answer.status == status, role
            assert (stored(here) != before) is changes(method, path, status), role
            await store_all(here)


@pytest.mark.parametrize(
    ("role", "seen"),
    [
        ("user", {"owned", "joined"}),
        ("gateway", {"owned", "joined"}),
        ("domain-admin", {"owned", "joined", "left", "bobs"}),
        ("service", {"owned", "joined", "left", "bobs", "zoes"}),
    ],
)
async def test_each_role_lists_what_it_may_see(role: str, seen: set[str]) -> None:
    async with peopled() as here:
        answer = await here.ask("GET", "/rooms", token_of(role))

    assert {room["room"] for room in answer.json["rooms"]} == seen


@pytest.mark.parametrize(
    ("role", "seen"),
    [
        (Role.DOMAIN_ADMIN, {"owned", "joined", "left", "bobs"}),
        (Role.SERVICE, {"owned", "joined", "left", "bobs", "zoes"}),
    ],
)
async def test_rooms_are_listed_over_signaling_as_over_http(role: Role, seen: set[str]) -> None:
    async with peopled() as here:
        answer = await here.do(here.peer("root", role), "listRooms")
        http = await here.ask("GET", "/rooms", pass_for("root", role))

    assert {room["room"] for room in answer["payload"]["rooms"]} == seen
    assert answer["payload"]["rooms"] == http.json["rooms"]


@pytest.mark.parametrize("role", [Role.USER, Role.GATEWAY])
async def test_rooms_are_not_listed_over_signaling_for_everybody(role: Role) -> None:
    async with peopled() as here:
        answer = await here.do(here.peer("alice", role), "listRooms")

    assert answer["error"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize(
    ("theirs", "nobodys", "role"),
    [
        ("/rooms/bobs", "/rooms/none", "user"),
        ("/rooms/zoes/decision", "/rooms/none/decision", "domain-admin"),
        ("/permissions/domain/other", "/permissions/domain/none", "domain-admin"),
        ("/permissions/domain/other", "/permissions/domain/none", "user"),
        ("/recordings/joined/1", "/recordings/none/1", "user"),
        ("/recordings/joined/1/files/a.webm", "/recordings/none/1/files/a.webm", "user"),
        ("/recordings/zoes/1", "/recordings/none/1", "domain-admin"),
        ("/recordings/joined/1/vcon", "/recordings/none/1/vcon", "user"),
        ("/retention/domain/other", "/retention/domain/none", "domain-admin"),
        ("/retention/domain/other", "/retention/domain/none", "user"),
        (
            "/permissions/domain/other/user/zoe",
            "/permissions/domain/example/user/none",
            "domain-admin",
        ),
    ],
)
async def test_what_is_not_yours_looks_like_what_is_not_there(
    theirs: str, nobodys: str, role: str
) -> None:
    async with peopled() as here:
        one = await here.ask("GET", theirs, token_of(role))
        other = await here.ask("GET", nobodys, token_of(role))

    assert one.status == other.status
    assert one.json | {"details": {}} == other.json | {"details": {}}
    assert set(one.json["details"]) == set(other.json["details"])
