"""Session descriptions damaged at random, through the controller's guard to a real Janus.

Whatever a browser sends: Janus lives, records nothing, and serves others.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sfu_wrapper.adapters.janus.session import AUDIO_BRIDGE, VIDEO_ROOM, open_session
from sfu_wrapper.adapters.janus.webrtc import JanusBrowsers
from sfu_wrapper.formats.sdp import plain_description
from sfu_wrapper.model.identity import UserId
from sfu_wrapper.model.media import Stream, Track
from sfu_wrapper.model.webrtc import Accept, FeedPublished, LineRequest, Mix, Publish, Subscribe
from sfu_wrapper.wire.envelope import Unanswerable
from sfu_wrapper.wire.webrtc_signaling import AuthenticateMedia, Enter, parse_media_request
from tests.helpers.browserlines import ALICE, Bench
from tests.helpers.callpage import JANUS_ROOM, meeting_at_janus, opened, rooms_at_janus
from tests.helpers.chromium import browser
from tests.helpers.janus import ADMIN_KEY, JanusServer, running_janus
from tests.helpers.live import live

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]

SECONDS = 60.0
SAMPLES = Path(__file__).parents[1] / "samples"
ROOM, MALLORY = "room-1", UserId("mallory")
FINGERPRINT = ":".join(["AB"] * 32)
OFFER = """v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=msid-semantic: WMS
m={medium} 9 UDP/TLS/RTP/SAVPF {payload}
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:4ZcD
a=ice-pwd:2/1muCWoOi3uLifh0NuRHlDa
a=ice-options:trickle
a=fingerprint:sha-256 {fingerprint}
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
a={direction}
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:{payload} {codec}
a=rtcp-fb:{payload} nack pli
a=fmtp:{payload} x=1
a=ssrc:1001 cname:4TOk42mSjMCkVIa6
"""
VIDEO_SDP = OFFER.format(
    medium="video", payload=96, codec="VP8/90000", direction="sendonly", fingerprint=FINGERPRINT
).replace("\n", "\r\n")
AUDIO_SDP = OFFER.format(
    medium="audio", payload=111, codec="opus/48000/2", direction="sendrecv", fingerprint=FINGERPRINT
).replace("\n", "\r\n")
CANDIDATE = "candidate:1 1 udp 2122260223 127.0.0.2 50000 typ host generation 0 ufrag 4ZcD"


@pytest.fixture
def janus(tmp_path: Path) -> Iterator[JanusServer]:
    with running_janus(tmp_path / "janus") as server:
        yield server


def damaged(text: str, chance: random.Random) -> str:
    """Lines cut, doubled, turned over, or with something else in them, up to six times."""
    lines = text.split("\r\n")
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(1, len(lines))
        line = lines[at]
        match chance.randrange(6):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[chance.randrange(len(lines))])
            case 2:
                lines[at] = line[: chance.randrange(len(line) + 1)]
            case 3:
                lines[at] = line + "A" * chance.choice((1, 100, 5000))
            case 4:
                other = (chr(chance.randrange(32, 127)) for _ in line)
                lines[at] = "".join(map(chance.choice, zip(line, other, strict=True)))
            case 5:
                lines[at] = line.replace("1", chance.choice(("0", "300", "70000", "x")))
        if len(lines) < 3:
            break
    return "\r\n".join(lines)


def line_requests(chance: random.Random, seen: Counter[str]) -> Iterator[LineRequest]:
    """What gets through of all that one hostile browser says."""
    for request in (
        {"endpoint": "publish", "stream": "camera", "sdp": damaged(VIDEO_SDP, chance)},
        {"endpoint": "candidate", "stream": "camera", "candidate": {"candidate": CANDIDATE}},
        {"endpoint": "candidate", "stream": "camera"},
        {"endpoint": "publish", "stream": "screen", "sdp": damaged(VIDEO_SDP, chance)},
        {"endpoint": "mix", "sdp": damaged(AUDIO_SDP, chance)},
    ):
        payload = dict(request)
        body = {"endpoint": payload.pop("endpoint"), "payload": payload, "id": "1"}
        try:
            read = parse_media_request(json.dumps({"type": "request", "payload": body})).payload
        except Unanswerable:
            seen["refused"] += 1
        else:
            assert not isinstance(read, AuthenticateMedia | Enter)
            yield read.line_request(MALLORY)


async def test_janus_survives_whatever_browsers_describe(
    janus: JanusServer, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(20261128)  # noqa: S311  # no secret
    seen: Counter[str] = Counter()
    media = JanusBrowsers(janus.address)
    running = asyncio.create_task(media.run())
    bench = Bench(media, janus.kill, janus.start)
    async with open_session(janus.address) as session:
        room = {"request": "create", "secret": "s", "admin_key": ADMIN_KEY, "room": ROOM}
        await (await session.attach(VIDEO_ROOM)).request(room | {"publishers": 50})
        await (await session.attach(AUDIO_BRIDGE)).request(room | {"sampling_rate": 16_000})
        until_s = time.monotonic() + SECONDS
        while time.monotonic() < until_s:
            mallory = await bench.line(MALLORY, ROOM)
            for line_request in line_requests(chance, seen):
                outcome = await mallory.request(line_request)
                kind = "answered" if outcome is None or isinstance(outcome, str) else outcome.code
                seen[str(kind)] += 1
            mallory.line.close()
            assert not session.lost.is_set(), seen
        good = await bench.line(ALICE, ROOM)
        assert str(await good.request(Publish(Stream.CAMERA, VIDEO_SDP))).startswith("v=0")
        assert str(await good.request(Mix(AUDIO_SDP))).startswith("v=0")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    record_property("asks", sum(seen.values()))
    record_property("outcomes", dict(seen))
    assert not [*janus.folder.rglob("*.mjr"), *janus.folder.rglob("*.wav")]
    assert set(seen) <= {"answered", "refused", "MEDIA_FAILED", "NOT_FOUND"}


async def test_janus_survives_whatever_answers_it_gets(
    janus: JanusServer, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(7)  # noqa: S311  # no secret
    answer = (SAMPLES / "sdp" / "chromium-video-answer.sdp").read_bytes().decode()
    camera = Track(ALICE, Stream.CAMERA)
    seen: Counter[str] = Counter()
    media = JanusBrowsers(janus.address)
    running = asyncio.create_task(media.run())
    bench = Bench(media, janus.kill, janus.start)
    async with (
        live(browsers=JanusBrowsers(janus.address)) as here,
        browser() as chromium,
        rooms_at_janus(janus),
    ):
        await meeting_at_janus(here)
        alice = await opened(chromium, here.http_url, "alice")
        await alice.page.until("document.querySelector('#preview').videoWidth > 0")
        await alice.join()
        until_s = time.monotonic() + SECONDS / 2
        while time.monotonic() < until_s:
            mallory = await bench.line(MALLORY, JANUS_ROOM)
            await mallory.told(FeedPublished(camera))
            for _ in range(3):
                assert str(await mallory.request(Subscribe(camera))).startswith("v=0")
                try:
                    hostile = plain_description(damaged(answer, chance), "video")
                except ValueError:
                    seen["refused"] += 1
                    continue
                outcome = await mallory.request(Accept(camera, hostile))
                seen["answered" if outcome is None else "MEDIA_FAILED"] += 1
            mallory.line.close()
        bob = await opened(chromium, here.http_url, "bob")
        await bob.join()
        await bob.page.until("document.querySelector('video[data-user=alice]')?.videoWidth > 0")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    record_property("outcomes", dict(seen))
