"""Whatever we write is for our own user alone, while a call runs and after it."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SECONDS = "1"


def modes(root: Path) -> dict[str, int]:
    """Of every file and folder below a folder, and of itself."""
    found = {}
    below = (
        Path(folder, name)
        for folder, folders, files in os.walk(root)  # leaves out folders that are removed meanwhile
        for name in (*folders, *files)
    )
    for path in (root, *below):
        try:
            status = path.lstat()
        except FileNotFoundError:  # removed since its folder was read
            continue
        if not stat.S_ISLNK(status.st_mode):
            found[str(path.relative_to(root))] = stat.S_IMODE(status.st_mode)
    return found


@pytest.fixture
def demo(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A controller, a worker, a store, a queue and simulated media, under a generous umask."""
    arguments = ["--json", "--seconds", SECONDS, "--keep-serving", "--out", str(tmp_path / "out")]
    with subprocess.Popen(
        [sys.executable, "-m", "sfu_wrapper.cli", "demo", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        umask=0,
    ) as process:
        yield process
        process.send_signal(signal.SIGINT)
        process.wait(60)


@pytest.mark.timeout(150)
def test_nobody_else_may_read_or_change_what_a_whole_call_writes(
    demo: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    assert demo.stdout is not None
    found: dict[str, int] = {}
    for line in demo.stdout:
        found |= modes(tmp_path / "out")
        if "keeps serving" in line:
            break

    endings = {Path(name).suffix for name in found}
    assert {".mjr", ".wav", ".webm", ".jpg", ".log", ".manifest", ".db"} <= endings
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}
