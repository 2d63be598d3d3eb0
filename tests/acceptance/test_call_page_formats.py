"""A browser that has no video format of the call is told so, by a real Janus that rejects it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sfu_wrapper.adapters.janus.webrtc import JanusBrowsers
from tests.helpers.callpage import meeting_at_janus, opened, rooms_at_janus, sees, video
from tests.helpers.chromium import browser
from tests.helpers.janus import JanusServer, running_janus
from tests.helpers.live import live

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

# The rooms take VP8 and H.264.
ONLY_VP9 = """
const all = RTCRtpReceiver.getCapabilities("video").codecs;
const vp9 = all.filter((each) => each.mimeType === "video/VP9");
const describe = RTCPeerConnection.prototype.setLocalDescription;
RTCPeerConnection.prototype.setLocalDescription = function (...given) {
  const lines = this.getTransceivers().filter((each) => each.receiver.track.kind === "video");
  for (const each of lines) each.setCodecPreferences(vp9);
  return describe.apply(this, given);
};
"""


@pytest.fixture
def janus(tmp_path: Path) -> Iterator[JanusServer]:
    with running_janus(tmp_path / "janus") as server:
        yield server


async def test_a_browser_without_a_format_of_the_call_is_told_what_the_others_do_not_see(
    janus: JanusServer,
) -> None:
    async with (
        live("recordRecordingAtStart=false", browsers=JanusBrowsers(janus.address)) as here,
        browser() as chromium,
        rooms_at_janus(janus),
    ):
        await meeting_at_janus(here)
        bob = await opened(chromium, here.http_url, "bob", before=ONLY_VP9)
        await bob.page.until("document.querySelector('#preview').videoWidth > 0")
        await bob.join()
        await bob.has_text("notice", "The others cannot see your camera")
        await bob.page.until("document.querySelector('#cam').ariaPressed === 'false'")

        alice = await opened(chromium, here.http_url, "alice")
        await alice.page.until("document.querySelector('#preview').videoWidth > 0")
        await alice.join()
        await bob.has_text("notice", "This browser cannot show the video of this call")
        await alice.page.until(f"!{video('bob')} || {video('bob')}.hidden")
        carol = await opened(chromium, here.http_url, "carol")
        await carol.page.until("document.querySelector('#preview').videoWidth > 0")
        await carol.join()
        await sees(carol, "alice")

        assert bob.page.console == alice.page.console == []
