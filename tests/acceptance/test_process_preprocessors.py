"""``sfu-wrapper process`` on damaged recordings: both preprocessors save the same, and say so.

Janus was killed while it recorded ``crash``; a file cut in the middle, an empty one and one of
eight bytes are added to its event here.
"""

import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.frames import TONES_HZ, audible_s, counter, decode_audio, timed_frames, whose
from tests.helpers.samples import SAMPLES

pytestmark = pytest.mark.system

OUTPUTS = {"merged": "false", "split": "true"}
PREPROCESSORS = ("builtin", "janus-pp-rec")
WARNINGS = {
    "crash/videoroom-conf-1-user-alice-1795484888626998-video-1.mjr: the file ends within a packet",
    "crash/videoroom-conf-1-user-carol-1795484888627095-video-1.mjr: the file ends within a packet",
    "truncated-9000-bytes.mjr: the file ends within a packet",
    "empty.mjr holds no frame",
    "magic-only.mjr holds no frame",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401 a cached function
    @cache
    def process(output: str, preprocessor: str) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("damaged")
        raw = shutil.copytree(SAMPLES, folder / "raw")
        event = json.loads((raw / "crash" / "recordingInfo.json").read_bytes())
        info = event["recordingInfo"]
        for user, name in (
            ("tina", "truncated-9000-bytes"),
            ("erik", "empty"),
            ("max", "magic-only"),
        ):
            times = {"startTime": info["started"], "stopTime": info["completed"]}
            info["video"][user] = {"sfuvideo": {"1": {"filename": f"{name}.mjr", **times}}}
        file = folder / "event.json"
        file.write_text(json.dumps(event))
        settings = [f"split_recording_output={OUTPUTS[output]}", f"preprocessor={preprocessor}"]
        command = [sys.executable, "-m", "sfu_wrapper.cli", "process", str(file), "--json",
                   "--recordings", str(raw), "--audio", str(raw), "--out", str(folder / "out"),
                   *(word for one in settings for word in ("--set", one))]  # fmt: skip
        done = subprocess.run(command, capture_output=True, timeout=50, check=True)
        message: dict[str, Any] = json.loads(done.stdout)
        return message

    return process


def videos(message: dict[str, Any]) -> list[Path]:
    kinds = ("merged", "video")
    return sorted(Path(f["filename"]) for f in message["files"] if f["kind"] in kinds)


@pytest.mark.parametrize("preprocessor", PREPROCESSORS)
@pytest.mark.parametrize("output", OUTPUTS)
def test_what_is_missing_is_told(made: Any, output: str, preprocessor: str) -> None:  # noqa: ANN401
    message = made(output, preprocessor)

    assert message["output"] == output
    assert set(message["warnings"]) >= WARNINGS
    assert len(videos(message)) == (1 if output == "merged" else 3)


@pytest.mark.parametrize("output", OUTPUTS)
def test_both_preprocessors_save_the_same_frames(made: Any, output: str) -> None:  # noqa: ANN401
    ours, theirs = (made(output, preprocessor) for preprocessor in PREPROCESSORS)

    assert [path.name for path in videos(ours)] == [path.name for path in videos(theirs)]
    assert [told for told in ours["warnings"] if "clock" not in told] == [
        told for told in theirs["warnings"] if "clock" not in told
    ]
    for a, b in zip(videos(ours), videos(theirs), strict=True):
        seen = [[(whose(s.rgb), counter(s.rgb)) for s in timed_frames(path)] for path in (a, b)]
        assert seen[0] == seen[1]
        assert len(seen[0]) > 30


def test_the_audio_of_a_killed_mixer_is_read_to_its_end(made: Any) -> None:  # noqa: ANN401
    for preprocessor in PREPROCESSORS:
        (mix,) = (f for f in made("split", preprocessor)["files"] if f["kind"] == "audio")
        assert audible_s(decode_audio(Path(mix["filename"])), TONES_HZ["alice"])[1] > 5.9
