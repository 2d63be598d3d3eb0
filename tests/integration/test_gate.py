"""The rule that nothing is skipped in silence, on a project of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TESTS = """
import pytest

def test_that_runs(): pass

@pytest.mark.parametrize("way", ["a", "b"])
def test_that_is_skipped(way): pytest.skip("no such program")

@pytest.mark.xfail(strict=True)
def test_that_is_expected_to_fail(): assert False
"""


def closing_line(folder: Path, skips: str) -> tuple[int, str]:
    shutil.copy(CONFTEST, folder)
    (folder / "skips.txt").write_text(skips)
    without = ["-p", "no:cacheprovider", "-p", "no:tests.helpers.rabbitmq"]
    command = [sys.executable, "-m", "pytest", "-q", *without, str(folder)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # loading them takes a second
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("skips", "code", "summary"),
    [
        ("", 1, "3 failed, 1 passed"),
        ("test_x.py::test_that_is_skipped[a] | why\n", 1, "2 failed, 1 passed, 1 skipped"),
        ("# all\ntest_x.py::* | why\n", 0, "1 passed, 2 skipped, 1 xfailed"),
        ("test_x.py::*", 4, "no reason beside test_x.py::*"),
    ],
    ids=["none listed", "one listed", "all listed", "no reason given"],
)
def test_a_skip_that_is_not_listed_is_a_failure(
    tmp_path: Path, skips: str, code: int, summary: str
) -> None:
    (tmp_path / "test_x.py").write_text(TESTS)

    returned, last = closing_line(tmp_path, skips)
    assert summary in last
    assert returned == code


def test_a_module_that_skips_itself_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_y.py").write_text("import pytest\npytest.importorskip('nowhere')\n")

    assert "1 error" in closing_line(tmp_path, "")[1]
    code, last = closing_line(tmp_path, "test_y.py | needs nowhere")
    assert code == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "1 skipped" in last
