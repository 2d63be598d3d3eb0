"""The SFU and the mixer are chosen apart: what a configuration comes to."""

from pathlib import Path

import pytest

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.app.planes import media_plane
from sfu_wrapper.config.controller import MediaPlane as Media
from sfu_wrapper.config.processing import Recording
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.core.media_plane import CaptureStopped, StopCapture
from tests.helpers.planes import AUDIO, VIDEO, camera, running, voice


def settings(folder: Path, **media: str) -> Settings:
    recording = Recording(recordings_path=folder / "raw", audio_path=folder / "audio")
    return Settings(media=Media.model_validate(media), recording=recording)


@pytest.mark.parametrize(
    ("media", "names"),
    [
        ({"sfu": "simulated", "mixer": "none"}, (["alice"], [])),
        ({"sfu": "none", "mixer": "simulated"}, ([], [None])),
        ({"sfu": "none", "mixer": "none"}, ([], [])),
    ],
    ids=lambda value: ",".join(value.values()) if isinstance(value, dict) else "",
)
async def test_only_what_is_not_none_writes(
    media: dict[str, str], names: tuple[list[str | None], list[str | None]], tmp_path: Path
) -> None:
    plane = media_plane(settings(tmp_path, **media), SystemClock())
    files: dict[object, list[str | None]] = {}
    async with running(plane) as bench:
        for capture in (VIDEO, AUDIO):
            await bench.start(capture, camera("alice"), voice("alice"))
            bench.send(StopCapture(capture))
            stopped = await bench.until(CaptureStopped, capture)
            files[capture] = [file.user for file in stopped.files]

    assert (files[VIDEO], files[AUDIO]) == names
