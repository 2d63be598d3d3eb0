"""Over HTTP, another one's object is no object: the same answer, at the same cost, on every route.

Costs are counted, not timed: reads and writes of the store.
"""

import re
from collections import Counter
from pathlib import Path

import pytest

from sfu_wrapper.core.policy import PolicySettings
from sfu_wrapper.model.identity import (
    DomainId,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    UserId,
)
from sfu_wrapper.model.webhook import Endpoint
from sfu_wrapper.ports.recordings import DomainRetention
from sfu_wrapper.ports.store import Commit
from sfu_wrapper.ports.webhooks import PutEndpoint, SendTest
from tests.helpers.costs import counted
from tests.helpers.http import ALWAYS, World, pass_for, world
from tests.helpers.recordings import facts, failure, finished, put, put_ready, user, write_files

# The objects of bob, of his domain; ``MISSING`` has the same length.
THEIRS, MISSING = "third", "never"
RECORDED = PolicySettings(system=RecordingType.ALL)
PERMISSION = RecordingPermissions(RecordingType.ALL, RecordingProfile.ALWAYS)
LINK = "expires=9999999999&key=00000000&signature=" + 43 * "A"

# Each route with an object in its path, and the body of its request.
ROUTES: dict[str, object] = {
    "GET /permissions/domain/{}": None,
    "PUT /permissions/domain/{}": ALWAYS,
    "DELETE /permissions/domain/{}": None,
    "GET /permissions/domain/{}/user/bob": None,
    "PUT /permissions/domain/{}/user/bob": ALWAYS,
    "DELETE /permissions/domain/{}/user/bob": None,
    "GET /permissions/effective?domain={}&user=bob": None,
    "GET /rooms/{}?domain=third": None,
    "GET /rooms/{}/decision?domain=third": None,
    "GET /audit?domain={}": None,
    "GET /audit/head?domain={}": None,
    "GET /recordings?uuid={}": None,
    "GET /recordings/{}/1": None,
    "GET /recordings/{}/1/files/a.webm": None,
    "GET /recordings/{}/1/files/none": None,
    "GET /recordings/{}/1/vcon": None,
    "POST /recordings/{}/1/links": {"name": "a.webm", "seconds": 60},
    "GET /recordings/{}/1/log": None,
    "POST /recordings/{}/1/retry": None,
    "POST /recordings/{}/2/retry": None,
    "PUT /recordings/{}/1/hold": {"reason": "case 7"},
    "DELETE /recordings/{}/1/hold": None,
    "DELETE /recordings/{}/1": None,
    f"GET /links/{{}}/1/a.webm?{LINK}": None,
    "GET /retention/domain/{}": None,
    "PUT /retention/domain/{}": {"days": 1},
    "DELETE /retention/domain/{}": None,
    "GET /webhooks?domain={}": None,
    "DELETE /webhooks/{}": None,
    "GET /webhooks/{}/deliveries": None,
    "POST /webhooks/{}/deliveries/msg/retry": None,
    "POST /webhooks/{}/test": None,
}
STRANGERS = {
    "a user of that domain": pass_for("mallory", domain=THEIRS),
    "a participant of another domain": pass_for("guest", domain="elsewhere"),
    "an administrator of another domain": pass_for("root", "domain-admin", domain="elsewhere"),
}


async def fill(here: World, folder: Path) -> None:
    """Store bob's objects: all that a route can be about has the same name."""
    guests = (user("mallory", THEIRS), user("guest", "elsewhere"))
    about = facts(THEIRS, owner="bob", domain=THEIRS, guests=guests)
    await put_ready(here.store, folder, {"a.webm": b"webm"}, about)
    write_files(folder / "logs", {f"{THEIRS}-1.log": b"a line"})
    failed = facts(THEIRS, 2, owner="bob", domain=THEIRS, guests=guests)
    await put(here.store, finished(failed, failure(failed, event=b"{}")))
    domain = DomainId(THEIRS)
    await here.store.set_permission(domain, None, PERMISSION)
    await here.store.set_permission(domain, UserId("bob"), PERMISSION)
    endpoint = Endpoint(THEIRS, domain, "https://a.example/", ("whsec_",), (), 1)
    changes = PutEndpoint(endpoint), SendTest(THEIRS, "msg", domain, 1, b"{}")
    await here.store.commit(Commit(webhooks=changes, retention=(DomainRetention(domain, 90),)), 1)
    bob = here.peer("bob", domain=THEIRS)
    assert (await here.do(bob, "createRoom", id=THEIRS, kind="meeting"))["status"] == "ok"


async def asked(here: World, route: str, name: str, bearer: str) -> tuple[bytes, Counter[str]]:
    """Return the answer to one request about an object, without its name, and its cost."""
    method, path = route.format(name).split()
    await here.rooms.audit.flush()  # equal refusals are counted together: none was before
    with counted() as cost:
        answer = await here.ask(method, path, bearer, ROUTES[route])
    headers = sorted((key, value) for key, value in answer.headers.items() if key != "date")
    shown = f"{answer.status} {headers}".encode() + answer.body
    return shown.replace(name.encode(), b"NAME"), cost


@pytest.mark.parametrize("route", ROUTES)
async def test_a_foreign_object_answers_and_costs_what_a_missing_one_does(
    route: str, tmp_path: Path
) -> None:
    async with world(policy=RECORDED, folder=tmp_path) as here:
        await fill(here, tmp_path)
        for who, bearer in STRANGERS.items():
            missing, least = await asked(here, route, MISSING, bearer)
            answer, cost = await asked(here, route, THEIRS, bearer)

            assert missing[:3] in (b"403", b"404", b"200"), (who, missing)
            assert answer == missing, who
            assert cost == least, who
            assert not cost["recording"], who


async def test_every_route_about_an_object_is_tried() -> None:
    async with world() as here:
        described = (await here.ask("GET", "/openapi.json")).json["paths"]
    tried = [route.partition("?")[0].format(THEIRS).split() for route in ROUTES]
    for path, methods in described.items():
        form = re.compile(re.sub(r"\{\w+\}", "[^/]+", path))
        for method in methods if "{" in path else ():
            assert any(method.upper() == one and form.fullmatch(other) for one, other in tried), (
                method,
                path,
            )
