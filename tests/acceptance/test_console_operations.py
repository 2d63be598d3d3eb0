"""The console's views of an operator in a real browser: permissions, retention, webhooks, audit."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sfu_wrapper.adapters.memory.plane import MemoryPlane
from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.model.identity import RecordingPermissions, RecordingProfile, RecordingType
from sfu_wrapper.ports.recordings import PutRecording
from sfu_wrapper.ports.store import Commit
from tests.helpers.callpage import meeting
from tests.helpers.calls import ALWAYS
from tests.helpers.chromium import Browser
from tests.helpers.consolepage import ConsolePage, console
from tests.helpers.indexed import ready
from tests.helpers.live import Live, live
from tests.helpers.receivers import OK, receiver, status

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]
VIEWS = ("permissions", "retention", "webhooks", "audit", "health")


@pytest_asyncio.fixture(loop_scope="module")
async def here() -> AsyncIterator[Live]:
    """A controller with a meeting of alice's, two recordings, and webhooks on loopback."""
    store = MemoryStore()
    done = [PutRecording(ready(n, "old", at_ms=1_700_000_000_000 + n)) for n in (1, 2)]
    await store.commit(Commit(recordings=tuple(done)), 1)
    async with live("webhooks.allowPrivate=true", store=store, plane=MemoryPlane()) as here:
        await meeting(here)
        yield here


async def admin(chromium: Browser, here: Live, view: str) -> ConsolePage:
    return await console(chromium, here.http_url, "admin", "domain-admin", view=view)


async def test_a_permission_is_set_and_the_resulting_decision_is_shown(
    chromium: Browser, here: Live
) -> None:
    page = await admin(chromium, here, "permissions")
    await page.until("section", "Permission of the domain example")
    await page.fill("#user", "bob")
    await page.press_button("Show")
    await page.until("section[aria-label='Permission of bob']", "Calls are not recorded.")
    await page.press_button("Change: Permission of bob")
    await page.fill("#type", "audio")
    await page.press_button("Save", "dialog")
    await page.until("section[aria-label='Permission of bob']", "Calls may be recorded.")
    assert "Stored: record audio only, always." in await page.text()
    assert "decided by the user's permission" in await page.text()

    await page.press_button("Remove: Permission of bob")
    await page.until("section[aria-label='Permission of bob']", "None is stored.")
    assert page.page.console == []


async def test_of_two_administrators_the_second_is_asked_to_look_again(
    chromium: Browser, here: Live
) -> None:
    pages = [await admin(chromium, here, "permissions") for _ in range(2)]
    for page in pages:
        await page.press_button("Change: Permission of the domain example")
        await page.until("dialog", "What may be recorded")
    await pages[0].press_button("Save", "dialog")
    await pages[0].shows("Stored: record audio and video, always.")
    await pages[1].press_button("Save", "dialog")
    await pages[1].until("dialog", "Another user has changed this meanwhile.")
    await pages[1].shows("Stored: record audio and video, always.")
    await pages[1].fill("#profile", "skip")
    await pages[1].press_button("Save", "dialog")
    await pages[1].shows("Stored: record audio and video, never.")


async def test_a_permission_that_has_changed_is_removed_at_the_second_attempt(
    chromium: Browser, here: Live
) -> None:
    await here.permit("bob", ALWAYS)
    page = await admin(chromium, here, "permissions")
    await page.fill("#user", "bob")
    await page.press_button("Show")
    await page.shows("Stored: record audio and video, always.")
    await here.permit("bob", RecordingPermissions(RecordingType.AUDIO, RecordingProfile.SKIP))
    await page.press_button("Remove: Permission of bob")
    await page.until("#said", "Another user has changed this meanwhile.")
    await page.shows("Stored: record audio only, never.")
    await page.press_button("Remove: Permission of bob")
    await page.until("section[aria-label='Permission of bob']", "None is stored.")


async def test_a_permission_is_tried_on_the_calls_of_the_last_days(
    chromium: Browser, here: Live
) -> None:
    bob = await here.client("bob")
    await bob.ok("createRoom", {"id": "tried", "kind": "meeting", "record": True})
    await bob.ok("joinRoom", {"room": "tried"})
    page = await admin(chromium, here, "permissions")
    await page.fill("#tried-user", "bob")
    await page.press_button("Try")
    await page.until("tr", "tried")
    await page.until("td", "Cannot be recorded: The owner has no permission to record.")
    await page.until("td", "Recorded from the start: audio and video.")
    await page.fill("#tried-profile", "skip")
    await page.press_button("Try")
    await page.until("section", "No call would have been decided otherwise.")


async def test_a_user_changes_its_own_permission_and_sees_no_other_view(
    chromium: Browser, here: Live
) -> None:
    page = await console(chromium, here.http_url, "dave", view="permissions")
    await page.shows("Calls are not recorded.")
    await page.press_button("Change: Your permission")
    await page.press_button("Save", "dialog")
    await page.shows("Calls may be recorded.")
    navigation = await page.text("nav")
    assert "Audit" not in navigation
    assert "Webhooks" not in navigation
    assert "Permission of the domain" not in await page.text()


