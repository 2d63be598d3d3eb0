"""``sfu-wrapper doctor`` on an installation of its own, and what it reports."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sfu_wrapper.cli.main import main

Doctor = Callable[..., tuple[int, list[dict[str, str]]]]

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An installation of its own."""
    return tmp_path / "installation"


@pytest.fixture
def doctor(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    """Ask about an installation with these settings: (exit code, the lines of its report)."""
    (folder / "config").mkdir(parents=True)

    def inner(**settings: str | None) -> tuple[int, list[dict[str, str]]]:
        usual: dict[str, str | None] = {
            "AUTH__SECRET": SECRET,
            "STORE__URL": f"sqlite:{folder}/state/store.db",
            "RECORDINGS_PATH": f"{folder}/raw",
            "AUDIO_PATH": f"{folder}/audio",
            "DESTINATION_PATH": f"{folder}/out",
            "LOGS_PATH": f"{folder}/logs",
        }
        for key, value in (usual | settings).items():
            if value is None:
                monkeypatch.delenv(f"SFU_WRAPPER__{key}", raising=False)
            else:
                monkeypatch.setenv(f"SFU_WRAPPER__{key}", value)
        code = main(["doctor", "--json", "--config", str(folder / "config")])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return inner


def about(check: str, report: list[dict[str, str]]) -> list[dict[str, str]]:
    return [line for line in report if line["check"] == check]


def line(report: list[dict[str, str]], words: str) -> dict[str, str]:
    """The one line with these words."""
    (found,) = [row for row in report if words in row["text"]]
    return found
