"""The finished files play to their end in a real browser, with their frames shown."""

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from sfu_wrapper.adapters.media.mux import copy_video
from sfu_wrapper.adapters.media.preprocess import preprocess
from sfu_wrapper.model.codecs import VIDEO_INPUT
from tests.helpers.chromium import browser, site

pytestmark = pytest.mark.system

SAMPLES = Path(__file__).parents[1] / "samples"
EVENT = SAMPLES / "seg-2" / "recordingInfo.json"
PAGE = """<script>
async function play(name) {
  const video = document.createElement('video');
  let shown = 0;
  const count = (_, what) => {
    shown = what.presentedFrames;
    video.requestVideoFrameCallback(count);
  };
  video.requestVideoFrameCallback(count);
  video.muted = true;
  video.src = name;
  document.documentElement.append(video);
  const over = new Promise(resolve => {
    video.onended = () => resolve('ended');
    video.onerror = () => resolve(video.error.message);
  });
  await video.play().catch(() => 0);
  return [await over, shown, video.videoWidth, video.videoHeight, video.duration];
}
</script>"""


@dataclass(frozen=True, slots=True)
class Played:
    """How playing a file went: frames that were presented, its size in pixels, its length."""

    end: str
    shown: int
    width: int
    height: int
    duration_s: float


def process(out: Path, *settings: str) -> list[Path]:
    """The files that the command makes of a real recording of 3.1 s."""
    command = [sys.executable, "-m", "sfu_wrapper.cli", "process", str(EVENT), "--json"]
    folders = ["--recordings", str(SAMPLES), "--audio", str(SAMPLES), "--out", str(out)]
    pairs = [part for setting in settings for part in ("--set", setting)]
    done = subprocess.run([*command, *folders, *pairs], capture_output=True, timeout=50, check=True)
    return [Path(file["filename"]) for file in json.loads(done.stdout)["files"]]


async def played(folder: Path, files: list[Path]) -> dict[Path, Played]:
    """Play them side by side."""
    (folder / "page.html").write_text(PAGE, encoding="utf-8")
    names = [str(file.relative_to(folder)) for file in files]
    async with site(folder) as address, browser() as chromium:
        page = await chromium.open(f"{address}/page.html")
        answers = await page.run(f"Promise.all({json.dumps(names)}.map(play))", timeout_s=40)
    return {file: Played(*answer) for file, answer in zip(files, answers, strict=True)}


async def test_merged_and_split_files_play_to_their_end(tmp_path: Path) -> None:
    vp8, _ = await asyncio.to_thread(process, tmp_path / "vp8")
    vp9, _ = await asyncio.to_thread(process, tmp_path / "vp9", "webm_codec=vp9")
    split = await asyncio.to_thread(process, tmp_path / "split", "split_recording_output=true")
    media = [file for file in split if file.suffix != ".json"]

    seen = await played(tmp_path, [vp8, vp9, *media])

    assert {file.suffix for file in media} == {".webm", ".mp4", ".wav"}
    assert {one.end for one in seen.values()} == {"ended"}
    assert all((seen[file].width, seen[file].height) == (640, 480) for file in (vp8, vp9))
    assert all(abs(seen[file].duration_s - 3.1) < 0.1 for file in (vp8, vp9))
    for file, one in seen.items():
        # A busy machine leaves some out; a frame that stands would be one.
        assert one.shown >= (0 if file.suffix == ".wav" else 20), file.name


@pytest.mark.parametrize("name", ["l1t3", "l2t3", "l2t3-without-the-large"])
async def test_split_files_of_av1_in_layers_play_to_their_end(tmp_path: Path, name: str) -> None:
    source = preprocess(SAMPLES / "av1" / f"{name}.mjr", tmp_path)
    assert source is not None
    files = [tmp_path / f"copy{suffix}" for suffix in VIDEO_INPUT["av1"].suffixes]
    for file in files:
        copy_video(source.path, file, VIDEO_INPUT["av1"])

    seen = await played(tmp_path, files)

    assert {one.end for one in seen.values()} == {"ended"}
    assert {one.width for one in seen.values()} == {640 if name == "l2t3" else 320}
    assert all(one.shown >= 20 for one in seen.values())
