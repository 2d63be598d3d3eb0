"""``sfu-wrapper doctor`` on broken installations: one line is wrong, until the repair it names."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from sfu_wrapper.adapters.sqlite.store import SqliteStore
from tests.helpers.doctors import SECRET, Doctor, about, doctor, folder
from tests.helpers.owners import Owner, owner

__all__ = ["doctor", "folder", "owner"]

MAIL = "recordings@example.org"
OTHER = 65534  # the user that owns the store
COMMAND = "import sys; from sfu_wrapper.cli.main import main; sys.exit(main(['doctor']))"
# A file system of 64 KiB that a file has filled; it ends with the namespace of the command.
FILL = """
mount -t tmpfs -o size=64k tmpfs "$1"
head -c 1M /dev/zero > "$1/filling" 2>/dev/null || true
shift
exec "$@"
"""
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def wrong_lines(report: list[dict[str, str]]) -> list[dict[str, str]]:
    return [row for row in report if row["status"] == "wrong"]


def test_a_store_locked_by_another_process_is_named_until_it_ends(
    doctor: Doctor, folder: Path
) -> None:
    file = folder / "state" / "store.db"
    SqliteStore(file).close()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        code, report = doctor()
        holder.communicate()

    (found,) = wrong_lines(report)
    assert code == 1
    assert found["check"] == "database"
    assert found["text"] == f"{file} is locked by another process: nothing can be stored"
    assert found["advice"].endswith(f"fuser -v {file}")
    assert doctor()[0] == 0


def test_a_store_that_others_can_read_is_named_until_its_mode_is_changed(
    doctor: Doctor, folder: Path
) -> None:
    file = folder / "state" / "store.db"
    with closing(SqliteStore(file)):
        file.chmod(0o644)
        code, report = doctor()
        file.chmod(0o600)
        _, repaired = doctor()

    found = about("database", report)[-1]
    assert code == 0
    assert (found["status"], "mode 0644" in found["text"]) == ("warning", True)
    assert found["advice"] == f"chmod 600 {file}"
    assert {row["status"] for row in about("database", repaired)} == {"ok"}


@pytest.mark.system
def test_an_expired_key_is_named_until_it_is_extended(
    doctor: Doctor, owner: Owner, folder: Path
) -> None:
    past = ("--faked-system-time", "20240101T000000!")
    owner.gpg(*past, "--quick-generate-key", MAIL, "future-default", "default", "1d")
    key = owner.public(folder / "key.asc")
    settings = {"SHOULD_ENCRYPT": "true", "ENCRYPTION_MAIL": MAIL, "ENCRYPTION_KEY": str(key)}
    code, report = doctor(**settings)

    (found,) = wrong_lines(report)
    assert code == 1
    assert found["check"] == "encryption"
    assert "expired" in found["text"]
    listing = owner.gpg("--with-colons", "--list-keys").decode().splitlines()
    first, *others = [row.split(":")[9] for row in listing if row.startswith("fpr")]
    owner.gpg("--quick-set-expire", first, "1y")
    owner.gpg("--quick-set-expire", first, "1y", *others)  # the subkeys, which encrypt
    owner.public(key)
    assert doctor(**settings)[0] == 0


def run_in(folder: Path, *before: str) -> subprocess.CompletedProcess[str]:
    """Run the command on the installation in that folder, by the command ``before``."""
    place = {
        "AUTH__SECRET": SECRET,
        "STORE__URL": f"sqlite:{folder}/state/store.db",
        "RECORDINGS_PATH": f"{folder}/raw",
        "AUDIO_PATH": f"{folder}/audio",
        "DESTINATION_PATH": f"{folder}/out",
        "LOGS_PATH": f"{folder}/logs",
    }
    named = {f"SFU_WRAPPER__{key}": value for key, value in place.items()}
    return subprocess.run(
        [*before, sys.executable, "-c", COMMAND],
        env=os.environ | named,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def without_override(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command as root that obeys the owners and modes of files, as other users do."""
    return run_in(folder, "setpriv", "--bounding-set=-dac_override,-dac_read_search")


def wrong_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line that is wrong, of a command that failed for it."""
    (found,) = [row for row in done.stdout.splitlines() if row.startswith("wrong")]
    assert (done.returncode, done.stderr) == (1, "")
    return found


@pytest.mark.system
def test_a_store_of_another_user_is_named_until_its_owner_is_changed(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "state" / "store.db").close()
    state = tmp_path / "state"
    state.chmod(0o755)
    for path in (state, *state.iterdir()):
        os.chown(path, OTHER, OTHER)

    found = wrong_line(without_override(tmp_path))
    assert f"{state}/store.db cannot be written by user {os.geteuid()}: " in found
    assert f"it is owned by user {OTHER}, mode 0600 -> " in found
    assert "chown" in found
    for path in (state, *state.iterdir()):
        os.chown(path, os.geteuid(), os.getegid())
    repaired = without_override(tmp_path)
    assert (repaired.returncode, repaired.stderr) == (0, ""), repaired.stdout


@pytest.mark.system
def test_a_folder_of_another_user_is_named_until_it_may_be_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o755)
    os.chown(out, OTHER, OTHER)

    found = wrong_line(without_override(tmp_path))
    assert f"destination_path {out}: cannot be written: Permission denied -> let this" in found
    os.chown(out, os.geteuid(), os.getegid())
    assert without_override(tmp_path).returncode == 0


@pytest.mark.system
def test_a_disk_that_is_really_full_is_named_until_it_has_space(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()

    full = ("unshare", "--mount", "--map-root-user", "sh", "-euc", FILL, "sh", str(out))
    found = wrong_line(run_in(tmp_path, *full))
    assert f"destination_path {out}: the disk is full, 0 bytes of " in found
    assert found.endswith("(tmpfs) -> free space there, or change destination_path")
    assert run_in(tmp_path).returncode == 0


@pytest.mark.system
def test_two_faults_at_once_are_two_lines(tmp_path: Path) -> None:
    for name in ("raw", "out"):
        (tmp_path / name).mkdir(mode=0o755)
        os.chown(tmp_path / name, OTHER, OTHER)
    done = without_override(tmp_path)

    found = [row for row in done.stdout.splitlines() if row.startswith("wrong")]
    assert (done.returncode, done.stderr, len(found)) == (1, "", 2)
    assert f"recordings_path {tmp_path}/raw" in found[0]
    assert f"destination_path {tmp_path}/out" in found[1]
