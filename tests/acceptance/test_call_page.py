"""The call page in a real browser, with the devices that it brings, and no real SFU."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sfu_wrapper.adapters.memory.plane import Behaviour, MemoryPlane
from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.model.media import Medium
from tests.helpers.callpage import NO_DEVICES, CallPage, meeting, opened
from tests.helpers.chromium import Browser
from tests.helpers.live import Live, live, token
from tests.helpers.processes import free_port

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]

BY_HAND = "recordRecordingAtStart=false"


@pytest_asyncio.fixture(loop_scope="module")
async def plane() -> MemoryPlane:
    return MemoryPlane()


@pytest_asyncio.fixture(loop_scope="module")
async def here(plane: MemoryPlane) -> AsyncIterator[Live]:
    """A controller with a meeting of alice's, who may record."""
    async with live(BY_HAND, plane=plane) as here:
        await meeting(here)
        yield here


async def test_a_call_is_held_and_recorded_by_keyboard_alone(chromium: Browser, here: Live) -> None:
    alice = await opened(chromium, here.http_url, "alice")
    await alice.shows("lobby")
    await alice.page.until("document.querySelector('#preview').videoWidth > 0")
    await alice.tab_to("#join")
    await alice.press("Enter")
    await alice.shows("call")
    await alice.tab_to("#mic")
    await alice.press(" ")
    await alice.page.until("document.querySelector('#mic').ariaPressed === 'false'")
    await alice.tab_to("#record")
    await alice.press("Enter")
    await alice.has_text("recording", "by alice")
    assert await alice.text("record") == "Stop"
    await alice.press("Enter")
    await alice.page.until("document.querySelector('#recording').hidden")
    await alice.tab_to("#leave")
    await alice.press("Enter")
    await alice.shows("over")

    assert await alice.text("over-why") == "You have left the call."
    assert alice.page.console == []


async def test_everybody_sees_since_when_and_by_whom_it_is_recorded(
    chromium: Browser, here: Live
) -> None:
    alice = await opened(chromium, here.http_url, "alice")
    bob = await opened(chromium, here.http_url, "bob")
    for each in (alice, bob):
        await each.join()
    assert await bob.names() == ["alice", "bob (you)"]
    assert not await bob.visible("recording")

    await alice.click("record")
    for each in (alice, bob):
        await each.has_text("recording", "by alice")
        await each.has_text("spoken", "This call is being recorded")
    carol = await opened(chromium, here.http_url, "carol")
    await carol.join()
    await carol.has_text("recording", "by alice")
    since = await bob.text("recording-since")
    assert since == await carol.text("recording-since")
    assert since.startswith("since ")
    assert (await carol.page.run("document.title")).startswith("● Recording")
    await carol.recorded_for(1)

    await alice.click("record")
    for each in (alice, bob, carol):
        await each.has_text("spoken", "not being recorded any more")
        assert not await each.visible("recording")


async def test_a_user_without_permission_to_record_reads_why(chromium: Browser, here: Live) -> None:
    await here.permit("alice", None)
    bob = await opened(chromium, here.http_url, "bob")
    await bob.join()

    assert await bob.page.run("document.querySelector('#record').ariaDisabled") == "true"
    assert await bob.text("record-why") == "Only alice, who owns this call, can record it."
    await bob.click("record")
    await bob.has_text("spoken", "Only alice")

    alice = await opened(chromium, here.http_url, "alice")
    await alice.join()
    assert await alice.text("record-why") == (
        "It cannot be recorded: you have no permission to record."
    )


async def test_errors_are_said_in_words(chromium: Browser, here: Live, plane: MemoryPlane) -> None:
    for medium in Medium:
        plane.behave(medium, "start", Behaviour.REFUSE)
    alice = await opened(chromium, here.http_url, "alice")
    await alice.join()
    await alice.click("record")

    await alice.has_text("notice", "The recorder did not answer as it should")
    assert not await alice.visible("recording")


async def test_the_token_stands_in_no_address_and_a_wrong_one_is_asked_for_again(
    chromium: Browser, here: Live
) -> None:
    alice = await opened(chromium, here.http_url, "alice")
    await alice.shows("lobby")
    assert await alice.page.run("location.href") == alice.url
    await alice.page.go(alice.url)  # reloaded: it is kept for this tab
    await alice.shows("lobby")

    nobody = await opened(chromium, here.http_url)
    await nobody.shows("token")
    await nobody.page.run("document.querySelector('#token').value = 'nonsense'")
    await nobody.page.run("document.querySelector('#token-form').requestSubmit()")
    await nobody.has_text("notice", "Your pass is not valid")
    await nobody.shows("token")
    await nobody.page.run(f"document.querySelector('#token').value = '{token('bob')}'")
    await nobody.page.run("document.querySelector('#token-form').requestSubmit()")
    await nobody.join()


