"""The scripts for people who work on this: what they say of themselves."""

import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def asked(script: str, option: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / script, option], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize(
    "script",
    [
        "test",
        "soak",
        "mutation",
        "fetch-asterisk",
        "check-javascript",
        "check-commit",
        "release",
        "other-pythons",
    ],
)
def test_help_is_printed_and_nothing_is_started(script: str, option: str, tmp_path: Path) -> None:
    told = asked(script, option, tmp_path)

    assert (told.returncode, told.stderr) == (0, "")
    assert f"\n  scripts/{script} " in told.stdout
    assert not [line for line in told.stdout.splitlines() if line.startswith(("#", "==", "set "))]
