"""``/webhooks``: what a domain's administrator makes, sees and repeats."""

import json

import pytest

from sfu_wrapper.core.webhooks import decode_secret
from sfu_wrapper.model.identity import DomainId
from sfu_wrapper.model.webhook import DeliveryState
from sfu_wrapper.ports.store import Commit
from sfu_wrapper.ports.webhooks import Attempt
from tests.helpers.dispatching import dispatching, event
from tests.helpers.http import World, pass_for, world
from tests.helpers.receivers import receiver
from tests.helpers.wait import until

ADMIN = pass_for("root", "domain-admin")
THEIRS = pass_for("root", "domain-admin", domain="other")
URL = "https://receiver.example/hook"


async def created(here: World, **body: object) -> dict[str, object]:
    """A new webhook."""
    answer = await here.ask("POST", "/webhooks", ADMIN, {"url": URL} | body)
    assert answer.status == 201
    made: dict[str, object] = answer.json
    return made


async def test_the_secret_is_shown_once() -> None:
    async with world() as here:
        made = await created(here, types=["recording.ready", "recording.ready", "room.ended"])
        listed = (await here.ask("GET", "/webhooks", ADMIN)).json["webhooks"]

        decode_secret(str(made.pop("secret")))
        assert listed == [made]
        assert made["types"] == ["recording.ready", "room.ended"]
        assert made["url"] == URL
        assert (await here.ask("GET", "/webhooks", THEIRS)).json == {"webhooks": []}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "url"),
        ({"url": "ftp://receiver.example/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://[::1]/"}, "url"),
        ({"url": URL, "types": ["recording.gone"]}, "types.0"),
        ({"url": URL, "secret": "mine"}, "secret"),
    ],
)
async def test_a_wrong_body_names_its_field(body: object, path: str) -> None:
    async with world() as here:
        answer = await here.ask("POST", "/webhooks", ADMIN, body)

        assert (answer.status, answer.json["details"]["path"]) == (400, path)
        assert here.store.webhooks.endpoints() == ()


async def test_a_domain_has_a_limited_number() -> None:
    async with world() as here:
        for _ in range(10):
            await created(here)
        answer = await here.ask("POST", "/webhooks", ADMIN, {"url": URL})
        other = await here.ask("POST", "/webhooks", THEIRS, {"url": URL})

        assert (answer.status, answer.json["code"]) == (403, "QUOTA_EXCEEDED")
        assert other.status == 201


async def test_deliveries_are_listed_by_pages_and_states() -> None:
    async with world() as here:
        id_ = (await created(here))["id"]
        await here.store.commit(Commit(events=tuple(event(f"r/{n}") for n in range(5))), 1)
        (first, *_) = here.store.webhooks.due(str(id_), 2**53, 1)
        given_up = Attempt(first, 1_000, DeliveryState.GIVEN_UP, 0, 500, "HTTP 500")
        await here.store.webhooks.record(given_up)
        path = f"/webhooks/{id_}/deliveries"
        page = (await here.ask("GET", f"{path}?limit=3", ADMIN)).json
        rest = (await here.ask("GET", f"{path}?limit=3&after={page['next']}", ADMIN)).json
        failed = (await here.ask("GET", f"{path}?state=givenUp", ADMIN)).json["deliveries"]

    subjects = [each["subject"] for each in (*page["deliveries"], *rest["deliveries"])]
    assert subjects == ["r/4", "r/3", "r/2", "r/1", "r/0"]
    assert rest["next"] is None
    (shown,) = failed
    assert shown["id"] == first.id
    assert (shown["attempts"], shown["status"], shown["error"]) == (1, 500, "HTTP 500")
    assert shown["nextAttemptAt"] is None
    assert shown["finishedAt"] == "1970-01-01T00:00:01.000Z"


async def test_a_test_and_a_repeat_arrive_with_one_id() -> None:
    async with world() as here, receiver() as there:
        id_ = (await created(here))["id"]
        endpoint = here.store.webhooks.endpoint(str(id_))
        assert endpoint is not None
        object.__setattr__(endpoint, "url", there.url)  # loopback, which HTTP refuses
        async with dispatching(here.store) as running:
            test = (await here.ask("POST", f"/webhooks/{id_}/test", ADMIN)).json
            running.clock.wall_ms = 2**42  # type: ignore[attr-defined]  # test is due now
            await running.delivered(str(id_), 1)
            path = f"/webhooks/{id_}/deliveries/{test['id']}/retry"
            repeat = (await here.ask("POST", path, ADMIN)).json
            await until(lambda: len(there.requests) == 2)

    assert repeat["state"] == "pending"
    assert {each.id for each in there.requests} == {test["id"]}
    assert json.loads(there.requests[0].body)["type"] == "webhook.test"


async def test_changes_are_audited_without_secrets() -> None:
    async with world() as here:
        id_ = (await created(here))["id"]
        await here.ask("POST", f"/webhooks/{id_}/test", ADMIN)
        assert (await here.ask("DELETE", f"/webhooks/{id_}", ADMIN)).status == 204
        rows = here.store.audit.entries(DomainId("example"), 0, 10)

    entries = [json.loads(row.entry) for row in rows]
    actions = ["webhook.create", "webhook.test", "webhook.delete"]
    assert [(each["action"], each["object"], each["actor"]) for each in entries] == [
        (action, id_, "root") for action in actions
    ]
    assert not any(b"whsec_" in row.entry for row in rows)
