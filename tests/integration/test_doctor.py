"""``sfu-wrapper doctor``: what somebody who has just installed it is told, line by line."""

import errno
import json
import resource
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sfu_wrapper.adapters.sqlite.schema import MIGRATIONS
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.adapters.storage.disks import Disk
from sfu_wrapper.cli.doctor import services
from sfu_wrapper.cli.doctor.settings import check_program
from sfu_wrapper.cli.main import main
from sfu_wrapper.observe.findings import ok, wrong
from tests.helpers.doctors import Doctor, about, doctor, folder, line
from tests.helpers.owners import Owner, owner
from tests.helpers.provider import key_set, provider

__all__ = ["doctor", "folder", "owner"]


def test_a_fresh_installation_is_in_order(doctor: Doctor, folder: Path) -> None:
    code, report = doctor()

    assert code == 0
    assert {row["status"] for row in report} == {"ok", "warning"}
    assert all(row["advice"] for row in report if row["status"] != "ok")
    assert "created at the first start" in about("database", report)[0]["text"]
    assert [path.name for path in folder.iterdir()] == ["config"]  # it has left nothing behind


def test_it_is_told_in_one_line_each_with_what_to_do(
    doctor: Doctor, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    doctor()

    assert main(["doctor", "--config", str(folder / "config")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"ok       configuration read from {folder}/config"
    (warned,) = [one for one in lines if "userMayWrite" in one]
    assert warned.startswith("warning  configuration permissions.userMayWrite = true: ")
    assert warned.endswith(" -> set it to false if the domain must decide")


def test_a_domain_that_decides_is_no_cause_for_a_warning(doctor: Doctor) -> None:
    _, report = doctor(PERMISSIONS__USER_MAY_WRITE="false")

    assert "userMayWrite" not in json.dumps(report)


def test_a_wrong_configuration_is_all_that_is_looked_at(doctor: Doctor) -> None:
    code, report = doctor(WEBSOCKET__PORT="many", QUALITY="best")

    assert code == 1
    assert [row["check"] for row in report] == ["configuration"] * 2
    assert {row["status"] for row in report} == {"wrong"}
    assert "quality" in line(report, "best")["text"]


def test_a_configuration_that_is_nowhere_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["doctor"])

    assert "warning  configuration no folder found" in capsys.readouterr().out


def test_incoming_calls_that_are_never_recorded_are_warned_of(doctor: Doctor) -> None:
    code, report = doctor(TRUNK__RECORD_INCOMING_PSTN="true", RECORD_RECORDING_AT_START="false")

    assert code == 0
    assert line(report, "incoming calls are never recorded")["status"] == "warning"


def test_what_the_operator_refuses_is_wrong(doctor: Doctor) -> None:
    code, report = doctor(
        TRUNK__RECORD_INCOMING_PSTN="true",
        RECORD_RECORDING_AT_START="false",
        TRUNK__CONFLICT="refuse",
    )

    assert code == 1
    assert "trunk.conflict = refuse" in report[0]["text"]


def test_without_a_key_nobody_could_be_believed(doctor: Doctor) -> None:
    code, report = doctor(AUTH__SECRET=None)

    assert code == 1
    (found,) = about("tokens", report)
    assert found["status"] == "wrong"
    assert "set one of auth.secret" in found["text"]


def test_a_key_file_that_is_none_is_wrong(doctor: Doctor, folder: Path) -> None:
    (folder / "key.pem").write_text("no key")
    code, report = doctor(AUTH__SECRET=None, AUTH__PUBLIC_KEY_FILE=f"{folder}/key.pem")

    assert code == 1
    assert "holds no public key" in about("tokens", report)[0]["text"]


def test_a_key_set_is_fetched_as_the_controller_would(doctor: Doctor) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    with provider(key_set(one=key)) as told:
        code, report = doctor(AUTH__SECRET=None, AUTH__JWKS_URL=told.url)
        assert code == 0
        assert about("tokens", report)[0]["text"].endswith("with auth.jwksUrl: 1 keys")

        told.status = 404
        code, report = doctor(AUTH__SECRET=None)
        assert code == 1
        assert "404" in about("tokens", report)[0]["text"]


def test_faults_that_were_left_switched_on_are_warned_of(doctor: Doctor) -> None:
    _, report = doctor(MEDIA__SIMULATED_FAULTS="start:refuse")

    assert line(report, "media.simulatedFaults is set")["status"] == "warning"


def test_media_that_is_not_real_is_warned_of(doctor: Doctor) -> None:
    _, report = doctor(MEDIA__SFU="none", MEDIA__MIXER="simulated")

    assert line(report, "sfu is managed by another system")["status"] == "warning"
    assert line(report, "mixer is simulated")["status"] == "warning"


def test_a_plane_that_cannot_be_driven_is_wrong(doctor: Doctor) -> None:
    code, report = doctor(MEDIA__SIMULATED_FAULTS="fly")

    assert code == 1
    assert about("media", report)[0]["status"] == "wrong"


def test_a_store_in_use_is_looked_at_beside_its_controller(doctor: Doctor, folder: Path) -> None:
    with closing(SqliteStore(folder / "state" / "store.db")):
        code, report = doctor()
    assert code == 0
    assert (
        f"intact, schema {len(MIGRATIONS)}, in use by a controller"
        in about("database", report)[0]["text"]
    )

    _, report = doctor()
    assert f"intact, schema {len(MIGRATIONS)}, " in about("database", report)[0]["text"]
    assert "in use by" not in about("database", report)[0]["text"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no database at all" * 100, "is damaged (file is not a database)"),
        (None, "was written by a newer release (schema 99)"),
    ],
)
def test_a_store_that_cannot_be_used_is_wrong(
    doctor: Doctor, folder: Path, content: bytes | None, words: str
) -> None:
    file = folder / "store.db"
    if content is None:
        SqliteStore(file).close()
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE schema SET version = 99")
    else:
        file.write_bytes(content)
    code, report = doctor(STORE__URL=f"sqlite:{file}")

    assert code == 1
    assert words in about("database", report)[0]["text"]


def test_folders_that_cannot_be_written_are_wrong(doctor: Doctor, folder: Path) -> None:
    (folder / "file").touch()
    code, report = doctor(
        RECORDINGS_PATH=f"{folder}/file/raw", STORE__URL="sqlite:/proc/self/nothing/store.db"
    )

    assert code == 1
    assert "is no folder" in line(report, "recordings_path")["text"]
    assert "cannot be written" in about("database", report)[0]["text"]

    code, report = doctor(AUDIO_PATH="/proc/self/nothing")
    assert code == 1
    assert "cannot be written" in line(report, "audio_path")["text"]


def test_folders_that_are_there_are_said_to_be_writable(doctor: Doctor, folder: Path) -> None:
    (folder / "out").mkdir()
    _, report = doctor()

    assert " writable, " in line(report, "destination_path")["text"]
    assert " created when needed, " in line(report, "logs_path")["text"]


@pytest.mark.parametrize(
    ("free_bytes", "status", "words"),
    [
        (499_999_999, "wrong", "500.0 MB of 2.0 TB free"),
        (4_000_000_000, "warning", "4.0 GB of 2.0 TB free"),
        (5_000_000_000, "ok", "5.0 GB of 2.0 TB free"),
        (1000, "wrong", "1000 bytes of 2.0 TB free"),
    ],
)
def test_a_disk_that_fills_is_warned_of_in_time(free_bytes: int, status: str, words: str) -> None:
    found = services.free_space(
        "x", Disk(Path("/mnt"), "ext4", "/dev/sdb", free_bytes, 2 * 10**12), ""
    )

    assert found.status == status
    assert f"{words} on /mnt (ext4)" in found.text


def test_a_full_disk_is_named_and_not_taken_for_a_lack_of_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(services, "try_writing", refuse)
    found = services.check_folder("destination_path", tmp_path)

    assert found.status == "wrong"
    assert f"destination_path {tmp_path}: the disk is full, " in found.text
    assert " free on /" in found.text
    assert "let this user write" not in found.advice


def test_a_store_on_a_network_disk_is_warned_of(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = Disk(Path("/mnt"), "nfs4", "nas:/export", 10**12, 10**12)
    monkeypatch.setattr(services, "disk", lambda _: far)

    code, report = doctor()
    assert code == 0
    assert "(nfs4)" in line(report, "network file system")["text"]


def test_encryption_is_tried_before_a_worker_needs_it(doctor: Doctor, folder: Path) -> None:
    code, report = doctor(
        SHOULD_ENCRYPT="true",
        ENCRYPTION_MAIL="recordings@example.org",
        ENCRYPTION_KEY=f"{folder}/key.asc",
    )

    assert code == 1
    assert about("encryption", report)[0]["text"].startswith("KEY_UNUSABLE: the key file")


@pytest.mark.system
@pytest.mark.parametrize(
    ("expires", "status", "words"),
    [
        ("29d", "warning", "and expires in 28 days, on "),
        ("32d", "ok", "can encrypt to recordings@example.org until "),
        ("0", "ok", "can encrypt to recordings@example.org"),
    ],
)
def test_a_key_that_expires_within_a_month_is_named_with_its_last_day(
    doctor: Doctor, owner: Owner, folder: Path, expires: str, status: str, words: str
) -> None:
    owner.make("recordings@example.org", expires=expires)
    key = owner.public(folder / "key.asc")
    code, report = doctor(
        SHOULD_ENCRYPT="true", ENCRYPTION_MAIL="recordings@example.org", ENCRYPTION_KEY=str(key)
    )

    (found,) = about("encryption", report)
    assert code == 0
    assert (found["status"], words in found["text"]) == (status, True), found
    assert ("export it again" in found["advice"]) == (status == "warning")


def test_the_key_that_signs_is_loaded_and_is_for_the_controller_alone(
    doctor: Doctor, folder: Path, tmp_path: Path
) -> None:
    file, other = tmp_path / "audit.pem", tmp_path / "other.pem"
    private = (PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, *private))
    other.write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, *private))

    def found(key_file: str | None) -> dict[str, str]:
        (only,) = about("audit", doctor(AUDIT__KEY_FILE=key_file)[1])
        return only

    assert found(None)["text"] == "heads and evidence are not signed (audit.keyFile is not set)"
    file.chmod(0o640)
    shared = found(str(file))
    assert (shared["status"], "mode 0640" in shared["text"]) == ("warning", True)
    file.chmod(0o600)
    assert found(str(file))["status"] == "ok"
    for unusable, words in ((tmp_path / "none.pem", "cannot be read"), (other, "not an Ed25519")):
        wrong_one = found(str(unusable))
        assert wrong_one["status"] == "wrong"
        assert words in wrong_one["text"]


def test_a_program_that_is_missing_is_named_with_its_package() -> None:
    found = check_program("no-such-program", "its-package", "this_key")

    assert found == wrong(
        "no-such-program is not installed, and this_key needs it", "install its-package"
    )
    assert check_program("sh", "dash", "this_key") == ok(f"sh: {shutil.which('sh')}")


@pytest.mark.parametrize(
    ("limit", "status", "words"),
    [
        (1024, "warning", "only 1024 open files are allowed"),
        (4096, "ok", "4096 open files"),
        (resource.RLIM_INFINITY, "ok", "any number of open files"),
    ],
)
def test_few_open_files_are_few_clients(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, limit: int, status: str, words: str
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))

    assert line(doctor()[1], words)["status"] == status
