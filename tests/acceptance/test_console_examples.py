"""Commands whose output a page shows: run again, they print the same."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.pages import DOCS, blocks

TOP = DOCS.parent
BIN = Path(sys.executable).parent
SIZE = re.compile(r"\b\d+\.\d{6}MB")
TITLES = [
    ("reference/policy.md", "Why a room does not start automatically"),
    ("reference/recordings.md", "Recordings: inputs and finished files"),
    ("reference/recordings.md", "What it reads"),
]


def examples(page: str, title: str) -> list[tuple[str, list[str]]]:
    """Return each command below a heading, with the output that the page shows."""
    found: list[tuple[str, list[str]]] = []
    for text in blocks(page, title):
        if text.startswith("$ "):
            for part in re.split(r"^\$ ", text.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
                command, *output = part.splitlines()
                found.append((command, output))
    return found


def shown(line: str, folder: Path) -> str:
    """Return a line as pages show it: folders left out; sizes differ with the encoder."""
    return SIZE.sub("0MB", line.replace(str(folder), "…"))


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("page", "title"), TITLES, ids=lambda part: part)
def test_a_command_prints_what_the_page_shows(page: str, title: str, tmp_path: Path) -> None:
    (tmp_path / "tests").symlink_to(TOP / "tests")
    (tmp_path / "config").mkdir()
    found = examples(page, title)
    assert found

    for command, output in found:
        run = subprocess.run(
            ["bash", "-euc", f'PATH="{BIN}:$PATH"\n{command}'],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        printed = [shown(line, tmp_path) for line in run.stdout.splitlines()]
        assert printed == [shown(line, tmp_path) for line in output]
