"""Configuration files, and the problems that loading them finds."""

from collections.abc import Callable, Mapping
from pathlib import Path

from sfu_wrapper.config.load import Loaded, inspect

Write = Callable[..., Path]


def problems(
    folder: Path | None, environ: Mapping[str, str] | None = None, *overrides: str
) -> list[str]:
    found = inspect(folder, environ or {}, overrides)
    assert not isinstance(found, Loaded)
    return [str(problem) for problem in found]
