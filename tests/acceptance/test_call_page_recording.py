"""Pause, stop and result of a recording on the call page, in a real browser."""

import pytest

from sfu_wrapper.adapters.memory.broker import MemoryBroker
from tests.helpers.callpage import meeting, opened
from tests.helpers.chromium import Browser
from tests.helpers.clocks import noticing
from tests.helpers.live import live
from tests.helpers.results import DONE, publish
from tests.helpers.wait import until

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]

BY_HAND = "recordRecordingAtStart=false"


async def test_everybody_sees_how_long_a_pause_lasts_and_that_it_is_over(
    chromium: Browser,
) -> None:
    with noticing() as clock:
        async with live(BY_HAND, clock=clock) as here:
            await meeting(here)
            alice = await opened(chromium, here.http_url, "alice")
            bob = await opened(chromium, here.http_url, "bob")
            for each in (alice, bob):
                await each.join()
            assert not await alice.visible("pause")
            await alice.click("record")
            await bob.has_text("recording", "by alice")
            assert not await bob.visible("pause")

            await alice.click("pause")
            assert await alice.page.run("document.activeElement.id") == "pause-1"
            for minutes in (1, 3, 5):
                assert await alice.visible(f"pause-{minutes}")
            await alice.click("pause-3")
            await bob.has_text("spoken", "The recording is paused")
            carol = await opened(chromium, here.http_url, "carol")
            await carol.join()
            for each in (alice, bob, carol):
                await each.has_text("paused", "Recording paused")
                await each.page.until(f"/^0[23]:/.test({CLOCK})")
                assert not await each.visible("recording")
            before = await bob.text("paused-clock")
            await bob.page.until(f"{CLOCK} !== {before!r}")

            clock.forward(180)
            for each in (alice, bob, carol):
                await each.has_text("recording", "by alice")
                assert not await each.visible("paused")


async def test_a_pause_can_be_ended_for_good(chromium: Browser) -> None:
    async with live(BY_HAND) as here:
        await meeting(here)
        alice = await opened(chromium, here.http_url, "alice")
        bob = await opened(chromium, here.http_url, "bob")
        for each in (alice, bob):
            await each.join()
        await alice.click("record")
        await alice.has_text("recording", "by alice")
        await alice.click("pause")
        await alice.click("pause-5")
        await bob.has_text("paused", "Recording paused")
        assert await alice.text("pause") == "End"
        assert await alice.text("record") == "Record"
        await alice.click("pause")

        for each in (alice, bob):
            await each.page.until("document.querySelector('#paused').hidden")
            await each.has_text("spoken", "not being recorded any more")


async def test_a_participant_who_may_stop_has_the_button(chromium: Browser) -> None:
    async with live(BY_HAND, "policy.stopBy=participants") as here:
        await meeting(here)
        alice = await here.client("alice")
        await alice.ok("joinRoom", {"room": "standup"})
        bob = await opened(chromium, here.http_url, "bob")
        await bob.join()
        assert await bob.text("record-why") == "Only alice, who owns this call, can record it."
        await alice.ok("startRoomRecording")
        await bob.has_text("recording", "by alice")
        assert await bob.text("record") == "Stop"
        assert await bob.visible("pause")
        await bob.click("record")

        assert (await alice.event("roomRecordingStopped"))["by"] == "bob"


async def test_who_may_not_stop_reads_who_can(chromium: Browser) -> None:
    async with live(BY_HAND) as here:
        await meeting(here)
        alice = await here.client("alice")
        await alice.ok("joinRoom", {"room": "standup"})
        bob = await opened(chromium, here.http_url, "bob")
        await bob.join()
        await alice.ok("startRoomRecording")
        await bob.has_text("recording", "by alice")

        why = "Only alice, who owns this call, can stop the recording."
        assert await bob.text("record-why") == why
        assert not await bob.visible("pause")


