"""The pages on backing up, restoring and moving the store, with a controller as a process."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sfu_wrapper.cli.main import main
from tests.helpers.pages import DOCS, blocks
from tests.helpers.processes import Command, environment, serve

STORE = "/var/lib/sfu-wrapper"


def shell(script: str, folder: Path) -> str:
    """Run a block with the paths of the page below ``folder``, without services and owners."""
    lines = [
        re.sub(r"(?<![\w.])/(?=var/|srv/)", f"{folder}/", line).replace(
            "-o sfu-wrapper -g sfu-wrapper ", ""
        )
        for line in script.splitlines()
        if not re.match(r"\s*(systemctl|chown)\b", line)
    ]
    run = subprocess.run(
        ["bash", "-euc", "\n".join(lines)], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


class Installation:
    """A store at the place of the pages, below a folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        (folder / STORE[1:]).mkdir(parents=True)
        self.use(f"sqlite:{folder}{STORE}/sfu-wrapper.db")

    def use(self, url: str) -> None:
        """Use the store at this address."""
        self.environment = environment(self.folder, STORE__URL=url, WEBSOCKET__PORT="0")
        self.environment["SFU_WRAPPER__HTTP__PORT"] = "0"
        for name, value in self.environment.items():
            if name.startswith("SFU_WRAPPER__"):
                self._monkeypatch.setenv(name, value)

    async def permit(self, user: str) -> None:
        """Store a permission of a user."""
        always = "--type", "all", "--profile", "always"
        assert await self._command("set", user, *always) == 0

    async def permitted(self, user: str) -> bool:
        """Return True if a permission of the user is stored."""
        return await self._command("get", user) == 0

    async def _command(self, action: str, user: str, *more: str) -> int:
        command = ["permissions", action, f"user:{user}", "--domain", "example", *more]
        return await asyncio.to_thread(main, command)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Command]:
        """Run a controller while the context lasts."""
        controller = await serve(self.environment)
        try:
            yield controller
        finally:
            assert await controller.terminate() == 0


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation in a folder of its own."""
    return Installation(tmp_path, monkeypatch)


async def test_a_backup_of_a_running_controller_is_restored(
    installation: Installation,
) -> None:
    (back_up,) = blocks("how-to/backup-and-restore.md", "Back up", "sh")
    (restore,) = blocks("how-to/backup-and-restore.md", "Restore", "sh")
    assert restore.startswith("systemctl stop sfu-wrapper 'sfu-wrapper-worker@*'")
    async with installation.running():
        await installation.permit("alice")
        shell(back_up, installation.folder)
        await installation.permit("bob")

    shell(restore, installation.folder)
    async with installation.running():
        assert await installation.permitted("alice")
        assert not await installation.permitted("bob")


async def test_a_store_is_moved_with_its_queue(
    installation: Installation,
) -> None:
    text = (DOCS / "how-to" / "move-the-store.md").read_text(encoding="utf-8")
    move = re.findall(r"^   ```sh\n(.*?)^   ```", text, re.MULTILINE | re.DOTALL)[0]
    (url,) = re.findall(r'^   url = "(.*)"$', text, re.MULTILINE)
    async with installation.running():
        await installation.permit("alice")

    shell(move, installation.folder)
    assert not list((installation.folder / STORE[1:]).iterdir())
    installation.use(url.replace("sqlite:/srv", f"sqlite:{installation.folder}/srv"))
    async with installation.running():
        assert await installation.permitted("alice")
    assert (installation.folder / "srv" / "sfu-wrapper" / "queue.db").exists()


def test_a_damaged_store_is_refused_in_the_words_of_the_page(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    (installation.folder / STORE[1:] / "sfu-wrapper.db").write_bytes(b"no database" * 1000)

    assert main(["serve"]) == 1
    (words,) = blocks("how-to/backup-and-restore.md", "A damaged store")
    assert capsys.readouterr().err.splitlines()[-1] == words.strip()
