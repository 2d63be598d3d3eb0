"""A headless Chromium of the test's own, driven over its DevTools protocol, and pages for it.

Everything is on loopback; the browser looks nobody up and dies, with all its children, at the end
of the block. It has a camera and a microphone that are drawn and need no permission.

    async with site(folder) as address, browser() as chromium:
        page = await chromium.open(f"{address}/page.html")
        title = await page.run("document.title")
"""

import asyncio
import itertools
import json
import os
import signal
import tempfile
import threading
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PROGRAM = "chromium"
START_S = 40.0  # deadlines, not measurements: machines are shared
ANSWER_S = 30.0
_POLL_S = 0.05
_LARGEST_MESSAGE = 2**26

_FLAGS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    # Nobody is to be looked up outside.
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    # A page that nobody looks at goes on at full speed, and may play and record by itself.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    # WebRTC between programs of one machine.
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
)

Json = dict[str, Any]


class ScriptError(AssertionError):
    """A script in a page threw, or the page was refused; the message is the browser's."""


@dataclass(slots=True)
class Browser:
    """A running browser."""

    _link: "_Link"

    async def open(self, url: str) -> "Page":
        """A new tab that has loaded ``url``. Raises ScriptError where it cannot."""
        made = await self._link.ask("Target.createTarget", {"url": "about:blank"})
        attached = await self._link.ask(
            "Target.attachToTarget", {"targetId": made["targetId"], "flatten": True}
        )
        page = Page(self._link, attached["sessionId"])
        self._link.consoles[attached["sessionId"]] = page.console
        for domain in ("Page", "Runtime"):
            await page.ask(f"{domain}.enable")
        await page.go(url)
        return page


@dataclass(slots=True)
class Page:
    """One tab. ``console`` is what it has written so far, uncaught errors too."""

    _link: "_Link"
    _session: str
    console: list[str] = field(default_factory=list)

    async def go(self, url: str) -> None:
        """Load another page in its place. Raises ScriptError where it cannot be had."""
        answer = await self.ask("Page.navigate", {"url": url})
        if "errorText" in answer:
            raise ScriptError(f"{url}: {answer['errorText']}")
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def run(self, script: str, timeout_s: float = ANSWER_S) -> Any:  # noqa: ANN401  # JSON
        """The value of an expression, a promise's awaited. Raises ScriptError where it throws."""
        evaluation = {"expression": script, "awaitPromise": True, "returnByValue": True}
        answer = await self.ask("Runtime.evaluate", evaluation, timeout_s)
        if (thrown := answer.get("exceptionDetails")) is not None:
            said = thrown.get("exception", {}).get("description") or thrown["text"]
            raise ScriptError(f"{said}; console: {self.console[-5:]}")
        return answer["result"].get("value")

    async def until(self, script: str, timeout_s: float = ANSWER_S) -> Any:  # noqa: ANN401
        """The value of an expression once it is true. AssertionError where that takes too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while True:
                    if value := await self.run(script):
                        return value
                    await asyncio.sleep(_POLL_S)
        raise AssertionError(f"never true: {script}; console: {self.console[-5:]}")

    async def ask(
        self, method: str, params: Json | None = None, timeout_s: float = ANSWER_S
    ) -> Json:
        """Any other command of the DevTools protocol, to this tab."""
        return await self._link.ask(method, params or {}, timeout_s, self._session)


class _Link:
    """The protocol's one connection: numbered questions, answers in any order, events between."""

    def __init__(self, socket: ClientConnection) -> None:
        self.consoles: dict[str, list[str]] = {}
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Json]] = {}

    async def ask(
        self, method: str, params: Json, timeout_s: float = ANSWER_S, session: str | None = None
    ) -> Json:
        number = next(self._numbers)
        question = {"id": number, "method": method, "params": params}
        if session is not None:
            question["sessionId"] = session
        self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send(json.dumps(question))
            async with asyncio.timeout(timeout_s):
                answer = await self._waiting[number]
        finally:
            self._waiting.pop(number).cancel()
        if "error" in answer:
            raise ScriptError(f"{method}: {answer['error']['message']}")
        result: Json = answer["result"]
        return result

    async def listen(self) -> None:
        with suppress(ConnectionClosed):
            async for text in self._socket:
                self._take(json.loads(text))
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ScriptError("the browser has ended"))

    def _take(self, message: Json) -> None:
        console = self.consoles.get(message.get("sessionId", ""), [])
        match message:
            case {"id": int(number)}:
                waiting = self._waiting.get(number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)
            case {"method": "Runtime.consoleAPICalled", "params": {"args": arguments}}:
                said = [str(one.get("value", one.get("description", ""))) for one in arguments]
                console.append(" ".join(said))
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                console.append(details.get("exception", {}).get("description", details["text"]))


@asynccontextmanager
async def browser(*flags: str) -> AsyncIterator[Browser]:
    """Start Chromium with a profile of its own; ``flags`` go to its command line."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await _start(profile, flags)
        try:
            address = await _debugger(process, Path(profile, "DevToolsActivePort"))
            async with connect(address, max_size=_LARGEST_MESSAGE, proxy=None) as socket:
                link = _Link(socket)
                listening = asyncio.create_task(link.listen())
                try:
                    yield Browser(link)
                finally:
                    listening.cancel()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _start(profile: str, flags: tuple[str, ...]) -> Process:
    as_root = ("--no-sandbox",) if os.geteuid() == 0 else ()  # it refuses to run otherwise
    arguments = (*_FLAGS, *as_root, *flags, f"--user-data-dir={profile}", "about:blank")
    return await asyncio.create_subprocess_exec(
        PROGRAM,
        *arguments,
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=DEVNULL,
        start_new_session=True,  # so that its many children end with it
    )


async def _debugger(process: Process, note: Path) -> str:
    """Where it listens; it writes port and path into a file of its profile."""
    with suppress(TimeoutError):
        async with asyncio.timeout(START_S):
            while process.returncode is None:
                if (address := _noted(note)) is not None:
                    return address
                await asyncio.sleep(_POLL_S)
    raise AssertionError(f"{PROGRAM} does not start (exit code {process.returncode})")


def _noted(note: Path) -> str | None:
    lines = note.read_text().split() if note.exists() else []
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}" if len(lines) == 2 else None


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[str]:
    """Serve the files of a folder on loopback; yields the address, without a slash at the end."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": _POLL_S})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            await asyncio.to_thread(server.shutdown)
            thread.join()
