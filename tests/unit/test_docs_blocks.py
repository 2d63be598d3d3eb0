"""Blocks of code in README.md and docs/ can be read by the program that their language names.

What the blocks do is tried by the tests of their pages, on real programs.
"""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]

from sfu_wrapper.config.load import Loaded, inspect
from tests.helpers.pages import DOCS

PAGES: Final = [DOCS.parent / "README.md", *sorted(DOCS.rglob("*.md"))]
BLOCK: Final = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
# Languages with a reader here, and those without: output and layouts, diagrams (test_diagrams.py),
# settings of other programs.
READ: Final = {"json", "python", "sh", "toml", "yaml"}
UNREAD: Final = {"", "mermaid", "ini"}
RUN: Final = {"js"}  # in a browser, by tests/acceptance/test_sfu_recording.py
# Secrets are in the environment, as the pages say.
SECRETS: Final = {
    f"SFU_WRAPPER__{name}": "0123456789abcdef0123456789abcdef"
    for name in ("AUTH__SECRET", "JANUS__ROOM_SECRET", "ASTERISK__SECRET")
}


def found(language: str) -> list[Any]:
    """Return the blocks of one language, as parameters named by page and number."""
    return [
        pytest.param(dedent(text), id=f"{page.name}-{number}")
        for page in PAGES
        for number, (_, kind, text) in enumerate(BLOCK.findall(page.read_text("utf-8")), 1)
        if kind == language
    ]


def values(text: str) -> Iterator[object]:
    """Yield the JSON values that follow one another."""
    while text := text.strip():
        value, end = json.JSONDecoder().raw_decode(text)
        yield value
        text = text[end:]


def test_a_block_has_a_language_that_is_read_or_excused() -> None:
    kinds = {kind for page in PAGES for _, kind, _ in BLOCK.findall(page.read_text("utf-8"))}

    assert kinds == READ | UNREAD | RUN


def test_no_block_is_overlooked() -> None:
    texts = {page: page.read_text("utf-8") for page in PAGES}
    fences = {page: len(re.findall(r"^ *```", text, re.MULTILINE)) for page, text in texts.items()}

    assert {page: 2 * len(BLOCK.findall(text)) for page, text in texts.items()} == fences


@pytest.mark.parametrize("text", found("json"))
def test_json_is_json(text: str) -> None:
    assert all(isinstance(value, dict | list) for value in values(text))


@pytest.mark.parametrize("text", found("yaml"))
def test_yaml_is_yaml(text: str) -> None:
    assert isinstance(yaml.safe_load(text), dict | list)


@pytest.mark.parametrize("text", found("python"))
def test_python_compiles(text: str) -> None:
    compile(text, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)  # parts of coroutines


@pytest.mark.parametrize("text", found("sh"))
def test_a_shell_can_read_commands(text: str) -> None:
    done = subprocess.run(
        ["bash", "-n"], input=text, capture_output=True, text=True, timeout=20, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("text", found("toml"))
def test_a_configuration_is_accepted(text: str, tmp_path: Path) -> None:
    (tmp_path / "sfu-wrapper.toml").write_text(text, encoding="utf-8")

    read = inspect(tmp_path, SECRETS)
    assert isinstance(read, Loaded), [str(problem) for problem in read]
    assert read.folder == tmp_path
