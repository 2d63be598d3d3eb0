"""Events of a controller whose clock was set forward: hours of nothing become no hours of video.

Version 0.1.0 took the end of a segment, and of whatever was still open then, from the wall clock.
"""

import json
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from sfu_wrapper.cli.main import main

SAMPLES = Path(__file__).parents[1] / "samples"
MEDIA_S = 3.1  # what seg-2 holds
LATE = "2026-11-24T11:48:08.524Z"  # ten hours after the end of seg-2


def leapt(event: dict[str, Any]) -> None:
    """As 0.1.0 told it: everything that was open ended with the segment, ten hours late."""
    info = event["recordingInfo"]
    end = info["completed"]
    text = json.dumps(info).replace(end, LATE)
    event["recordingInfo"] = json.loads(text)


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Process seg-2 as it was told late; where the results are."""
    monkeypatch.chdir(tmp_path)
    event = json.loads((SAMPLES / "seg-2" / "recordingInfo.json").read_text())
    leapt(event)
    told = tmp_path / "recordingInfo.json"
    told.write_text(json.dumps(event))

    def run(*settings: str) -> Path:
        given = [part for one in settings for part in ("--set", one)]
        folders = ["--recordings", str(SAMPLES), "--audio", str(SAMPLES), "--out", "out"]
        assert main(["process", str(told), *folders, *given]) == 0
        return tmp_path / "out"

    return run


def test_a_merged_file_is_as_long_as_its_media_and_ten_seconds(
    process: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (file,) = process().glob("*.webm")
    with av.open(str(file)) as container:
        assert container.duration is not None
        length_s = container.duration / 1_000_000

    assert MEDIA_S + 9.5 < length_s < MEDIA_S + 10.5
    assert "nothing was recorded for 36000 s" in capsys.readouterr().out


def test_a_split_recording_has_no_hours_of_silence(process: Callable[..., Path]) -> None:
    out = process("split_recording_output=true")
    (file,) = out.rglob("*.wav")
    with wave.open(str(file)) as mix:
        length_s = mix.getnframes() / mix.getframerate()
    (told,) = out.rglob("61408347-conf-1/*.json")
    related = json.loads(told.read_text())

    assert length_s < MEDIA_S + 10.5
    assert related["stopTime"] < "2026-11-24T01:48:20"
    assert related["participants"]["alice"][0]["left"] == related["stopTime"]


@pytest.mark.parametrize("started", ["2026-10-20T00:00:00.000Z", "1970-01-01T00:00:00.000Z"])
def test_a_segment_of_weeks_or_decades_is_processed(
    started: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    event = json.loads((SAMPLES / "seg-2" / "recordingInfo.json").read_text())
    event["recordingInfo"]["started"] = started
    (tmp_path / "event.json").write_text(json.dumps(event))
    folders = ["--recordings", str(SAMPLES), "--audio", str(SAMPLES), "--out", "out"]

    assert main(["process", "event.json", *folders]) == 0

    (file,) = (tmp_path / "out").glob("*.webm")
    with av.open(str(file)) as container:
        assert container.duration is not None
        length_s = container.duration / 1_000_000
    assert MEDIA_S + 9.5 < length_s < MEDIA_S + 10.5
