"""The console's sign-in and rooms in a real browser: what is live, and what can be pressed."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sfu_wrapper.adapters.memory.plane import Behaviour, MemoryPlane
from sfu_wrapper.model.media import Medium
from tests.helpers import firefox
from tests.helpers.callpage import meeting
from tests.helpers.calls import ALWAYS
from tests.helpers.chromium import Browser
from tests.helpers.consolepage import console
from tests.helpers.live import Live, Peer, live, token
from tests.helpers.processes import free_port
from tests.helpers.tcp_proxy import tcp_proxy

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(loop_scope="module")
async def plane() -> MemoryPlane:
    return MemoryPlane()


@pytest_asyncio.fixture(loop_scope="module")
async def here(plane: MemoryPlane) -> AsyncIterator[Live]:
    """A controller with a meeting of alice's, who may record."""
    async with live("recordRecordingAtStart=false", plane=plane) as here:
        await meeting(here)
        yield here


async def in_call(here: Live, *users: str) -> list[Peer]:
    """Let users join the meeting."""
    peers = [await here.client(user) for user in users]
    for peer in peers:
        await peer.ok("joinRoom", {"room": "standup"})
    return peers


async def test_a_token_signs_in_and_stands_in_no_address(chromium: Browser, here: Live) -> None:
    page = await console(chromium, here.http_url)
    await page.shows("Sign in to sfu-wrapper")
    await page.fill("#token", "nonsense")
    await page.press_button("Continue")
    await page.shows("That is not a token.")
    await page.fill("#token", token("alice"))
    await page.press_button("Continue")
    await page.shows("standup")
    assert token("alice")[:20] not in await page.page.run("location.href")

    await page.page.go(f"{here.http_url}/")  # reloaded: it is kept for this tab
    await page.shows("standup")
    await page.press_button("Sign out")
    await page.shows("Sign in to sfu-wrapper")
    assert await page.page.run("sessionStorage.length") == 0


async def test_a_token_that_the_server_refuses_is_asked_for_again(
    chromium: Browser, here: Live
) -> None:
    other = token("alice").rsplit(".", 1)[0] + ".AAAA"
    page = await console(chromium, here.http_url)
    await page.fill("#token", other)
    await page.press_button("Continue")
    await page.shows("Your sign-in is no longer valid.")


async def test_the_identity_provider_returns_with_a_token(chromium: Browser) -> None:
    async with live("auth.loginUrl=https://id.example/authorize?client_id=console") as here:
        page = await console(chromium, here.http_url, view="rooms")
        # What the page would open is looked at, since no such provider is there.
        await page.page.run(
            "globalThis.opened = null;"
            "navigation.addEventListener('navigate', event => {"
            "  if (event.destination.url.startsWith('https:')) {"
            "    opened = event.destination.url; event.preventDefault();"
            "  }"
            "})"
        )
        await page.press_button("Sign in with your organization")
        address = await page.page.until("opened")
        assert address.startswith(
            "https://id.example/authorize?client_id=console&redirect_uri=http"
        )
        state = await page.page.run("new URL(opened).searchParams.get('state')")

        await page.page.run(f"location.hash = '#access_token={token('alice')}&state=wrong'")
        await page.page.run("location.reload()")
        await page.shows("Sign in to sfu-wrapper")
        await page.page.run(f"sessionStorage.setItem('sfu-wrapper.state', {state!r})")
        await page.page.run(f"location.hash = '#access_token={token('alice')}&state={state}'")
        await page.page.run("location.reload()")
        await page.shows("No rooms right now.")


async def test_an_owner_sees_the_call_live_and_records_it(chromium: Browser, here: Live) -> None:
    page = await console(chromium, here.http_url, "alice")
    await page.until("td .badge", "None")
    alice, bob = await in_call(here, "alice", "bob")
    await page.until("tr", "alice, bob")

    await page.press_button("Start recording standup")
    await page.shows("Recording 00:0")
    await bob.event("roomRecordingStarted")
    await page.press_button("Pause the recording of standup")
    await page.until("dialog", "Resume after")
    await page.press_button("Pause", "dialog")
    await page.shows("Paused for 00:")
    await page.press_button("Stop recording standup")
    await page.shows("standup is no longer being recorded.")
    await page.press_button("End standup")
    await page.until("dialog", "2 participants will be disconnected.")
    await page.press_button("End", "dialog")
    await page.shows("No rooms right now.")
    assert (await alice.event("roomEnded"))["reason"] == "ended"
    assert page.page.console == []


async def test_a_room_has_its_participants_and_segments_on_a_time_line(
    chromium: Browser, here: Live
) -> None:
    alice, bob = await in_call(here, "alice", "bob")
    page = await console(chromium, here.http_url, "alice", view="rooms/standup")
    await page.until("dl", "Recording was not requested with the room.")
    await page.press_button("Start recording standup")
    await page.until(".timeline li", "Segment 1")
    await page.press_button("Stop recording standup")
    await page.until("td", "Stopped: on request")
    await bob.ok("leaveRoom", {"room": "standup"})
    await page.page.until(
        "[...document.querySelectorAll('.timeline li')].length === 3"
        " && Number.parseFloat(getComputedStyle(document.querySelector("
        "'li:nth-of-type(3) .stay')).width) < document.querySelector("
        "'li:nth-of-type(3) .track').clientWidth"
    )
    await alice.ok("endRoom", {"room": "standup"})
    await page.shows("Ended")
    assert page.page.console == []


