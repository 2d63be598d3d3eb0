"""Encryption with the system's gpg: what it writes can be read by the key's owner alone."""

import os
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from sfu_wrapper.adapters.storage import gpg
from sfu_wrapper.adapters.storage.gpg import GpgEncryptor
from sfu_wrapper.model.errors import JobFailed
from tests.helpers.owners import Owner, owner

__all__ = ["owner"]

pytestmark = pytest.mark.system

MAIL = "recordings@example.org"
SECRET = b"what was said " * 1000


def names(folder: Path) -> str:
    return " ".join(path.name for path in folder.iterdir())


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    file = tmp_path / "plain.webm"
    file.write_bytes(SECRET)
    return file


async def test_the_owner_reads_it_with_the_products_own_command(
    owner: Owner, plain: Path, tmp_path: Path
) -> None:
    owner.make(f"Recordings <{MAIL}>")
    target = tmp_path / "plain.webm.gpg"

    await GpgEncryptor(owner.public(tmp_path / "key.asc"), MAIL).encrypt(
        plain, target, timeout_s=20
    )

    owner.gpg("--output", str(tmp_path / "read.webm"), "--decrypt", str(target))
    assert (tmp_path / "read.webm").read_bytes() == SECRET
    assert SECRET[:20] not in target.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o600


async def test_a_user_id_may_be_the_mail_alone(owner: Owner, tmp_path: Path) -> None:
    owner.make(MAIL)

    await GpgEncryptor(owner.public(tmp_path / "key.asc"), MAIL).check()


@pytest.mark.parametrize(
    "user_id", [f"x{MAIL}", f"{MAIL}.evil.example", f"{MAIL} <other@example.org>"]
)
async def test_a_mail_that_merely_contains_ours_is_not_ours(
    owner: Owner, tmp_path: Path, user_id: str
) -> None:
    owner.make(user_id)

    with pytest.raises(JobFailed, match="the key is not of"):
        await GpgEncryptor(owner.public(tmp_path / "key.asc"), MAIL).check()


async def test_a_key_that_cannot_encrypt_is_refused(owner: Owner, tmp_path: Path) -> None:
    owner.make(MAIL, usage="sign")

    with pytest.raises(JobFailed, match="cannot encrypt"):
        await GpgEncryptor(owner.public(tmp_path / "key.asc"), MAIL).check()


async def test_an_expired_key_is_refused(owner: Owner, tmp_path: Path) -> None:
    owner.gpg("--faked-system-time", "20200101T000000!", "--quick-generate-key", MAIL,
              "future-default", "default", "2d")  # fmt: skip

    with pytest.raises(JobFailed, match="has expired"):
        await GpgEncryptor(owner.public(tmp_path / "key.asc"), MAIL).check()


async def test_the_expiry_is_that_of_the_part_that_ends_first(owner: Owner, tmp_path: Path) -> None:
    fingerprint = owner.make(MAIL, usage="sign", expires="30d")
    owner.gpg("--quick-add-key", fingerprint, "cv25519", "encr", "10d")
    encrypts = GpgEncryptor(owner.public(tmp_path / "key.asc"), MAIL)
    expires_s = await encrypts.check()
    assert expires_s is not None
    assert 9 * 86_400 < expires_s - time.time() <= 10 * 86_400

    owner.gpg("--quick-add-key", fingerprint, "cv25519", "encr", "0")
    longer_s = await GpgEncryptor(owner.public(tmp_path / "key.asc"), MAIL).check()
    assert longer_s is not None
    assert 29 * 86_400 < longer_s - time.time() <= 30 * 86_400


async def test_a_key_without_an_end_never_expires(owner: Owner, tmp_path: Path) -> None:
    owner.make(MAIL, expires="0")

    assert await GpgEncryptor(owner.public(tmp_path / "key.asc"), MAIL).check() is None


async def test_a_revoked_key_is_refused(owner: Owner, tmp_path: Path) -> None:
    fingerprint = owner.make(MAIL)
    certificate = (owner.home / "openpgp-revocs.d" / f"{fingerprint}.rev").read_text()
    usable = tmp_path / "revoke.asc"
    usable.write_text(certificate.replace(":-----BEGIN", "-----BEGIN"))
    owner.gpg("--import", str(usable))

    with pytest.raises(JobFailed, match="is revoked"):
        await GpgEncryptor(owner.public(tmp_path / "key.asc"), MAIL).check()


async def test_a_file_with_two_keys_is_refused(owner: Owner, tmp_path: Path) -> None:
    owner.make(MAIL)
    owner.make("other@example.org")

    with pytest.raises(JobFailed, match="2 keys"):
        await GpgEncryptor(owner.public(tmp_path / "key.asc"), MAIL).check()


async def test_a_secret_key_is_refused(owner: Owner, tmp_path: Path) -> None:
    owner.make(MAIL)
    file = tmp_path / "key.asc"
    file.write_bytes(owner.gpg("--armor", "--export-secret-keys"))

    with pytest.raises(JobFailed) as caught:
        await GpgEncryptor(file, MAIL).check()

    assert caught.value.permanent


@pytest.mark.parametrize("content", [None, b"", b"no key at all"])
async def test_without_a_readable_key_nothing_is_written(
    plain: Path, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "key.asc"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(JobFailed):
        await GpgEncryptor(file, MAIL).encrypt(plain, tmp_path / "out.gpg", timeout_s=20)

    assert "out" not in names(tmp_path)


async def test_nothing_of_gpg_is_left_running_or_lying_about(
    owner: Owner, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.make(MAIL)
    key = owner.public(tmp_path / "key.asc")
    (tmp_path / "homes").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "homes"))

    await GpgEncryptor(key, MAIL).encrypt(plain, tmp_path / "out.gpg", timeout_s=20)

    assert list((tmp_path / "homes").iterdir()) == []
    assert not running_with(str(tmp_path / "homes"))