async def test_the_service_reads_and_changes_nothing(chromium: Browser, here: Live) -> None:
    page = await console(chromium, here.http_url, "room-service", "service", view="permissions")
    await page.until("section", "Permission of the domain example")
    await page.press_button("Change: Permission of the domain example")
    await page.until("#said", "Only an administrator of this domain can change this.")


async def test_retention_is_set_and_removed(chromium: Browser, here: Live) -> None:
    page = await admin(chromium, here, "retention")
    await page.shows("Kept for as long as the system's setting says.")
    await page.press_button("Change")
    await page.fill("#days", "30")
    await page.press_button("Save", "dialog")
    await page.shows("Kept for 30 days.")
    await page.press_button("Remove")
    await page.shows("Kept for as long as the system's setting says.")


async def test_an_erasure_is_previewed_and_needs_the_user_id_typed(
    chromium: Browser, here: Live
) -> None:
    page = await admin(chromium, here, "retention")
    await page.fill("#person", "alice")
    await page.press_button("Preview")
    await page.shows("2 recordings of alice would be deleted.")
    await page.press_button("Delete these recordings")
    await page.fill("#again", "alicia")
    await page.press_button("Delete these recordings", "dialog")
    await page.until("dialog", "The user id is not the same.")
    await page.fill("#again", "alice")
    await page.press_button("Delete these recordings", "dialog")
    await page.until("#said", "2 recordings of alice are being deleted.")
    await page.page.until("!document.querySelector('dialog')")
    assert page.page.console == []


async def test_a_webhook_is_added_tested_and_a_failed_delivery_retried(
    chromium: Browser, here: Live
) -> None:
    async with receiver(status(500)) as there:
        page = await admin(chromium, here, "webhooks")
        await page.shows("No webhooks yet.")
        await page.press_button("Add a webhook")
        await page.fill("#url", there.url)
        await page.press_button("Add", "dialog")
        await page.until("code", "whsec_")
        await page.press_button(f"Send a test to {there.url}")
        await page.page.until("document.querySelectorAll('tbody tr').length === 1")
        await page.press_button(f"Send a test to {there.url}")
        await page.page.until("document.querySelectorAll('tbody tr').length === 2")
        reload = ".card .buttons:last-of-type button"
        await page.reload_until(reload, "tbody", "HTTP status 500.")
        there.answer = OK
        row = "document.querySelector('td button').ariaLabel"
        await page.press_button(await page.page.run(row))
        await page.reload_until(reload, "td .badge", "Delivered")
        await page.press_button(f"Remove {there.url}")
        await page.shows("No webhooks yet.")
    ids = [each.headers["webhook-id"] for each in there.requests]
    assert len(set(ids)) == 2
    assert max(map(ids.count, ids)) >= 2  # a repeat has the same id


async def test_the_audit_log_has_the_newest_entries_first(chromium: Browser, here: Live) -> None:
    alice = await here.client("alice")
    await alice.ok("joinRoom", {"room": "standup"})
    for _ in range(30):
        await alice.ok("startRoomRecording", {"room": "standup"})
        await alice.ok("stopRoomRecording", {"room": "standup"})
    page = await admin(chromium, here, "audit")
    await page.until("tbody tr:first-child", "Stop of a recording")
    assert await page.page.run("document.querySelectorAll('tbody tr').length") == 50
    await page.press_button("Show more")
    await page.page.until("document.querySelector('tbody tr:last-child td').textContent === '1'")
    await page.fill("#audit-search", "durationMs")
    await page.page.until("document.querySelectorAll('tbody tr').length === 30")


async def test_health_names_the_part_that_is_unavailable(chromium: Browser, here: Live) -> None:
    page = await admin(chromium, here, "health")
    await page.shows("Everything works")
    await page.shows("Waiting for a worker")

    await here.broker.close()
    bob = await here.client("bob")
    await here.permit("bob", ALWAYS)
    await bob.ok("createRoom", {"id": "lonely", "kind": "meeting"})
    await bob.ok("joinRoom", {"room": "lonely"})
    await bob.ok("startRoomRecording", {"room": "lonely"})
    await page.reload_until(".title button", "main", "a part is unavailable")
    assert "Unavailable" in await page.text("tr:nth-child(2)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious_in_any_view(
    chromium: Browser, here: Live, scheme: str
) -> None:
    page = await admin(chromium, here, "health")
    for width in (360, 1280):
        await page.look(width, 720, scheme)
        for view in VIEWS:
            await page.go(view)
            await page.page.until("!document.querySelector('main').textContent.includes('Loading')")
            assert await page.violations() == [], (view, width)
            assert await page.page.run("document.scrollingElement.scrollWidth") <= width, view
