"""Configuration files, and the problems that loading them finds."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from sfu_wrapper.config.load import Loaded, inspect

Write = Callable[..., Path]


def problems(
    folder: Path | None, environ: Mapping[str, str] | None = None, *overrides: str
) -> list[str]:
    found = inspect(folder, environ or {}, overrides)
    assert not isinstance(found, Loaded)
    return [str(problem) for problem in found]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write configuration files: ``write(recording="quality = 'high'")``."""
    names = {
        "config": "config.json",
        "wrapper": "sfu-wrapper.toml",
        "recording": "recording.toml",
        "default": "default.toml",
    }

    def inner(**files: str) -> Path:
        for short, text in files.items():
            (tmp_path / names[short]).write_text(text, encoding="utf-8")
        return tmp_path

    return inner
