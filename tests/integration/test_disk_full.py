"""A full disk, whenever it fills up: said as such, nothing half-written, and the next try succeeds.

The disks are small tmpfs in a mount namespace of their own, larger from try to try.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.deathpoints import record
from tests.helpers.owners import Owner, owner

__all__ = ["owner"]
pytestmark = pytest.mark.system

MAIL = "recordings@example.org"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """One second of media and its event, all in one folder."""
    folder = tmp_path / "raw"
    event = record(folder, folder)
    (folder / "event.json").write_text(json.dumps(event))
    return folder


def tried(raw: Path, sizes: list[int], **settings: object) -> list[dict[str, Any]]:
    """How each try ended, on disks of so many KiB for everything that is written."""
    out = raw.parent / "out"
    out.mkdir()
    python = [sys.executable, "-m", "tests.helpers.crammed", str(raw), str(out)]
    command = ["unshare", "--mount", "--map-root-user", *python, json.dumps(settings)]
    done = subprocess.run(
        [*command, *map(str, sizes)], capture_output=True, text=True, timeout=55, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(tries: list[dict[str, Any]], stages: list[str]) -> None:
    """The tries failed in these stages, for want of space, and after them one succeeded."""
    *failed, last = tries
    assert [told["stage"] for told in failed] == stages
    for told in failed:
        assert told["code"] == "NO_SPACE"
        assert not told["permanent"]
        assert "free some, then process the event again" in told["detail"]
        assert told["final"] == []
        assert told["kept"] > 0 or told["stage"] == "preprocess"
    assert last["code"] == "done"
    assert len(last["final"]) == len(last["files"]) > 0


def test_a_merged_recording(raw: Path) -> None:
    tries = tried(raw, [4, 8, 20, 32, 200])

    check(tries, ["preprocess", "deliver", "compose", "deliver"])


def test_a_split_recording(raw: Path) -> None:
    tries = tried(raw, [4, 8, 20, 40, 200], split_recording_output=True)

    assert {told["stage"] for told in tries[:-1]} >= {"preprocess", "deliver", "split"}
    check(tries, [told["stage"] for told in tries[:-1]])


def test_an_encrypted_recording(raw: Path, owner: Owner, tmp_path: Path) -> None:
    owner.make(MAIL)
    key = owner.public(tmp_path / "key.asc")
    settings = {"should_encrypt": True, "encryption_key": str(key), "encryption_mail": MAIL}
    tries = tried(raw, [8, 20, 200], **settings)

    check(tries, ["encrypt", "encrypt"])
    assert all(name.endswith(".gpg") for name in tries[-1]["final"])
