"""Rules for the tests themselves: short files, no codes that the product does not give."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from sfu_wrapper.model.errors import Code, JobCode
from tests.helpers.source import nodes

TESTS = Path(__file__).parents[1]
FILES = sorted(TESTS.rglob("*.py"))
MAX_LINES = 500


def name_of(path: Path) -> str:
    return str(path.relative_to(TESTS))


def job_codes(path: Path) -> Iterator[str]:
    """Yield the codes of the failures of jobs that a test expects or sends as JSON."""
    if '"stage"' not in path.read_text(encoding="utf-8"):  # the tree of few files is needed
        return
    for node in nodes(path):
        match node:
            case ast.Dict(keys=keys, values=values):
                literals = {
                    key.value: value.value
                    for key, value in zip(keys, values, strict=True)
                    if isinstance(key, ast.Constant) and isinstance(value, ast.Constant)
                }
                if "stage" in literals and isinstance(literals.get("code"), str):
                    yield str(literals["code"])


def test_there_is_something_to_look_for() -> None:
    found = {code for path in FILES for code in job_codes(path)}

    assert {"MISSING_FILE", "NO_SPACE"} <= found


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_failure_of_a_job_is_invented(path: Path) -> None:
    assert not {code for code in job_codes(path) if code not in {*JobCode, *Code}}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_of_tests_stays_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES
