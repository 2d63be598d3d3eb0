"""The browser's JavaScript under a type checker: ``scripts/check-javascript``."""

import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
CALL_PAGE = TOP / "sfu_wrapper" / "gateway" / "callpage" / "static"
MISSING = 3  # exit code where node, npm or the type checker cannot be had

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the check; skip the test where there is no type checker."""
    done = subprocess.run(
        ["scripts/check-javascript", *arguments],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == MISSING:
        pytest.skip(done.stdout.strip())
    return done


def copy_of_the_page(folder: Path, name: str, old: str, new: str) -> Path:
    """Copy the page's scripts, with one of them changed."""
    copied = folder / "static"
    shutil.copytree(CALL_PAGE, copied)
    text = (copied / name).read_text(encoding="utf-8")
    assert old in text
    (copied / name).write_text(text.replace(old, new), encoding="utf-8")
    return copied


def test_the_javascript_of_the_call_page_has_no_type_errors() -> None:
    done = check()

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        ("main.js", "words.whyNotRecord(", "words.whyRecord(", "'whyRecord' does not exist"),
        ("main.js", "inCall && recording.active);", "inCal && recording.active);", "'inCal'"),
        ("page.js", ".hidden = !text;", ".invisible = !text;", "'invisible' does not exist"),
        (
            "main.js",
            "me, recording, connected, stops",
            "me, connected, stops",
            "'recording' is missing",
        ),
    ],
)
def test_a_slip_is_found(tmp_path: Path, name: str, old: str, new: str, complaint: str) -> None:
    done = check(str(copy_of_the_page(tmp_path, name, old, new)))

    assert done.returncode != 0
    assert complaint in done.stdout
