"""The console's recordings in a real browser: find, play, hold, delete, as each role."""

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import av
import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from sfu_wrapper.adapters.memory.plane import MemoryPlane
from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.model.identity import DomainId
from tests.helpers import firefox
from tests.helpers.chromium import Browser
from tests.helpers.consolepage import ConsolePage, console
from tests.helpers.live import Live, live
from tests.helpers.recordings import facts, failure, finished, put, put_ready
from tests.helpers.results import progress, recorded

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]
SECONDS = 60


def movie(folder: Path) -> bytes:
    """Return a WebM file of a minute that becomes brighter by 4 of 255 each second."""
    target = folder / "made.webm"
    with av.open(str(target), "w") as output:
        stream = output.add_stream("libvpx", rate=2)
        stream.width, stream.height = 64, 36
        stream.options = {"deadline": "realtime", "cpu-used": "8", "g": "8"}
        for number in range(SECONDS * 2):
            gray = np.full((36, 64, 3), number * 2, np.uint8)
            frame = av.VideoFrame.from_ndarray(gray, format="rgb24")
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    content = target.read_bytes()
    target.unlink()
    return content


@pytest_asyncio.fixture(loop_scope="module")
async def here(tmp_path: Path) -> AsyncIterator[Live]:
    """A controller with a recording of a minute, an encrypted one and a failed one."""
    store = MemoryStore()
    picture = io.BytesIO()
    Image.new("RGB", (64, 48), (60, 90, 140)).save(picture, "JPEG")
    poster = picture.getvalue()
    await put_ready(store, tmp_path, {"rec-1.webm": movie(tmp_path), "rec-1.jpg": poster})
    secret = {"rec-2.webm.gpg": b"0" * 2_000}
    await put_ready(store, tmp_path, secret, facts("uuid-2"), encrypted=True)
    lost = facts("uuid-3")
    await put(store, finished(lost, failure(lost)))
    folder = tmp_path / "postprocessed"
    (tmp_path / "logs").mkdir()
    folders = (f"destination_path={folder}", f"logs_path={tmp_path / 'logs'}")
    async with live(*folders, store=store, plane=MemoryPlane()) as here:
        yield here


async def admin(chromium: Browser, here: Live, view: str) -> ConsolePage:
    return await console(chromium, here.http_url, "admin", "domain-admin", view=view)


async def test_an_owner_finds_and_plays_a_recording_to_its_end(
    chromium: Browser, here: Live
) -> None:
    page = await console(chromium, here.http_url, "alice", view="recordings")
    await page.page.until("document.querySelectorAll('tbody tr').length === 3")
    await page.fill("#state", "ready")
    await page.press_button("Search")
    await page.page.until("document.querySelectorAll('tbody tr').length === 2")
    await page.page.run("document.querySelector('a[href*=\"recordings/uuid-1/1\"]').click()")
    await page.until("h1", "room, segment 1")
    await page.page.until("document.querySelector('.still img')?.naturalWidth > 0")
    assert reads(here) == ["rec-1.jpg"]
    await page.press_button("Play the recording")
    await page.page.until("document.querySelector('video')?.currentTime > 0.1")
    assert reads(here) == ["rec-1.jpg", "rec-1.webm"]

    await page.press_button("00:30 bob left")
    await page.page.until("document.querySelector('video').currentTime > 30.2")
    assert await brightness(page) == pytest.approx(30 * 4, abs=16)
    await page.page.run("document.querySelector('video').currentTime = 58.5")
    await page.page.until("document.querySelector('video').ended")
    await page.press_button("Evidence (vCon)")
    await page.press_button("Show")
    await page.until("#said", "There is nothing here")  # no worker has written a log
    assert page.page.console == []


def reads(here: Live) -> list[str]:
    """The names of the files for which links were made."""
    rows = here.store.audit.entries(DomainId("example"), 0, 100)
    found = [json.loads(row.entry) for row in rows]
    return [each["details"]["name"] for each in found if each["action"] == "link.create"]


async def brightness(page: ConsolePage) -> float:
    """The mean of the picture that the player shows."""
    script = """(() => {
      const canvas = new OffscreenCanvas(64, 36).getContext("2d");
      canvas.drawImage(document.querySelector("video"), 0, 0, 64, 36);
      const { data } = canvas.getImageData(8, 8, 32, 16);
      return data.reduce((sum, value, index) => sum + (index % 4 === 0 ? value : 0), 0) / 512;
    })()"""
    return float(await page.page.run(script))


