"""A recording plays in a browser over a signed link, and is sought through by ranges."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from sfu_wrapper.gateway.rest import files
from sfu_wrapper.gateway.rest.conditions import Span, wanted_span
from tests.helpers.chromium import browser
from tests.helpers.http import pass_for, world
from tests.helpers.recordings import put_ready

pytestmark = pytest.mark.timeout(180)

SECONDS = 120
RATE = 8
NAME = "rec-1.webm"


def movie(folder: Path) -> bytes:
    """Return a WebM file of noise, which has a key frame every two seconds."""
    target = folder / "made.webm"
    noise = np.random.default_rng(1).integers(0, 255, (8, 240, 320, 3), dtype=np.uint8)
    with av.open(str(target), "w") as output:
        stream = output.add_stream("libvpx", rate=RATE)
        stream.width, stream.height, stream.bit_rate = 320, 240, 1_500_000
        stream.options = {"deadline": "realtime", "cpu-used": "8", "g": str(2 * RATE)}
        for number in range(SECONDS * RATE):
            frame = av.VideoFrame.from_ndarray(noise[number % len(noise)], format="rgb24")
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return target.read_bytes()


async def test_a_recording_plays_over_a_link_with_seeking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = movie(tmp_path)
    asked: list[Span | None] = []

    def noted(ranges: Sequence[str], if_range: Sequence[str], tag: str, size: int) -> Span | None:
        asked.append(wanted_span(ranges, if_range, tag, size))
        return asked[-1]

    monkeypatch.setattr(files, "wanted_span", noted)
    async with world(folder=tmp_path) as here, browser() as chromium:
        await put_ready(here.store, tmp_path, {NAME: content})
        host = here.server.url.removeprefix("http://")
        wish = {"name": NAME, "seconds": 600}
        path = "/recordings/uuid-1/1/links"
        answer = await here.ask("POST", path, pass_for("alice"), wish, headers={"Host": host})
        page = await chromium.open("about:blank#video")
        await page.run(
            "globalThis.video = document.createElement('video'); document.body.append(video);"
            f"video.muted = true; video.src = {answer.json['url']!r}; video.play()"
        )
        await page.until("video.currentTime > 0.2")
        assert abs(await page.run("video.duration") - SECONDS) < 1
        await page.run("video.currentTime = 110")
        await page.until("!video.seeking && video.currentTime >= 110 && video.readyState >= 2")

    starts = [span.start for span in asked if span is not None]
    assert any(start > len(content) // 2 for start in starts), starts
