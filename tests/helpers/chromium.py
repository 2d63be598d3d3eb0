"""A headless Chromium of the test's own, driven over its DevTools protocol, and pages for it.

Everything is on loopback; the browser looks nobody up and dies, with all its children, at the end
of the block. It has a camera and a microphone that are drawn and need no permission.

    async with site(folder) as address, browser() as chromium:
        page = await chromium.open(f"{address}/page.html")
        title = await page.run("document.title")
"""

import asyncio
import os
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.helpers.browserlink import ANSWER_S, Json, Link, ScriptError, Tab, linked

PROGRAM = "chromium"
_POLL_S = 0.05

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


@dataclass(slots=True)
class Browser:
    """A running browser."""

    _link: Link
    _consoles: dict[str, list[str]]

    async def open(self, url: str) -> "Page":
        """A new tab that has loaded ``url``. Raises ScriptError where it cannot."""
        made = await self._link.ask("Target.createTarget", {"url": "about:blank"})
        attached = await self._link.ask(
            "Target.attachToTarget", {"targetId": made["targetId"], "flatten": True}
        )
        page = Page(self._link, attached["sessionId"])
        self._consoles[attached["sessionId"]] = page.console
        for domain in ("Page", "Runtime"):
            await page.ask(f"{domain}.enable")
        await page.go(url)
        return page


class Page(Tab):
    """One tab."""

    def __init__(self, link: Link, session: str) -> None:
        super().__init__()
        self._link = link
        self._session = session

    async def go(self, url: str) -> None:
        """See ``Tab``."""
        answer = await self.ask("Page.navigate", {"url": url})
        if "errorText" in answer:
            raise ScriptError(f"{url}: {answer['errorText']}")
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def before(self, script: str) -> None:
        """See ``Tab``."""
        await self.ask("Page.addScriptToEvaluateOnNewDocument", {"source": script})

    async def run(self, script: str, timeout_s: float = ANSWER_S) -> Any:  # noqa: ANN401  # JSON
        """See ``Tab``."""
        evaluation = {"expression": script, "awaitPromise": True, "returnByValue": True}
        answer = await self.ask("Runtime.evaluate", evaluation, timeout_s)
        if (thrown := answer.get("exceptionDetails")) is not None:
            said = thrown.get("exception", {}).get("description") or thrown["text"]
            raise ScriptError(f"{said}; console: {self.console[-5:]}")
        return answer["result"].get("value")

    async def ask(
        self, method: str, params: Json | None = None, timeout_s: float = ANSWER_S
    ) -> Json:
        """See ``Tab``."""
        return await self._link.ask(method, params or {}, timeout_s, self._session)


@dataclass(slots=True)
class _Consoles:
    """Lists what each tab writes."""

    known: dict[str, list[str]] = field(default_factory=dict)

    def tell(self, message: Json) -> None:
        console = self.known.get(message.get("sessionId", ""), [])
        match message:
            case {"method": "Runtime.consoleAPICalled", "params": {"args": arguments}}:
                said = [str(one.get("value", one.get("description", ""))) for one in arguments]
                console.append(" ".join(said))
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                console.append(details.get("exception", {}).get("description", details["text"]))


@asynccontextmanager
async def browser(*flags: str) -> AsyncIterator[Browser]:
    """Start Chromium with a profile of its own; ``flags`` go to its command line."""
    consoles = _Consoles()
    as_root = ("--no-sandbox",) if os.geteuid() == 0 else ()  # it refuses to run otherwise
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        arguments = (*_FLAGS, *as_root, *flags, f"--user-data-dir={profile}", "about:blank")
        note = Path(profile, "DevToolsActivePort")
        async with linked((PROGRAM, *arguments), lambda: _noted(note), consoles.tell) as link:
            yield Browser(link, consoles.known)


def _noted(note: Path) -> str | None:
    """Return where it listens, by the file that it writes into its profile."""
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