def running_with(word: str) -> list[str]:
    """Commands of whatever runs now and has been told of that word."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(file.read_text(errors="replace"))
    return [command for command in found if word in command]


async def test_where_no_keyring_can_be_made_it_may_be_mended(
    owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.make(MAIL)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no-such-folder"))

    with pytest.raises(JobFailed) as caught:
        await GpgEncryptor(owner.public(tmp_path / "key.asc"), MAIL).check()

    assert (caught.value.code, caught.value.permanent) == ("IO_ERROR", False)


async def test_without_gpg_it_fails_for_good(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "key.asc").write_text("key")

    with pytest.raises(JobFailed) as caught:
        await GpgEncryptor(tmp_path / "key.asc", MAIL, program="no-such-gpg").check()

    assert (caught.value.code, caught.value.permanent) == ("NO_GPG", True)


@pytest.mark.parametrize("hangs", ["is_file", "open", "unlink"])
async def test_a_disk_that_hangs_holds_up_nobody_for_longer_than_the_deadline(
    owner: Owner, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hangs: str
) -> None:
    owner.make(MAIL)
    encryptor = GpgEncryptor(owner.public(tmp_path / "key.asc"), MAIL)
    answers, held = threading.Event(), []

    def hang(path: Path, *_: object, **__: object) -> None:
        held.append(path.name)
        answers.wait(50)

    monkeypatch.setattr(gpg, "_CLEANUP_S", 0.1)
    with monkeypatch.context() as patched:
        patched.setattr(Path, hangs, hang)
        with pytest.raises(JobFailed) as caught:
            await encryptor.encrypt(plain, tmp_path / "out.gpg", timeout_s=1)
    answers.set()

    assert held
    assert (caught.value.code, caught.value.permanent) == ("TIMEOUT", False)
    assert not (tmp_path / "out.gpg").exists()


@pytest.mark.parametrize(
    ("last_step", "code"),
    [
        ("exit 2", "GPG_FAILED"),
        ('head -c 1000 > "$out"; kill -9 $$', "GPG_FAILED"),
        ("sleep 60", "TIMEOUT"),
        ("kill -STOP $$", "TIMEOUT"),
        ('cat > "$out"', "BAD_RESULT"),
        ('cat > "$out"; echo "[GNUPG:] END_ENCRYPTION"', "BAD_RESULT"),
        ("echo 'gpg: write error: No space left on device' >&2; exit 2", "NO_SPACE"),
    ],
)
async def test_a_gpg_that_fails_hangs_or_does_not_encrypt_leaves_nothing(
    owner: Owner, plain: Path, tmp_path: Path, last_step: str, code: str
) -> None:
    owner.make(MAIL)
    program = tmp_path / "gpg"
    program.write_text(
        '#!/bin/sh\ncase "$*" in *--encrypt*) ;; *) exec gpg "$@" ;; esac\n'
        'for word; do [ "$last" = --output ] && out=$word; last=$word; done\n'
        f"{last_step}\n"
    )
    program.chmod(0o700)
    encryptor = GpgEncryptor(owner.public(tmp_path / "key.asc"), MAIL, program=str(program))

    with pytest.raises(JobFailed) as caught:
        await encryptor.encrypt(
            plain, tmp_path / "out.gpg", timeout_s=1 if code == "TIMEOUT" else 20
        )

    assert caught.value.code == code
    assert caught.value.permanent == (last_step == "exit 2")
    assert "out" not in names(tmp_path)


@pytest.mark.parametrize("make", [os.symlink, os.link])
async def test_another_name_of_a_foreign_file_is_not_encrypted(
    owner: Owner, plain: Path, tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    owner.make(MAIL)
    make(plain, tmp_path / "other.webm")
    encryptor = GpgEncryptor(owner.public(tmp_path / "key.asc"), MAIL)

    with pytest.raises(JobFailed) as caught:
        await encryptor.encrypt(tmp_path / "other.webm", tmp_path / "out.gpg", timeout_s=20)

    assert (caught.value.code, caught.value.permanent) == ("IO_ERROR", False)
    assert "out" not in names(tmp_path)


async def test_a_gpg_that_was_taken_over_has_its_keyring_and_its_output_alone(
    owner: Owner, plain: Path, tmp_path: Path
) -> None:
    owner.make(MAIL)
    (tmp_path / "staging").mkdir()
    program = tmp_path / "gpg"
    program.write_text(
        '#!/bin/sh\ncase "$*" in *--encrypt*) ;; *) exec gpg "$@" ;; esac\n'
        f'cat "{plain}" && echo read; echo > "{tmp_path}/written"\n'
        "gpg --version > /dev/null && echo runs >&2; exit 2\n"
    )
    program.chmod(0o700)
    encryptor = GpgEncryptor(owner.public(tmp_path / "key.asc"), MAIL, program=str(program))

    with pytest.raises(JobFailed, match="runs"):
        await encryptor.encrypt(plain, tmp_path / "staging" / "out.gpg", timeout_s=20)

    assert not (tmp_path / "written").exists()


async def test_a_key_file_that_is_no_key_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "key.asc").open("wb") as file:
        file.truncate(1 << 30)

    with pytest.raises(JobFailed, match="longer than") as caught:
        await GpgEncryptor(tmp_path / "key.asc", MAIL).check()

    assert (caught.value.code, caught.value.permanent) == ("KEY_UNUSABLE", True)