async def test_without_devices_one_joins_all_the_same(chromium: Browser, here: Live) -> None:
    bob = await opened(chromium, here.http_url, "bob", before=NO_DEVICES)
    await bob.shows("lobby")
    await bob.has_text(
        "devices", "Without microphone (not allowed by you or your browser) and camera"
    )
    await bob.join()

    assert await bob.visible("no-media")
    service = await here.service()
    room = await service.ok("getRoom", {"room": "standup"})
    assert room["participants"][0]["media"] == {"audio": False, "video": False, "screen": False}


async def test_what_is_sent_is_told_to_the_others(chromium: Browser, here: Live) -> None:
    bob = await here.client("bob")
    await bob.ok("joinRoom", {"room": "standup"})
    await bob.event("participantJoined")
    before = len(bob.received)
    alice = await opened(chromium, here.http_url, "alice")
    await alice.page.until("document.querySelector('#preview').videoWidth > 0")
    await alice.join()
    assert await bob.event("participantJoined", since=before) == {
        "room": "standup",
        "user": "alice",
        "media": {"audio": True, "video": True, "screen": False},
    }
    await alice.click("cam")

    told = await bob.event("participantMedia")
    assert told["media"] == {"audio": True, "video": False, "screen": False}
    await bob.ok("updateMedia", {"room": "standup", "media": {"screen": True}})
    await alice.has_text("grid", "bob: screen")


async def test_a_room_that_is_not_there_can_be_started(chromium: Browser, here: Live) -> None:
    alice = await opened(chromium, here.http_url, "alice", room="new@example")
    await alice.shows("absent")
    await alice.page.run("document.querySelector('#create-form').requestSubmit()")
    await alice.shows("call")

    assert await alice.text("room") == "new@example"
    assert await alice.text("record-why") == ""


async def test_a_call_that_is_hung_up_says_so(chromium: Browser, here: Live) -> None:
    room = {"id": "pair", "kind": "direct", "owner": "alice", "domain": "example"}
    await (await here.service()).ok("createRoom", room)
    alice = await opened(chromium, here.http_url, "alice", room="pair")
    await alice.join()
    assert await alice.text("record-why") == "It can be recorded once somebody else has joined."
    bob = await here.client("bob")
    await bob.ok("joinRoom", {"room": "pair"})
    await alice.has_text("grid", "bob")
    await bob.ok("leaveRoom", {"room": "pair"})

    await alice.shows("over")
    assert await alice.text("over-why") == "The other side has hung up."


async def test_a_controller_that_is_restarted_is_come_back_to(chromium: Browser) -> None:
    store, port = MemoryStore(), f"websocket.port={free_port()}"
    async with live(BY_HAND, port, store=store) as before:
        await meeting(before)
        alice = await opened(chromium, before.http_url, "alice")
        await alice.join()
    await alice.has_text("notice", "The connection was lost")
    assert await alice.text("record-why") == "There is no connection to the call right now."

    async with live(BY_HAND, port, store=store) as after:
        await alice.page.until("document.querySelector('#notice').hidden")
        await alice.click("record")
        await alice.has_text("recording", "by alice")
        bob = await after.client("bob")
        joined = await bob.ok("joinRoom", {"room": "standup"})
        assert [each["user"] for each in joined["participants"]] == ["alice", "bob"]


async def test_one_can_leave_without_a_connection(chromium: Browser) -> None:
    async with live(BY_HAND) as here:
        await meeting(here)
        alice = await opened(chromium, here.http_url, "alice")
        await alice.join()
    await alice.has_text("notice", "The connection was lost")
    await alice.click("leave")

    await alice.shows("over")


async def test_on_a_phone_everything_is_within_reach(chromium: Browser, here: Live) -> None:
    alice = await opened(chromium, here.http_url, "alice")
    await alice.look(360, 640)
    await alice.join()
    await alice.click("record")
    await alice.has_text("recording", "by alice")

    assert await alice.fits_a_phone()


async def test_axe_finds_nothing_serious(chromium: Browser, here: Live) -> None:
    found: dict[str, object] = {}

    async def look_at(page: CallPage, what: str, *schemes: str) -> None:
        for scheme in schemes or ("light",):
            await page.look(360 if scheme == "dark" else 1280, 800, scheme)
            if violations := await page.violations():
                found[f"{what}, {scheme}"] = violations

    await look_at(await opened(chromium, here.http_url), "token")
    alice = await opened(chromium, here.http_url, "alice")
    await alice.shows("lobby")
    await look_at(alice, "lobby", "light", "dark")
    bob = await here.client("bob")
    await bob.ok("joinRoom", {"room": "standup", "media": {"screen": True}})
    await alice.join()
    await look_at(alice, "call")
    await alice.click("record")
    await alice.has_text("recording", "by alice")
    await look_at(alice, "recording", "light", "dark")
    carol = await opened(chromium, here.http_url, "carol")
    await carol.join()
    await look_at(carol, "recorded by another", "light", "dark")
    await alice.click("leave")
    await alice.shows("over")
    await look_at(alice, "over")
    absent = await opened(chromium, here.http_url, "alice", room="nowhere")
    await absent.shows("absent")
    await look_at(absent, "absent")

    assert found == {}
