"""A split video of a phone that was held upright is shown upright, in a real browser too."""

import asyncio
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.helpers import chromium, firefox
from tests.helpers.chromium import site
from tests.helpers.drawn import START_MS, Result, Segment, encode, packets
from tests.helpers.samples import Received

SIZE = (160, 120)
ORIENTATION = {0: b"\0", 90: b"\1", 180: b"\2", 270: b"\3"}
CODECS = ("vp8", "vp9", "h264")
PAGE = """<script>
async function look(name) {
  const video = document.createElement('video');
  video.muted = true;
  video.src = name;
  const ready = new Promise((resolve, reject) => {
    video.onseeked = resolve;
    video.onerror = () => reject(video.error.message);
  });
  video.onloadeddata = () => { video.currentTime = 0.5; };
  document.documentElement.append(video);
  await ready;
  const canvas = document.createElement('canvas');
  const [width, height] = [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0);
  const at = (x, y) => context.getImageData(x * width, y * height, 1, 1).data[0];
  return [width, height, at(0.5, 0.1), at(0.5, 0.9), at(0.1, 0.5), at(0.9, 0.5)];
}
</script>"""


def half_white(at_ms: int) -> av.VideoFrame:
    """A frame that is white on the left and black on the right."""
    width, height = SIZE
    pixels = np.full((height * 3 // 2, width), 128, np.uint8)
    pixels[:height] = 16
    pixels[:height, : width // 2] = 235
    frame = av.VideoFrame.from_ndarray(pixels, format="yuv420p")
    frame.pts, frame.time_base = at_ms, Fraction(1, 1000)
    return frame


def filmed(codec: str, turns: dict[int, int]) -> list[Received]:
    """The packets of a camera of 3 s; ``turns``: degrees from a time, ms, on."""
    frames = encode(codec, range(0, 3000, 100), draw=half_white)
    received = packets(codec, frames)
    for ms, packet in received:
        degrees = [turn for at_ms, turn in turns.items() if at_ms <= ms][-1]
        if packet.marker:
            object.__setattr__(packet, "extensions", ((3, ORIENTATION[degrees]),))
    return received


def split(folder: Path, turns: dict[int, int], *codecs: str) -> Result:
    """The split recording of a call in which a camera of each codec turns like that."""
    folder.mkdir(exist_ok=True)
    call = Segment(folder, 3)
    for codec in codecs:
        call.track(codec, filmed(codec, turns), user=codec, turnable=True)
    return call.process(split=True)


def description(done: Result) -> list[dict[str, Any]]:
    """What the JSON file says of the videos."""
    (name,) = [one.filename for one in done.processed.files if one.kind == "metadata"]
    videos: list[dict[str, Any]] = json.loads(Path(name).read_bytes())["videos"]
    return videos


def sides(degrees: int) -> list[bool]:
    """Which sides are white where the frame is turned: top, bottom, left, right."""
    side = {0: 2, 90: 0, 180: 3, 270: 1}[degrees]
    return [side == number for number in range(4)]


@pytest.mark.system
async def test_chromium_shows_it_upright_and_firefox_where_it_is_mp4(tmp_path: Path) -> None:
    wanted: dict[Path, int] = {}
    for degrees in ORIENTATION:
        done = await asyncio.to_thread(split, tmp_path / f"{degrees}", {0: degrees}, *CODECS)
        wanted |= dict.fromkeys((done.video(number) for number in range(len(CODECS))), degrees)
    (tmp_path / "page.html").write_text(PAGE, encoding="utf-8")
    names = [str(file.relative_to(tmp_path)) for file in wanted]

    async with site(tmp_path) as address, chromium.browser() as first, firefox.browser() as second:
        pages = [await each.open(f"{address}/page.html") for each in (first, second)]
        looks = f"Promise.all({json.dumps(names)}.map(look))"
        seen = [await page.run(looks, timeout_s=40) for page in pages]

    assert {file.suffix for file in wanted} == {".webm", ".mp4"}
    # Firefox 153 obeys the rotation of MP4 alone.
    in_firefox = {file: degrees if file.suffix == ".mp4" else 0 for file, degrees in wanted.items()}
    turned = [*wanted.items(), *in_firefox.items()]
    for (file, degrees), (width, height, *bright) in zip(turned, seen[0] + seen[1], strict=True):
        assert (width, height) == (SIZE if degrees in (0, 180) else SIZE[::-1]), file
        white = [value > 128 for value in bright]
        in_line = sides(degrees)
        across = slice(0, 2) if degrees in (90, 270) else slice(2, 4)
        assert white[across] == in_line[across], (file, bright)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_the_file_of_a_phone_that_never_turned_says_so_once(
    tmp_path: Path, codec: str, degrees: int
) -> None:
    done = split(tmp_path, {0: degrees}, codec)

    with av.open(str(done.video())) as reader:
        frames = list(reader.decode(video=0))
    assert len(frames) == 30
    assert {round(frame.rotation) % 360 for frame in frames} == {-degrees % 360}
    (video,) = description(done)
    assert video["rotation"] == degrees
    assert "turns" not in video


def test_an_upright_camera_is_described_as_before(tmp_path: Path) -> None:
    done = split(tmp_path, {0: 0}, "vp8")

    (video,) = description(done)
    assert video.keys() == {"startTime", "stopTime", "filename", "size", "userID"}


@pytest.mark.parametrize(
    ("turns", "rotation"),
    [({0: 0, 1000: 90}, 90), ({0: 270, 2500: 0}, 270), ({0: 90, 500: 0, 2600: 180}, 0)],
)
def test_a_turn_in_mid_call_is_reported(
    tmp_path: Path, turns: dict[int, int], rotation: int
) -> None:
    done = split(tmp_path, turns, "h264")

    (video,) = description(done)
    assert video["rotation"] == rotation
    told = [(turn["time"], turn["rotation"]) for turn in video["turns"]]
    assert [degrees for _, degrees in told] == list(turns.values())
    assert told[0][0] == video["startTime"]
    for (time, _), at_ms in zip(told, turns, strict=True):
        assert time.endswith("Z")
        assert abs(int(time[17:19]) * 1000 + int(time[20:23]) - (START_MS + at_ms) % 60_000) <= 2
