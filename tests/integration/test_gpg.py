"""Encryption with the system's gpg: what it writes can be read by the key's owner alone."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sfu_wrapper.adapters.gpg import GpgVault
from sfu_wrapper.model.errors import JobFailed

pytestmark = pytest.mark.system

MAIL = "recordings@example.org"
SECRET = b"what was said " * 1000


class Owner:
    """Somebody with a keyring; keys are made for one day unless said otherwise."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def gpg(self, *arguments: str) -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--no-tty", "--passphrase", ""]
        return subprocess.run([*command, *arguments], capture_output=True, check=True).stdout

    def make(self, user_id: str, usage: str = "default", expires: str = "1d") -> str:
        algorithm = "ed25519" if usage == "sign" else "future-default"
        self.gpg("--quick-generate-key", user_id, algorithm, usage, expires)
        listing = self.gpg("--with-colons", "--list-keys").decode().splitlines()
        return next(line.split(":")[9] for line in listing if line.startswith("fpr"))

    def public(self, file: Path, *names: str) -> Path:
        file.write_bytes(self.gpg("--armor", "--export", *names))
        return file


@pytest.fixture
def owner() -> Iterator[Owner]:
    home = Path(tempfile.mkdtemp(prefix="k-"))  # short: it holds sockets
    yield Owner(home)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    shutil.rmtree(home, ignore_errors=True)


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

    await GpgVault(owner.public(tmp_path / "key.asc"), MAIL).encrypt(plain, target, timeout_s=20)

    owner.gpg("--output", str(tmp_path / "read.webm"), "--decrypt", str(target))
    assert (tmp_path / "read.webm").read_bytes() == SECRET
    assert SECRET[:20] not in target.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o600


async def test_a_user_id_may_be_the_mail_alone(owner: Owner, tmp_path: Path) -> None:
    owner.make(MAIL)

    await GpgVault(owner.public(tmp_path / "key.asc"), MAIL).check()


@pytest.mark.parametrize(
    "user_id", [f"x{MAIL}", f"{MAIL}.evil.example", f"{MAIL} <other@example.org>"]
)
async def test_a_mail_that_merely_contains_ours_is_not_ours(
    owner: Owner, tmp_path: Path, user_id: str
) -> None:
    owner.make(user_id)

    with pytest.raises(JobFailed, match="the key is not of"):
        await GpgVault(owner.public(tmp_path / "key.asc"), MAIL).check()


async def test_a_key_that_cannot_encrypt_is_refused(owner: Owner, tmp_path: Path) -> None:
    owner.make(MAIL, usage="sign")

    with pytest.raises(JobFailed, match="cannot encrypt"):
        await GpgVault(owner.public(tmp_path / "key.asc"), MAIL).check()


async def test_an_expired_key_is_refused(owner: Owner, tmp_path: Path) -> None:
    owner.gpg("--faked-system-time", "20200101T000000!", "--quick-generate-key", MAIL,
              "future-default", "default", "2d")  # fmt: skip

    with pytest.raises(JobFailed, match="has expired"):
        await GpgVault(owner.public(tmp_path / "key.asc"), MAIL).check()


async def test_a_revoked_key_is_refused(owner: Owner, tmp_path: Path) -> None:
    fingerprint = owner.make(MAIL)
    certificate = (owner.home / "openpgp-revocs.d" / f"{fingerprint}.rev").read_text()
    usable = tmp_path / "revoke.asc"
    usable.write_text(certificate.replace(":-----BEGIN", "-----BEGIN"))
    owner.gpg("--import", str(usable))

    with pytest.raises(JobFailed, match="is revoked"):
        await GpgVault(owner.public(tmp_path / "key.asc"), MAIL).check()


async def test_a_file_with_two_keys_is_refused(owner: Owner, tmp_path: Path) -> None:
    owner.make(MAIL)
    owner.make("other@example.org")

    with pytest.raises(JobFailed, match="2 keys"):
        await GpgVault(owner.public(tmp_path / "key.asc"), MAIL).check()


async def test_a_secret_key_is_refused(owner: Owner, tmp_path: Path) -> None:
    owner.make(MAIL)
    file = tmp_path / "key.asc"
    file.write_bytes(owner.gpg("--armor", "--export-secret-keys"))

    with pytest.raises(JobFailed) as caught:
        await GpgVault(file, MAIL).check()

    assert caught.value.permanent


@pytest.mark.parametrize("content", [None, b"", b"no key at all"])
async def test_without_a_readable_key_nothing_is_written(
    plain: Path, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "key.asc"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(JobFailed):
        await GpgVault(file, MAIL).encrypt(plain, tmp_path / "out.gpg", timeout_s=20)

    assert "out" not in names(tmp_path)


async def test_without_gpg_it_fails_for_good(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "key.asc").write_text("key")

    with pytest.raises(JobFailed) as caught:
        await GpgVault(tmp_path / "key.asc", MAIL, program="no-such-gpg").check()

    assert (caught.value.code, caught.value.permanent) == ("NO_GPG", True)


@pytest.mark.parametrize(
    ("last_step", "code"),
    [("exit 2", "GPG_FAILED"), ("sleep 60", "TIMEOUT"), ('cp "$source" "$out"', "BAD_RESULT")],
)
async def test_a_gpg_that_fails_hangs_or_does_not_encrypt_leaves_nothing(
    owner: Owner, plain: Path, tmp_path: Path, last_step: str, code: str
) -> None:
    owner.make(MAIL)
    program = tmp_path / "gpg"
    program.write_text(
        '#!/bin/sh\ncase "$*" in *--encrypt*) ;; *) exec gpg "$@" ;; esac\n'
        'for word; do [ "$last" = --output ] && out=$word; last=$word; done; source=$word\n'
        f"{last_step}\n"
    )
    program.chmod(0o700)
    vault = GpgVault(owner.public(tmp_path / "key.asc"), MAIL, program=str(program))

    with pytest.raises(JobFailed) as caught:
        await vault.encrypt(plain, tmp_path / "out.gpg", timeout_s=1)

    assert caught.value.code == code
    assert "out" not in names(tmp_path)
