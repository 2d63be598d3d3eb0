"""A full disk, whenever it fills up: it is said, and nothing is delivered, least of all a half.

The disks are small tmpfs in a mount namespace of their own, one for each try.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sfu_wrapper.wire.recording_info import parse_event
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


def check(tries: list[dict[str, Any]], *stages: str) -> None:
    """The first succeeded; the others failed in these stages, for want of space."""
    first, *failed = tries
    assert first["code"] == "done"
    assert len(first["final"]) == len(first["files"]) > 0
    assert [told["stage"] for told in failed] == list(stages)
    for told in failed:
        assert told["code"] == "NO_SPACE"
        assert not told["permanent"]
        assert "free some, then process the event again" in told["detail"]
        assert told["stage"] != "deliver" or "/out/.sfu-wrapper/" in told["detail"]  # which disk
        assert told["final"] == []
        assert told["kept"] > 0
        parse_event(told["event"].encode())


def test_a_merged_recording(raw: Path) -> None:
    tries = tried(raw, [400, 4, 12, 24, -4])  # of the last only the manifest did not fit

    check(tries, "preprocess", "deliver", "compose", "deliver")


def test_a_split_recording(raw: Path) -> None:
    tries = tried(raw, [400, 4, 12, 24, -4], split_recording_output=True)

    check(tries, "preprocess", "deliver", "split", "deliver")


def test_an_event_that_the_disk_does_not_take_is_told_with_the_failure(raw: Path) -> None:
    event = json.loads((raw / "event.json").read_bytes())
    event["recordingInfo"]["missing"] = ["x" * 250] * 32
    (raw / "event.json").write_text(json.dumps(event))

    (told,) = tried(raw, [4])

    assert told["code"] == "NO_SPACE"
    assert parse_event(told["event"].encode()).missing == ("x" * 250,) * 32


def test_an_encrypted_recording(raw: Path, owner: Owner, tmp_path: Path) -> None:
    owner.make(MAIL)
    key = owner.public(tmp_path / "key.asc")
    settings = {"should_encrypt": True, "encryption_key": str(key), "encryption_mail": MAIL}
    tries = tried(raw, [400, 20, -4], **settings)

    check(tries, "encrypt", "deliver")
    assert all(name.endswith(".gpg") for name in tries[0]["final"])
