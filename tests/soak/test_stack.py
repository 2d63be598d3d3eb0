"""``scripts/stack``: a whole installation, a call in two browsers, its file, nothing left over."""

import asyncio
import re
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.helpers.callpage import CallPage
from tests.helpers.chromium import Browser, browser
from tests.helpers.janus import private_network

pytestmark = [pytest.mark.soak, pytest.mark.timeout(240)]

TOP = Path(__file__).parents[2]
START_S = 60.0
# Whether exactly one person is shown with the microphone off.
SILENT = "document.querySelectorAll('.name svg:not([hidden])').length === 1"


@dataclass(slots=True)
class Stack:
    """One that runs. lines: what it has printed."""

    process: Process
    folder: Path
    options: tuple[str, ...]
    lines: list[str] = field(default_factory=list)

    async def ready(self) -> None:
        """Read until it says so."""
        async with asyncio.timeout(START_S):
            while not self.lines or "ready" not in self.lines[-1]:
                self.lines.append(await self._line())

    async def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(START_S):
            while line := await self._line():
                self.lines.append(line)
            return await self.process.wait()

    def addresses(self) -> list[str]:
        """Of the call, for two people."""
        return [line.strip() for line in self.lines if line.strip().startswith("http://")]

    def pids(self) -> list[int]:
        """Of what it has started."""
        return [int(pid) for pid in re.findall(r"\(pid (\d+)\)", "".join(self.lines))]

    async def _line(self) -> str:
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode()


@pytest.fixture
def apart() -> Iterator[None]:
    with private_network():
        yield


@pytest.fixture(params=[("--embedded",), ()], ids=["embedded", "rabbitmq"])
async def stack(
    apart: None, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Stack]:
    process = await asyncio.create_subprocess_exec(
        TOP / "scripts" / "stack", *request.param, "--dir", tmp_path, stdout=PIPE
    )
    stack = Stack(process, tmp_path, request.param)
    try:
        await stack.ready()
        yield stack
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.wait(), START_S)


async def joined(chromium: Browser, address: str) -> CallPage:
    page = CallPage(await chromium.open(address), address)
    await page.page.until("document.querySelector('#preview').videoWidth > 0")
    await page.join()
    return page


def finished(stack: Stack) -> list[int]:
    """The sizes of the files that the recording service has delivered."""
    return [file.stat().st_size for file in (stack.folder / "out").glob("*.webm")]


def left_over(stack: Stack) -> list[int]:
    """What still runs of what it has started."""
    return [pid for pid in stack.pids() if Path(f"/proc/{pid}").exists()]


def readable_by_others(stack: Stack) -> list[Path]:
    """Of the files with secrets."""
    return [file for file in stack.folder.rglob("*.jcfg") if file.stat().st_mode & 0o077]


async def test_a_call_is_held_and_recorded_and_nothing_is_left_over(stack: Stack) -> None:
    async with browser() as chromium:
        alice, bob = [await joined(chromium, each) for each in stack.addresses()]
        for page, other in ((alice, "bob"), (bob, "alice")):
            await page.page.until(f"document.querySelector('video[data-user={other}]').videoWidth")
        await bob.click("mic")
        await alice.has_text("grid", "bob")
        await alice.page.until(SILENT)
        await alice.click("record")
        await bob.recorded_for(3)
        await alice.click("record")
        await bob.page.until("document.querySelector('#recording').hidden")
    async with asyncio.timeout(START_S):
        while not finished(stack):  # noqa: ASYNC110  # a folder tells nobody
            await asyncio.sleep(0.1)
    code = await stack.interrupt()

    assert code == 0
    assert stack.lines[-1] == "== everything has stopped\n"
    assert [size > 10_000 for size in finished(stack)] == [True]
    assert len(stack.pids()) == (3 if "--embedded" in stack.options else 5)
    assert left_over(stack) == []
    assert readable_by_others(stack) == []
    assert " error " not in (stack.folder / "log" / "controller.log").read_text()
