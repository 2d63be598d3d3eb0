"""Habits that CONTRIBUTING.md asks for: the same checks before a commit and in the gate."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # brings no types of its own

TOP = Path(__file__).parents[2]
SCRIPTS = TOP / "scripts"
CONFIG = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))
HOOKS: list[dict[str, Any]] = [
    hook
    for repo in yaml.safe_load((TOP / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repo["hooks"]
]
GROUPS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
CHECK_COMMIT = SCRIPTS / "check-commit"


def scripts_without_suffix() -> set[str]:
    """Return the Python scripts whose names do not say that they are Python."""
    return {
        str(path.relative_to(TOP))
        for path in SCRIPTS.rglob("*")
        if path.is_file()
        and not path.suffix
        and path.read_bytes().partition(b"\n")[0] == b"#!/usr/bin/env python3"
    }


def gate_steps() -> list[str]:
    """Return the commands of the gate that check something, as scripts/test has them."""
    text = (SCRIPTS / "test").read_text(encoding="utf-8")
    return re.findall(r"^step '[^']+' (.+)$", text, re.MULTILINE)


def versions() -> Iterator[tuple[str, list[str]]]:
    """Yield each heading of the changelog, with the groups of changes below it."""
    text = (TOP / "CHANGELOG.md").read_text(encoding="utf-8")
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        yield section.partition("\n")[0], re.findall(r"^### (.+)$", section, re.MULTILINE)


def check_message(folder: Path, message: str) -> subprocess.CompletedProcess[str]:
    """Run the hook on a commit message."""
    file = folder / "COMMIT_EDITMSG"
    file.write_text(message, encoding="utf-8")
    command = [sys.executable, str(CHECK_COMMIT), str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_mypy_reads_every_python_script_of_ours() -> None:
    folders = {"sfu_wrapper", "tests", "scripts", "docs/examples"}

    assert folders | {*scripts_without_suffix()} == set(CONFIG["tool"]["mypy"]["files"])


def test_ruff_reads_every_python_script_of_ours() -> None:
    patterns = CONFIG["tool"]["ruff"]["extend-include"]

    assert not [
        script
        for script in scripts_without_suffix()
        if not any(Path(script).match(pattern) for pattern in patterns)
    ]


def test_each_check_before_a_commit_is_a_step_of_the_gate() -> None:
    before = {hook["entry"].removeprefix(".venv/bin/") for hook in HOOKS}

    # The gate has the JavaScript checked by a test, which can be skipped where node is missing.
    assert before - {"scripts/check-javascript"} <= set(gate_steps())
    assert (TOP / "tests" / "integration" / "test_javascript.py").exists()


def test_each_quick_step_of_the_gate_is_a_check_before_a_commit() -> None:
    quick = set(gate_steps()) - {'run_tests "$@"'}

    assert quick == {hook["entry"].removeprefix(".venv/bin/") for hook in HOOKS} & quick


def test_the_changelog_has_versions_with_dates_the_newest_first() -> None:
    headings = [heading for heading, _ in versions()]
    found = [re.fullmatch(r"(\d+)\.(\d+)\.(\d+) - \d{4}-\d\d-\d\d", each) for each in headings[1:]]

    assert headings[0] == "Unreleased"
    numbers = [tuple(map(int, each.groups())) for each in found if each]
    assert len(numbers) == len(found)
    assert numbers == sorted(set(numbers), reverse=True)


@pytest.mark.parametrize(("version", "groups"), [*versions()])
def test_each_version_groups_its_changes(version: str, groups: list[str]) -> None:
    assert groups == [group for group in GROUPS if group in groups]


def test_contributors_find_what_they_are_sent_to() -> None:
    text = (TOP / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:sfu_wrapper|scripts|tests|docs)/[\w/.-]+)`", text)

    assert "sfu_wrapper/core" in named
    assert not [name for name in named if not (TOP / name).exists()]


def test_contributors_find_every_folder_of_the_package() -> None:
    text = (TOP / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Where things are")[2]
    folders = {path.parent.name for path in (TOP / "sfu_wrapper").glob("*/*.py")}

    assert not [folder for folder in folders if f"`sfu_wrapper/{folder}" not in text]


def test_pre_commit_accepts_its_configuration() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-config", ".pre-commit-config.yaml"]

    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize(
    "message",
    [
        "Add a check of commit subjects\n",
        "Need two confirmations of a stop\n\nA body says why.\n",
        "Pass the deadline on\n# A comment of git's template\n",
        "R" + "e" * 71,
    ],
)
def test_a_good_commit_message_passes(tmp_path: Path, message: str) -> None:
    done = check_message(tmp_path, message)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("", "empty"),
        ("# only a comment\n", "empty"),
        ("R" + "e" * 72, "73 characters; at most 72"),
        ("Add a store; remove a queue", "semicolon"),
        ("Add a store.", "full stop"),
        ("add a store", "small letter"),
        ("Added a store", '"Added" reports'),
        ("Adding a store", '"Adding" reports'),
        ("Adds a store", '"Adds" reports'),
        ("Add a store\nat once", "empty line"),
    ],
)
def test_a_bad_commit_message_is_refused_with_the_reason(
    tmp_path: Path, message: str, reason: str
) -> None:
    done = check_message(tmp_path, message)

    assert done.returncode == 1
    assert reason in done.stderr