async def test_an_administrator_may_stop_and_reads_why_not_the_rest(
    chromium: Browser, here: Live
) -> None:
    (alice,) = await in_call(here, "alice")
    page = await console(
        chromium, here.http_url, "admin", "domain-admin", view="rooms/standup?domain=example"
    )
    await page.press_button("Start recording standup")
    await page.until("#said", "You are not in the room.")
    await page.press_button("End standup")
    await page.until("#said", "Only the owner of the room can do this.")
    await alice.ok("startRoomRecording", {"room": "standup"})
    await page.press_button("Stop recording standup")
    await page.until("#said", "standup is no longer being recorded.")
    assert (await alice.event("roomRecordingStopped"))["by"] == "admin"


async def test_a_stranger_sees_nothing(chromium: Browser, here: Live) -> None:
    await in_call(here, "alice")
    page = await console(chromium, here.http_url, "mallory", domain="elsewhere")
    await page.shows("No rooms right now.")
    await page.go("rooms/standup?domain=example")
    await page.shows("There is no such room, or it is not visible to you.")


async def test_a_refusal_is_said_in_words(
    chromium: Browser, here: Live, plane: MemoryPlane
) -> None:
    for medium in Medium:
        plane.behave(medium, "start", Behaviour.REFUSE)
    await in_call(here, "alice")
    page = await console(chromium, here.http_url, "alice")
    await page.press_button("Start recording standup")
    await page.until("#said", "The media server did not respond as it should.")


async def test_a_lost_connection_is_said_and_the_state_is_right_afterwards(
    chromium: Browser,
) -> None:
    port = free_port()
    address = f"websocket.port={port}"
    async with (
        tcp_proxy(port) as proxy,
        live(address, f"http.publicWebsocketUrl=ws://127.0.0.1:{proxy.port}") as here,
    ):
        await meeting(here)
        (alice,) = await in_call(here, "alice")
        page = await console(chromium, here.http_url, "alice")
        await page.until("tr", "alice")
        proxy.refuses = True
        proxy.cut()
        await page.until("header", "Connection lost")
        await alice.ok("endRoom", {"room": "standup"})
        room = {"id": "second", "kind": "meeting", "owner": "alice", "domain": "example"}
        await (await here.service()).ok("createRoom", room)
        proxy.heal()
        await page.shows("second")
        await page.lacks("standup")
        await page.until("header", "Live")


async def test_the_rooms_can_be_used_by_keyboard_alone(chromium: Browser, here: Live) -> None:
    await in_call(here, "alice")
    page = await console(chromium, here.http_url)
    await page.tab_to("#token")
    await page.type(token("alice"))
    await page.press("Enter")
    await page.shows("standup")
    await page.tab_to("td button")
    await page.press("Enter")
    await page.shows("Recording 00:0")
    await page.tab_to("td a")
    await page.press("Enter")
    await page.until("h1", "standup")
    assert await page.page.run("document.activeElement.tagName") == "H1"
    await page.tab_to("button[aria-label^=Pause]")
    await page.press("Enter")
    await page.until("dialog", "Resume after")
    await page.press("Escape")
    await page.page.until("!document.querySelector('dialog')")
    assert await page.page.run("document.activeElement.ariaLabel.startsWith('Pause')")
    await page.press("Enter")
    await page.tab_to("dialog button[type=submit]")
    await page.press("Enter")
    await page.shows("Paused for")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious_and_a_phone_shows_all(
    chromium: Browser, here: Live, scheme: str
) -> None:
    (alice,) = await in_call(here, "alice")
    page = await console(chromium, here.http_url)
    await page.look(360, 640, scheme)
    assert await page.violations() == []
    page = await console(chromium, here.http_url, "alice")
    await alice.ok("startRoomRecording", {"room": "standup"})
    for view in ("rooms", "rooms/standup"):
        await page.look(360, 640, scheme)
        await page.go(view)
        await page.shows("Recording 00:0")
        assert await page.violations() == []
        assert await page.page.run("document.scrollingElement.scrollWidth") <= 360
        await page.look(1280, 800, scheme)
        assert await page.violations() == []


async def test_firefox_shows_the_same(here: Live) -> None:
    await here.permit("alice", ALWAYS)
    await in_call(here, "alice", "bob")
    async with firefox.browser() as driver:
        page = await console(driver, here.http_url, "alice")
        await page.until("tr", "alice, bob")
        await page.press_button("Start recording standup")
        await page.shows("Recording 00:0")
        await page.go("rooms/standup")
        await page.until(".timeline li", "bob")
        await page.press_button("Stop recording standup")
        await page.until("td", "Stopped: on request")
        assert page.page.console == []
