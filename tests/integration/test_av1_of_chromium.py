"""AV1 in layers from a Chromium at a real Janus, recorded by Janus and read by the product."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import av
import pytest

from sfu_wrapper.adapters.janus.session import VIDEO_ROOM, open_session
from sfu_wrapper.adapters.media.preprocess import preprocess
from sfu_wrapper.ports.media_tools import PreparedVideo
from tests.helpers.chromium import Page, browser, site
from tests.helpers.janus import ADMIN_KEY, JanusServer, running_janus

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

SECONDS = 4
PAGE = """<script>
let connection;
async function offer(mode) {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [640, 480];
  const pen = canvas.getContext('2d');
  setInterval(() => {
    pen.fillStyle = `hsl(${Date.now() / 20 % 360} 80% 50%)`;
    pen.fillRect(0, 0, 640, 480);
  }, 50);
  connection = new RTCPeerConnection();
  const [track] = canvas.captureStream(20).getVideoTracks();
  const encodings = [{scalabilityMode: mode, maxBitrate: 1500000}];
  const settings = {direction: 'sendonly', sendEncodings: encodings};
  const sender = connection.addTransceiver(track, settings);
  const known = RTCRtpSender.getCapabilities('video').codecs;
  sender.setCodecPreferences(known.filter(codec => codec.mimeType === 'video/AV1'));
  await connection.setLocalDescription();
  while (connection.iceGatheringState !== 'complete')
    await new Promise(done => { connection.onicegatheringstatechange = done; });
  return connection.localDescription.sdp;
}
async function encoded() {
  for (const one of (await connection.getStats()).values())
    if (one.type === 'outbound-rtp') return one.framesEncoded > 0 && one.frameWidth;
}
</script>"""


async def recorded(janus: JanusServer, page: Page, mode: str) -> Path:
    """Publish for some seconds, and return the raw file."""
    folder = janus.recordings / mode
    room = {"request": "create", "room": mode, "secret": "s", "admin_key": ADMIN_KEY}
    kept = {"videocodec": "av1", "record": True, "rec_dir": str(folder)}
    async with open_session(janus.address) as session:
        handle = await session.attach(VIDEO_ROOM)
        await handle.request({**room, **kept})
        await handle.request({"request": "join", "ptype": "publisher", "room": mode, "id": "alice"})
        sdp = await page.run(f"offer({mode!r})")
        _, answer = await handle.negotiate({"request": "publish"}, {"type": "offer", "sdp": sdp})
        assert answer is not None
        await page.run(f"connection.setRemoteDescription({json.dumps(answer)})")
        await page.until("encoded()")
        await asyncio.sleep(SECONDS)  # of media: nothing tells that they are over
        await handle.request({"request": "unpublish"})
    (file,) = folder.glob("*.mjr")
    return file


@pytest.mark.parametrize("mode", ["L1T3", "L2T3"])
async def test_the_largest_layer_of_a_browsers_av1_is_shown(tmp_path: Path, mode: str) -> None:
    (tmp_path / "page.html").write_text(PAGE, encoding="utf-8")
    with running_janus(tmp_path / "janus") as janus:
        async with site(tmp_path) as address, browser() as chromium:
            page = await chromium.open(f"{address}/page.html")
            raw = await recorded(janus, page, mode)
        made = preprocess(raw, tmp_path / "made")

    assert isinstance(made, PreparedVideo)
    assert (made.codec, made.packets_lost) == ("av1", 0)
    with av.open(made.path) as container:
        sizes = Counter((frame.width, frame.height) for frame in container.decode(video=0))
    assert sizes.most_common(1)[0][0] == (640, 480)
    assert sizes.total() > 10 * SECONDS
    assert made.end_us > 0.7 * SECONDS * 1_000_000