async def test_a_held_recording_cannot_be_deleted_and_a_released_one_can(
    chromium: Browser, here: Live
) -> None:
    page = await admin(chromium, here, "recordings/uuid-1/1")
    await page.press_button("Set a legal hold")
    await page.fill("#reason", "case 7")
    await page.press_button("Set a legal hold", "dialog")
    await page.until(".badge", "Legal hold")
    await page.until("dd", "case 7 (by admin)")
    await page.press_button("Delete")
    await page.until("#said", "The recording is under a legal hold.")

    await page.press_button("Remove the legal hold")
    await page.until("#said", "The legal hold is removed.")
    await page.until("button", "Set a legal hold")
    await page.press_button("Delete")
    await page.until("dialog", "rec-1.webm")
    await page.press_button("Delete", "dialog")
    await page.until(".notice", "It is being deleted (on request)")
    await page.until("main", "There is nothing to play.")
    await page.press_button("Download rec-1.webm")
    await page.until("#said", "The recording is deleted, or is being deleted.")


async def test_what_a_role_may_not_do_says_why(chromium: Browser, here: Live) -> None:
    owner = await console(chromium, here.http_url, "alice", view="recordings/uuid-1/1")
    await owner.press_button("Set a legal hold")
    await owner.until("#said", "Only an administrator of this domain can change this.")
    await owner.press_button("Delete")
    await owner.until("#said", "Your role does not allow this.")

    stranger = await console(chromium, here.http_url, "mallory", view="recordings")
    await stranger.shows("No recordings.")
    await stranger.go("recordings/uuid-1/1")
    await stranger.shows("There is nothing here, or it is not visible to you.")

    guest = await console(chromium, here.http_url, "bob", view="recordings?participant=me")
    await guest.shows("You were in it for 00:30.")
    assert await guest.page.run("document.querySelectorAll('tbody a').length") == 0


async def test_an_encrypted_recording_is_offered_for_download_only(
    chromium: Browser, here: Live
) -> None:
    page = await admin(chromium, here, "recordings/uuid-2/1")
    await page.until("main", "The files are encrypted")
    assert not await page.page.run("Boolean(document.querySelector('video'))")
    await page.page.ask("Page.setDownloadBehavior", {"behavior": "deny"})
    await page.press_button("Download rec-2.webm.gpg")
    assert page.page.console == []


async def test_a_failed_recording_says_why(chromium: Browser, here: Live) -> None:
    page = await admin(chromium, here, "recordings/uuid-3/1")
    await page.until(".notice", "It could not be processed")
    await page.until(".notice", "no frame could be read")
    await page.press_button("Process again")
    await page.until("#said", "raw files of the recording are gone")


async def test_progress_and_result_are_live_in_the_list_and_the_view(
    chromium: Browser, here: Live
) -> None:
    made = await recorded(here)
    listed = await admin(chromium, here, "recordings")
    await listed.until("tr", "call")
    opened = await admin(chromium, here, "recordings")
    await opened.until("tr", "call")
    row = "[...document.querySelectorAll('tbody tr')].find(e => e.textContent.includes('call'))"
    await opened.page.run(f"{row}.querySelector('a').click()")
    await opened.until("h1", "call, segment 1")
    await progress(here.broker, 42)
    for page in (listed, opened):
        await page.until(".hint", "Processing, 42 % (00:03 left)")
    again = await made.started()
    await listed.until("tr", f"Segment {again['segment']}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious_in_any_view(
    chromium: Browser, here: Live, scheme: str
) -> None:
    page = await admin(chromium, here, "recordings")
    for width in (360, 1280):
        await page.look(width, 720, scheme)
        for view in ("recordings", "recordings/uuid-1/1", "recordings/uuid-3/1", "missed"):
            await page.go(view)
            await page.page.until("!document.querySelector('main').textContent.includes('Loading')")
            assert await page.violations() == [], (view, width)
            assert await page.page.run("document.scrollingElement.scrollWidth") <= width, view


async def test_firefox_plays_it_too(here: Live) -> None:
    async with firefox.browser() as driver:
        page = await console(driver, here.http_url, "alice", view="recordings/uuid-1/1")
        await page.press_button("00:30 bob left")
        await page.page.until("document.querySelector('video')?.currentTime > 30.2")
        assert page.page.console == []
