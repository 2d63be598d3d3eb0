"""A headless Firefox of the test's own, driven by WebDriver BiDi, which it speaks itself.

As ``chromium``: everything is on loopback, nobody is looked up, camera and microphone are drawn and
need no permission, and it ends with the block.

    async with site(folder) as address, browser() as firefox:
        page = await firefox.open(f"{address}/page.html")
        title = await page.run("document.title")
"""

import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.helpers.browserlink import ANSWER_S, Json, Link, ScriptError, Tab, linked

PROGRAM: Final = "firefox-esr"
TONE: Final = "media.navigator.audio.fake_frequency"
"""Setting: Hz of its own microphone."""

_SETTINGS: Final = {
    # Nobody is to be looked up outside: all but loopback goes to a proxy that is not there.
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "app.normandy.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    # A page that nobody looks at goes on at full speed, and may play and record by itself.
    "dom.min_background_timeout_value": 4,
    "dom.timeout.enable_budget_timer_throttling": False,
    "widget.windows.window_occlusion_tracking.enabled": False,
    "devtools.jsonview.enabled": False,  # it writes to the console
    "media.autoplay.default": 0,
    "media.autoplay.blocking_policy": 0,
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    # WebRTC between programs of one machine.
    "media.peerconnection.ice.loopback": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
}


@dataclass(slots=True)
class Browser:
    """A running browser."""

    version: str
    _link: Link
    _consoles: dict[str, list[str]]

    async def open(self, url: str) -> "Page":
        """A new window that has loaded ``url``. Raises ScriptError where it cannot."""
        made = await self._link.ask("browsingContext.create", {"type": "window"})
        page = Page(self._link, made["context"])
        self._consoles[made["context"]] = page.console
        await page.go(url)
        return page


class Page(Tab):
    """One window."""

    def __init__(self, link: Link, context: str) -> None:
        super().__init__()
        self._link = link
        self._context = context

    async def go(self, url: str) -> None:
        """See ``Tab``."""
        await self.ask("browsingContext.navigate", {"url": url, "wait": "complete"})

    async def before(self, script: str) -> None:
        """See ``Tab``."""
        where = {"functionDeclaration": f"() => {{{script}}}", "contexts": [self._context]}
        await self._link.ask("script.addPreloadScript", where)

    async def run(self, script: str, timeout_s: float = ANSWER_S) -> Any:  # noqa: ANN401  # JSON
        """See ``Tab``."""
        evaluation = {"expression": script, "awaitPromise": True, "userActivation": True}
        where = {"target": {"context": self._context}}
        answer = await self._link.ask("script.evaluate", evaluation | where, timeout_s)
        if answer["type"] == "exception":
            said = answer["exceptionDetails"]["text"]
            raise ScriptError(f"{said}; console: {self.console[-5:]}")
        return _plain(answer["result"])

    async def ask(
        self, method: str, params: Json | None = None, timeout_s: float = ANSWER_S
    ) -> Json:
        """See ``Tab``."""
        return await self._link.ask(method, {"context": self._context, **(params or {})}, timeout_s)


def _plain(value: Json) -> Any:  # noqa: ANN401  # JSON
    """Return a value of the protocol as JSON."""
    match value:
        case {"type": "array", "value": items}:
            return [_plain(item) for item in items]
        case {"type": "object", "value": pairs}:
            return {name: _plain(item) for name, item in pairs}
        case {"value": plain}:
            return plain
    return None


@dataclass(slots=True)
class _Consoles:
    """Lists what each window writes."""

    known: dict[str, list[str]] = field(default_factory=dict)

    def tell(self, message: Json) -> None:
        match message:
            case {"method": "log.entryAdded", "params": {"source": source, "text": text}}:
                self.known.get(source.get("context", ""), []).append(str(text))


@asynccontextmanager
async def browser(**settings: object) -> AsyncIterator[Browser]:
    """Start Firefox with a profile of its own; ``settings``: more of its preferences."""
    consoles = _Consoles()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        _write(Path(profile, "user.js"), _SETTINGS | settings)
        argv = (PROGRAM, "--headless", "--no-remote", "--profile", profile)
        # It refuses to run in the home of another user, where root has been given one.
        env = os.environ | {"HOME": profile, "MOZ_CRASHREPORTER_DISABLE": "1"}
        note = Path(profile, "WebDriverBiDiServer.json")
        debugged = ("--remote-debugging-port", "0", "about:blank")
        async with linked((*argv, *debugged), lambda: _noted(note), consoles.tell, env) as link:
            made = await link.ask("session.new", {"capabilities": {}})
            await link.ask("session.subscribe", {"events": ["log.entryAdded"]})
            version = made["capabilities"]["browserVersion"]
            yield Browser(version, link, consoles.known)


def _write(file: Path, settings: dict[str, object]) -> None:
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(settings[name])});" for name in settings]
    file.write_text("\n".join(lines), "utf-8")


def _noted(note: Path) -> str | None:
    """Return where it listens, by the file that it writes into its profile."""
    text = note.read_text("utf-8") if note.exists() else ""
    if not text.rstrip().endswith("}"):  # it is being written
        return None
    told = json.loads(text)
    return f"ws://{told['ws_host']}:{told['ws_port']}/session"
