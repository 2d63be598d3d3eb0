"""The call page in a browser, as a person uses it: what is shown, what is pressed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sfu_wrapper.adapters.janus.session import AUDIO_BRIDGE, VIDEO_ROOM, open_session
from tests.helpers.browserlink import Driver
from tests.helpers.calls import ALWAYS
from tests.helpers.janus import ADMIN_KEY, JanusServer
from tests.helpers.live import Live, token
from tests.helpers.webpage import WebPage

JANUS_ROOM = "room-of-the-call"

# Devices that a browser refuses, as it does for pages that are not secure, or by a person's wish.
NO_DEVICES = """
navigator.mediaDevices.getUserMedia = async () => {
  throw new DOMException("no", "NotAllowedError");
};
"""


# Firefox counts the frames of files alone in getVideoPlaybackQuality, and Chromium calls back for
# those of the tab in front alone.
_NEXT_FRAMES = """new Promise(done => {
  const shown = %s;
  const total = () => shown.getVideoPlaybackQuality().totalVideoFrames;
  const first = total();
  let count = 0;
  const next = () => { count += 1; shown.requestVideoFrameCallback(next); };
  shown.requestVideoFrameCallback(next);
  const timer = setInterval(() => {
    if (Math.max(count, total() - first) < 4) return;
    clearInterval(timer);
    done();
  }, 50);
})"""


@dataclass(slots=True)
class CallPage(WebPage):
    """One person's page."""

    async def shows(self, stage: str) -> None:
        """Wait until that part of the page is there, and no other."""
        await self.page.until(f"!document.querySelector('#stage-{stage}').hidden")
        shown = "[...document.querySelectorAll('[id^=stage-]')].filter(e => !e.hidden).length"
        assert await self.page.run(shown) == 1

    async def click(self, element: str) -> None:
        """Press a button."""
        await self.page.run(f"document.querySelector('#{element}').click()")

    async def text(self, element: str) -> str:
        """What is written there."""
        return str(await self.page.run(f"document.querySelector('#{element}').innerText"))

    async def visible(self, element: str) -> bool:
        """Whether it can be seen."""
        return bool(await self.page.run(f"document.querySelector('#{element}').checkVisibility()"))

    async def fits_a_phone(self) -> bool:
        """Return True if a screen of 360 x 640 holds all buttons, each big enough for a thumb."""
        assert await self.page.run("document.scrollingElement.scrollWidth") <= 360
        buttons = """[...document.querySelectorAll('#controls button')]
          .filter(button => button.checkVisibility()).every(button => {
            const box = button.getBoundingClientRect();
            return box.left >= 0 && box.right <= 360 && box.bottom <= 640
              && box.height >= 44 && button.scrollWidth <= button.clientWidth;
          })"""
        return bool(await self.page.run(buttons))

    async def has_text(self, element: str, text: str) -> None:
        """Wait until something with these words is written there, to be seen or to be heard."""
        await self.page.until(
            f"document.querySelector('#{element}').textContent.includes({text!r})"
            f" && !document.querySelector('#{element}').hidden"
        )

    async def recorded_for(self, seconds: int) -> None:
        """Wait until the running clock shows so much, or more."""
        clock = "document.querySelector('#recording-clock').textContent.split(':')"
        await self.page.until(
            f"{clock}.reduce((all, one) => all * 60 + Number(one), 0) >= {seconds}"
        )

    async def names(self) -> list[str]:
        """Who is shown."""
        script = "[...document.querySelectorAll('.name span')].map(e => e.textContent)"
        return sorted(await self.page.run(script))

    async def join(self) -> None:
        """From the beginning into the call."""
        await self.shows("lobby")
        await self.click("join")
        await self.shows("call")


async def opened(
    driver: Driver,
    http_url: str,
    user: str = "",
    *,
    room: str = "standup",
    before: str = "",
    roles: tuple[str, ...] = (),
) -> CallPage:
    """The page of a room in a tab of its own. before: a script that runs before the page's own."""
    url = f"{http_url}/call/{room}"
    fragment = f"#token={token(user, *roles)}" if user else ""
    page = await driver.open(f"{http_url}/health/live")
    if before:
        await page.before(before)
    await page.go(f"{url}{fragment}")
    await page.until("document.querySelector('#room')?.textContent")
    return CallPage(page, url)


async def meeting(here: Live, **more: object) -> None:
    """A meeting of alice's, who may record."""
    await here.permit("alice", ALWAYS)
    room = {"id": "standup", "kind": "meeting", "owner": "alice", "domain": "example"}
    await (await here.service()).ok("createRoom", room | more)


@asynccontextmanager
async def rooms_at_janus(janus: JanusServer) -> AsyncIterator[None]:
    """The rooms of one call, as the media plane makes them."""
    async with open_session(janus.address) as session:
        room = {"request": "create", "secret": "s", "admin_key": ADMIN_KEY}
        video = {"room": JANUS_ROOM, "publishers": 50, "videocodec": "vp8,h264"}
        await (await session.attach(VIDEO_ROOM)).request(room | video | {"lock_record": True})
        audio = {"room": JANUS_ROOM, "sampling_rate": 16_000}
        await (await session.attach(AUDIO_BRIDGE)).request(room | audio)
        yield


async def meeting_at_janus(here: Live) -> None:
    """The meeting that has these rooms."""
    names = {"id": "standup", "uuid": JANUS_ROOM, "confbridgeId": "bridge-of-the-call"}
    whose = {"kind": "meeting", "owner": "alice", "domain": "example"}
    await (await here.service()).ok("createRoom", names | whose)


def video(user: str, stream: str = "camera") -> str:
    """The element that shows somebody."""
    return f"document.querySelector('video[data-user={user}][data-stream={stream}]')"


async def sees(page: CallPage, user: str, stream: str = "camera") -> None:
    """Wait until frames are shown, and new ones come."""
    await page.page.until(f"{video(user, stream)}?.videoWidth > 0 && !{video(user, stream)}.hidden")
    await page.page.run(_NEXT_FRAMES % video(user, stream))
