"""The fast tests under the Pythons of other Debian releases: ``scripts/other-pythons``."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.soak, pytest.mark.timeout(5400)]

TOP = Path(__file__).parents[2]


@pytest.mark.parametrize("release", ["bookworm", "trixie", "forky"])
def test_the_fast_tests_pass_under_the_python_of_that_debian(
    release: str, record_property: Callable[[str, object], None]
) -> None:
    if os.getuid() != 0 or shutil.which("mmdebstrap") is None:
        pytest.skip("needs root and mmdebstrap")

    done = subprocess.run(
        ["scripts/other-pythons", release], cwd=TOP, capture_output=True, text=True, check=False
    )
    summary = done.stdout.strip().rpartition("\n")[2]
    record_property("result", summary)

    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in summary
