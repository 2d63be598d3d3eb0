"""Files played by a real browser, to their end."""

import json
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.browserlink import Driver
from tests.helpers.chromium import site

_PAGE = """<script>
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


async def played(driver: Driver, folder: Path, files: list[Path]) -> dict[Path, Played]:
    """Play them side by side."""
    (folder / "page.html").write_text(_PAGE, encoding="utf-8")
    names = [str(file.relative_to(folder)) for file in files]
    async with site(folder) as address:
        page = await driver.open(f"{address}/page.html")
        answers = await page.run(f"Promise.all({json.dumps(names)}.map(play))", timeout_s=40)
    return {file: Played(*answer) for file, answer in zip(files, answers, strict=True)}