async def test_an_administrator_stops_the_recording_of_another(chromium: Browser) -> None:
    async with live(BY_HAND) as here:
        await meeting(here)
        alice = await here.client("alice")
        await alice.ok("joinRoom", {"room": "standup"})
        admin = await opened(chromium, here.http_url, "root", roles=("user", "domain-admin"))
        await admin.join()
        await alice.ok("startRoomRecording")
        await admin.has_text("recording", "by alice")
        await admin.click("record")

        assert (await alice.event("roomRecordingStopped"))["by"] == "root"


async def test_a_recording_is_prepared_and_ready_also_after_the_call(chromium: Browser) -> None:
    broker = MemoryBroker()
    async with live(BY_HAND, broker=broker) as here:
        await meeting(here, uuid="standup")
        alice = await opened(chromium, here.http_url, "alice")
        bob = await opened(chromium, here.http_url, "bob")
        for each in (alice, bob):
            await each.join()
        await alice.click("record")
        await alice.has_text("recording", "by alice")
        assert not await alice.visible("prepared")
        await alice.click("record")
        await alice.has_text("prepared", "The recording is being prepared.")
        await publish(broker, "processed", DONE, "standup")
        await alice.has_text("prepared", "The recording is ready.")

        await alice.click("record")
        await alice.has_text("recording", "by alice")
        await (await here.service()).ok("endRoom", {"room": "standup"})
        await alice.shows("over")
        await alice.has_text("prepared", "1 of 2 parts of the recording are ready")
        await publish(broker, "processed", DONE | {"segment": 2}, "standup")
        await alice.has_text("prepared", "All 2 parts of the recording are ready.")
        assert not await bob.visible("prepared"), "only the owner can have it"


async def test_a_restarted_recording_says_who_began_it(chromium: Browser) -> None:
    with noticing() as clock:
        async with live(BY_HAND, "recordings.maxSegmentSeconds=60", clock=clock) as here:
            await meeting(here)
            service = await here.service()
            alice = await opened(chromium, here.http_url, "alice")
            await alice.join()
            await alice.click("record")
            await alice.has_text("recording", "by alice")
            first = await alice.text("recording-since")
            clock.forward(60)
            await until(lambda: service.events().count("roomRecordingStarted") == 2)
            await alice.page.until(
                f"![{first!r}, ''].includes(document.querySelector('#recording-since').textContent)"
            )

            assert "by alice" in await alice.text("recording-since")
            carol = await opened(chromium, here.http_url, "carol")
            await carol.join()
            await carol.has_text("recording", "by alice")


async def test_before_the_call_is_known_nobody_is_asked_to_join_it(chromium: Browser) -> None:
    async with live(BY_HAND) as here:
        await meeting(here, invited=["bob"])
        for user, room in (("alice", "nowhere"), ("mallory", "standup")):
            page = await opened(chromium, here.http_url, user, room=room)
            await page.shows("absent")
            assert not await page.visible("lobby-title")
        alice = await here.client("alice")
        await alice.ok("joinRoom", {"room": "standup"})
        await alice.ok("startRoomRecording")
        bob = await opened(chromium, here.http_url, "bob")
        await bob.shows("lobby")

        assert await bob.visible("lobby-recorded")
        assert (await alice.ok("getRoom"))["participants"][0]["user"] == "alice"
        assert len((await alice.ok("getRoom"))["participants"]) == 1


async def test_a_phone_shows_whose_page_it_is_and_keeps_every_button_in_reach(
    chromium: Browser,
) -> None:
    async with live(BY_HAND) as here:
        await meeting(here)
        alice = await opened(chromium, here.http_url, "alice")
        await alice.look(360, 640)
        await alice.join()
        await alice.click("record")
        await alice.has_text("recording", "by alice")
        await alice.click("pause")

        assert await alice.text("me") == "alice"
        assert await alice.visible("me")
        assert await alice.fits_a_phone()
        await alice.click("pause-1")
        await alice.has_text("paused", "Recording paused")
        for scheme in ("light", "dark"):
            await alice.look(360, 640, scheme)
            assert await alice.violations() == []


CLOCK = "document.querySelector('#paused-clock').textContent"
