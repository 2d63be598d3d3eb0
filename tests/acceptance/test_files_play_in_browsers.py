"""The finished files play to their end in Chromium and in Firefox, with their frames shown."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from sfu_wrapper.adapters.media.mux import copy_video
from sfu_wrapper.adapters.media.preprocess import preprocess
from sfu_wrapper.model.codecs import VIDEO_INPUT
from tests.helpers import chromium, firefox
from tests.helpers.browserlink import Driver
from tests.helpers.playback import played

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

SAMPLES = Path(__file__).parents[1] / "samples"
Start = Callable[[], AbstractAsyncContextManager[Driver]]

MAKES: Final[Mapping[str, Start]] = {
    "chromium": chromium.browser,
    "firefox": firefox.browser,
}
EVENT = SAMPLES / "seg-2" / "recordingInfo.json"
# Of a large layer that was declared and never sent, Firefox shows the small one as large.
WIDTHS = {
    "chromium": {"l1t3": 320, "l2t3": 640, "l2t3-without-the-large": 320},
    "firefox": {"l1t3": 320, "l2t3": 640, "l2t3-without-the-large": 640},
}


def process(out: Path, *settings: str) -> list[Path]:
    """The files that the command makes of a real recording of 3.1 s."""
    command = [sys.executable, "-m", "sfu_wrapper.cli", "process", str(EVENT), "--json"]
    folders = ["--recordings", str(SAMPLES), "--audio", str(SAMPLES), "--out", str(out)]
    pairs = [part for setting in settings for part in ("--set", setting)]
    done = subprocess.run([*command, *folders, *pairs], capture_output=True, timeout=50, check=True)
    return [Path(file["filename"]) for file in json.loads(done.stdout)["files"]]


@pytest.fixture(scope="module", params=MAKES)
def make(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def driver(make: str) -> AsyncIterator[Driver]:
    async with MAKES[make]() as browser:
        yield browser


@dataclass(frozen=True, slots=True)
class Made:
    """What was made of a recording, all below one folder."""

    folder: Path
    merged: list[Path]
    split: list[Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    vp8, _ = process(folder / "vp8")
    vp9, _ = process(folder / "vp9", "webm_codec=vp9")
    split = process(folder / "split", "split_recording_output=true")
    return Made(folder, [vp8, vp9], [file for file in split if file.suffix != ".json"])


async def test_merged_and_split_files_play_to_their_end(driver: Driver, made: Made) -> None:
    seen = await played(driver, made.folder, [*made.merged, *made.split])

    assert {file.suffix for file in made.split} == {".webm", ".mp4", ".wav"}
    assert {one.end for one in seen.values()} == {"ended"}
    assert all((seen[file].width, seen[file].height) == (640, 480) for file in made.merged)
    assert all(abs(seen[file].duration_s - 3.1) < 0.1 for file in made.merged)
    for file, one in seen.items():
        # A busy machine leaves some out; a frame that stands would be one.
        assert one.shown >= (0 if file.suffix == ".wav" else 20), file.name


@pytest.mark.parametrize("name", WIDTHS["chromium"])
async def test_split_files_of_av1_in_layers_play_to_their_end(
    driver: Driver, tmp_path: Path, make: str, name: str
) -> None:
    source = preprocess(SAMPLES / "av1" / f"{name}.mjr", tmp_path)
    assert source is not None
    files = [tmp_path / f"copy{suffix}" for suffix in VIDEO_INPUT["av1"].suffixes]
    for file in files:
        copy_video(source.path, file, VIDEO_INPUT["av1"])

    seen = await played(driver, tmp_path, files)

    assert {one.end for one in seen.values()} == {"ended"}
    assert {one.width for one in seen.values()} == {WIDTHS[make][name]}
    assert all(one.shown >= 20 for one in seen.values())
