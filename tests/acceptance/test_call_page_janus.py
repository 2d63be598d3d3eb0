"""Two people with a browser see and hear each other through a real Janus that neither speaks to."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sfu_wrapper.adapters.janus.webrtc import JanusBrowsers
from sfu_wrapper.adapters.janus.webrtc_session import BrowserLine
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.webrtc import LineRequest, MediaNews, MediaPlace, Mix, Mute, Outcome
from tests.helpers.callpage import meeting_at_janus, opened, rooms_at_janus, sees, video
from tests.helpers.chromium import browser
from tests.helpers.janus import JanusServer, running_janus
from tests.helpers.live import live
from tests.helpers.wait import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

SCREEN = "--auto-select-desktop-capture-source=Entire screen"

# How loud the loudest moment of the next seconds is: the devices of the browser beep once a second.
LOUDEST = """(async () => {
  const context = new AudioContext();
  await context.resume();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(document.querySelector('#mix').srcObject).connect(analyser);
  const wave = new Float32Array(analyser.fftSize);
  let loudest = 0;
  for (const until = Date.now() + 8000; Date.now() < until && loudest < 0.02;) {
    analyser.getFloatTimeDomainData(wave);
    loudest = Math.max(loudest, ...wave.map(Math.abs));
    await new Promise(done => setTimeout(done, 20));
  }
  return loudest;
})()"""


class Unwilling(JanusBrowsers):
    """Once it does not let somebody speak who was silent. made_anew: the audio was, after that."""

    refused = made_anew = False

    def open(self, place: MediaPlace, tell: Callable[[MediaNews], None]) -> BrowserLine:
        """See ``BrowserMedia``."""
        line = super().open(place, tell)
        through = line.request

        def refuse_once(request: LineRequest, done: Callable[[Outcome], None]) -> None:
            if request == Mute(False) and not self.refused:
                self.refused = True
                done(Unavailable("busy"))
            else:
                self.made_anew |= self.refused and isinstance(request, Mix)
                through(request, done)

        line.request = refuse_once  # type: ignore[method-assign]
        return line


@pytest.fixture
def janus(tmp_path: Path) -> Iterator[JanusServer]:
    with running_janus(tmp_path / "janus") as server:
        yield server


async def test_two_people_see_and_hear_each_other_and_come_back(janus: JanusServer) -> None:
    browsers = Unwilling(janus.address)
    async with (
        live("recordRecordingAtStart=false", browsers=browsers) as here,
        browser(SCREEN) as chromium,
    ):
        await meeting_at_janus(here)
        async with rooms_at_janus(janus):
            alice = await opened(chromium, here.http_url, "alice")
            bob = await opened(chromium, here.http_url, "bob")
            for each in (alice, bob):
                await each.page.until("document.querySelector('#preview').videoWidth > 0")
                await each.join()
            for each, other in ((alice, "bob"), (bob, "alice")):
                await sees(each, other)
                assert await each.page.run(LOUDEST) >= 0.02
                assert not await each.visible("no-media")

            # A silent participant is audible again, though the first request for it is refused.
            await alice.click("mic")
            await alice.page.until("document.querySelector('#mic').ariaPressed === 'false'")
            await alice.click("mic")
            await until(lambda: browsers.made_anew)
            assert await bob.page.run(LOUDEST) >= 0.02

            await alice.click("screen")
            await sees(bob, "alice", "screen")
            await alice.click("screen")
            await bob.page.until(f"!{video('alice', 'screen')}")
            await alice.click("cam")
            await bob.page.until(f"{video('alice')}.hidden")
            await alice.click("cam")
            await sees(bob, "alice")

            janus.kill()
            await alice.has_text("notice", "Pictures and sound were interrupted")
            janus.start()
        async with rooms_at_janus(janus):
            await sees(bob, "alice")
            await sees(alice, "bob")

            # A participant who leaves is disconnected, and gone for the others.
            await alice.click("leave")
            await alice.shows("over")
            await bob.page.until(f"!{video('alice')}")
            assert await bob.names() == ["bob (you)"]
            assert alice.page.console == bob.page.console == []
    assert not [*janus.folder.rglob("*.mjr"), *janus.folder.rglob("*.wav")]
