"""What every long-running command does first: read its configuration, and log as it says."""

import json
import logging
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest

from sfu_wrapper.cli import common
from sfu_wrapper.model.errors import Misconfigured
from sfu_wrapper.observe.logs import ROOT


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging as it was before the test."""
    root, ours = logging.getLogger(), logging.getLogger(ROOT)
    before = root.handlers, root.level, ours.level
    yield
    root.handlers = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def test_what_is_odd_is_the_first_thing_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "default.toml").write_text("[log]\nformat = 'json'\nlevel = 'warn'")
    (tmp_path / "recording.toml").write_text("mix_limit = 10")

    settings = common.start(Namespace(config=tmp_path))
    captured = capsys.readouterr()
    assert settings.recording.mix_limit == 10
    assert captured.out == ""
    line = json.loads(captured.err)
    assert line["level"] == "warn"
    assert line["message"] == "config.note"
    assert line["note"] == "mix_limit = 10: above 9 the output is always split"


@pytest.mark.parametrize(
    ("relative", "shown"), [("true", "room-a/b.mjr"), ("false", "/rec/raw/room-a/b.mjr")]
)
def test_paths_in_the_log_are_as_configured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], relative: str, shown: str
) -> None:
    (tmp_path / "default.toml").write_text(f"[log]\nrelativePaths = {relative}")
    (tmp_path / "recording.toml").write_text("recordings_path = '/rec/raw/'")

    common.start(Namespace(config=tmp_path))
    logging.getLogger(ROOT).debug("Processing video: %s.", "/rec/raw/room-a/b.mjr")
    assert capsys.readouterr().err.rstrip().endswith(f" debug Processing video: {shown}.")


def test_what_a_command_line_sets_counts(tmp_path: Path) -> None:
    loaded = common.configured(Namespace(config=tmp_path, set=["quality=high"]))

    assert loaded.settings.recording.quality == "high"
    assert loaded.sources["quality",] == "--set"


@pytest.mark.parametrize(
    "given", ["auth.secret=hush", "Auth.Secret = hush", "janus.apiSecret=hush"]
)
def test_a_secret_is_not_taken_from_a_command_line(tmp_path: Path, given: str) -> None:
    with pytest.raises(Misconfigured, match="can read command lines") as caught:
        common.configured(Namespace(config=tmp_path, set=["quality=high", given]))

    assert "_SECRET_FILE" in caught.value.detail
    assert "hush" not in caught.value.detail
