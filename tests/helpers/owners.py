"""Somebody with a GPG keyring of their own, who reads what was encrypted for them."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


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
