"""AV1 in layers from a Chromium, with a Firefox beside it: recorded, merged, split and played.

Alice's Chromium is red and sends L2T3, Bob's Firefox is blue. The same call is recorded twice.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import pytest

from tests.helpers import chromium, firefox
from tests.helpers.browsercalls import casts, missed, two_browsers
from tests.helpers.janus import JanusServer, running_janus
from tests.helpers.playback import Played, played

pytestmark = [pytest.mark.system, pytest.mark.timeout(200)]

SIZE = (640, 480)
STAY_S = 3.0
LAYERS = """
globalThis.connections = [];
const add = RTCPeerConnection.prototype.addTransceiver;
RTCPeerConnection.prototype.addTransceiver = function (track, settings) {
  if (track.kind !== "video") return add.call(this, track, settings);
  connections.push(this);
  const sendEncodings = [{ scalabilityMode: "L2T3", maxBitrate: 1500000 }];
  return add.call(this, track, { ...settings, sendEncodings });
};
"""
SENT = """(async () => {
  for (const one of (await connections.at(-1).getStats()).values())
    if (one.type === "outbound-rtp" && one.frameHeight === 480) return one.scalabilityMode;
})()"""


@dataclass
class Recorded:
    """What came of the call.

    mode: of the layers that Alice's browser says it sends. played: how the split videos played, by
    browser. missed: what the workers missed.
    """

    folder: Path
    mode: str = ""
    played: dict[str, dict[Path, Played]] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)

    @property
    def merged(self) -> Path:
        """The file of the first segment."""
        (file,) = (self.folder / "out").glob("*.webm")
        return file

    @property
    def split(self) -> list[Path]:
        """The videos of the second segment."""
        return sorted((self.folder / "out").glob("*/*.webm"))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    folder = tmp_path_factory.mktemp("call")
    with running_janus(folder / "janus") as janus:
        yield asyncio.run(scenario(janus, Recorded(folder)))


async def scenario(janus: JanusServer, recorded: Recorded) -> Recorded:
    codecs = {"JANUS__VIDEO_CODECS": '["av1"]'}
    async with two_browsers(janus, recorded.folder, size=SIZE, script=LAYERS, **codecs) as call:
        recorded.mode = await call.alice.page.until(SENT)
        await call.record(lambda: asyncio.sleep(STAY_S))
        lines = await call.process()
        await call.record(lambda: asyncio.sleep(STAY_S))
    lines += await call.process(SPLIT_RECORDING_OUTPUT="true")
    recorded.missed = missed(lines)
    async with chromium.browser() as first, firefox.browser() as second:
        for driver in (first, second):
            seen = await played(driver, recorded.folder / "out", recorded.split)
            recorded.played[type(driver).__module__] = seen
    return recorded


def codec_and_size(file: Path) -> tuple[str, int, int]:
    with av.open(file) as container:
        (video,) = container.streams.video
        return video.codec_context.name, video.width, video.height


def test_the_call_is_one_of_av1_in_layers(recorded: Recorded) -> None:
    assert recorded.mode == "L2T3"
    assert [codec_and_size(file) for file in recorded.split] == [("libdav1d", *SIZE)] * 2


def test_both_are_seen_in_the_merged_file(recorded: Recorded) -> None:
    assert casts(recorded.merged) == ["alice bob"]
    with av.open(recorded.merged) as container:
        assert float(container.duration or 0) / 1e6 == pytest.approx(STAY_S, abs=1)


def test_the_split_videos_play_in_both_browsers(recorded: Recorded) -> None:
    assert [file.name.split("-")[3] for file in recorded.split] == ["alice", "bob"]
    assert len(recorded.played) == 2
    for seen in recorded.played.values():
        assert set(seen) == set(recorded.split)
        for one in seen.values():
            assert (one.end, one.width, one.height) == ("ended", *SIZE)
            assert one.duration_s == pytest.approx(STAY_S, abs=1)
            assert one.shown >= STAY_S  # a busy machine leaves most of them out


def test_nothing_is_missing(recorded: Recorded) -> None:
    assert recorded.missed == []
