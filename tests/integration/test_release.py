"""``scripts/release`` on a copy of this tree: what it writes, builds, tries and refuses."""

import datetime
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PARTS = (
    "sfu_wrapper", "scripts", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md",
    ".gitignore",
)  # fmt: skip
VERSION = "99.0.1"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return the folder of a copy, with something unreleased."""
    folder = tmp_path / "copy"
    folder.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    for name in PARTS:
        if (TOP / name).is_dir():
            shutil.copytree(TOP / name, folder / name, ignore=ignored)
        else:
            shutil.copy(TOP / name, folder / name)
    change(folder / "CHANGELOG.md", "## Unreleased\n", "## Unreleased\n\n### Added\n\n- A thing.\n")
    return folder


def change(path: Path, old: str, new: str) -> None:
    """Replace the first occurrence of a text."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def release(folder: Path, version: str) -> subprocess.CompletedProcess[str]:
    """Make a release of the copy, without fetching anything."""
    command = [sys.executable, "scripts/release.py", version, "--offline"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def state(folder: Path) -> list[str]:
    """Return what a release writes."""
    return [(folder / name).read_text() for name in ("CHANGELOG.md", "sfu_wrapper/__init__.py")]


def test_a_release_is_dated_built_and_tried(copy: Path) -> None:
    before = (copy / "CHANGELOG.md").read_text()
    done = release(copy, VERSION)
    assert (done.returncode, done.stderr) == (0, "")

    today = datetime.datetime.now(tz=datetime.UTC).date()
    changelog, package = state(copy)
    heading = f"## Unreleased\n\n## {VERSION} - {today}\n"
    assert changelog == before.replace("## Unreleased\n", heading, 1)
    assert f'__version__ = "{VERSION}"' in package
    assert re.search(r"^http://127\.0\.0\.1:\d+/health/live: 200$", done.stdout, re.MULTILINE)
    assert f"git tag --annotate v{VERSION}" in done.stdout
    wheel = copy / "dist" / f"sfu_wrapper-{VERSION}-py3-none-any.whl"
    assert (copy / "dist" / f"sfu_wrapper-{VERSION}.tar.gz").exists()
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"sfu_wrapper-{VERSION}.dist-info/METADATA").decode()
    assert f"\nVersion: {VERSION}\n" in metadata


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        (
            "pyproject.toml",
            'packages = ["sfu_wrapper"]\n',
            'packages = ["sfu_wrapper"]\nexclude = ["*.js"]\n',
            "page.js",
        ),
        (
            "sfu_wrapper/cli/main.py",
            'version=f"sfu-wrapper {__version__}"',
            'version="sfu-wrapper 1.0"',
            'the installed command says "sfu-wrapper 1.0"',
        ),
        (
            "sfu_wrapper/gateway/rest/app.py",
            '"/health/live"',
            '"/health/alive"',
            "the installed controller does not answer",
        ),
    ],
    ids=["files are missing", "another version", "no health"],
)
def test_a_release_that_does_not_work_is_not_made(
    copy: Path, file: str, old: str, new: str, complaint: str
) -> None:
    change(copy / file, old, new)
    before = state(copy)

    done = release(copy, VERSION)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert state(copy) == before


@pytest.mark.parametrize(
    ("version", "old", "new", "complaint"),
    [
        ("0.0.1", "", "", "0.0.1 is not newer than"),
        ("1.0", "", "", "1.0 is not a version"),
        (VERSION, "\n### Added\n", "\n### News\n", "News is no group of changes"),
        (VERSION, "## Unreleased\n", "## Unreleased\n\n## 99.0.0 - 2026-01-01\n", "nothing under"),
        (VERSION, "## Unreleased\n", "## Later\n", "no section Unreleased"),
    ],
)
def test_a_release_that_makes_no_sense_is_refused(
    copy: Path, version: str, old: str, new: str, complaint: str
) -> None:
    change(copy / "CHANGELOG.md", old, new)
    before = state(copy)

    done = release(copy, version)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert state(copy) == before
    assert not (copy / "dist").exists()


def test_changes_that_are_not_committed_are_refused(copy: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=copy, check=True)

    done = release(copy, VERSION)
    assert done.returncode == 1
    assert "commit these changes first:" in done.stderr
