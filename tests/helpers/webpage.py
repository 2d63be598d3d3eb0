"""A page of ours in a browser, as a person uses it: keys, sizes, schemes, and what axe finds."""

import base64
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from tests.helpers.browserlink import Tab

_CODES = {"Tab": 9, "Enter": 13, " ": 32, "Escape": 27}
_TABS = 120  # more than there is to be focused


@dataclass(slots=True)
class WebPage:
    """A page in a tab of its own."""

    page: Tab
    url: str

    async def press(self, key: str) -> None:
        """Press a key and let it go."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        fields = {"key": key, "windowsVirtualKeyCode": _CODES[key], "text": text}
        await self.page.ask("Input.dispatchKeyEvent", {"type": "keyDown", **fields})
        await self.page.ask("Input.dispatchKeyEvent", {"type": "keyUp", **fields})

    async def type(self, text: str) -> None:
        """Write into what has the focus."""
        await self.page.ask("Input.insertText", {"text": text})

    async def tab_to(self, selector: str) -> None:
        """Press Tab until it is there."""
        for _ in range(_TABS):
            await self.press("Tab")
            if await self.page.run(f"document.activeElement.matches({selector!r})"):
                return
        raise AssertionError(f"{selector} cannot be reached by Tab")

    async def look(self, width: int, height: int, scheme: str = "light") -> None:
        """Give the window a size, and the page a scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        await self.page.ask("Emulation.setDeviceMetricsOverride", size)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        await self.page.ask("Emulation.setEmulatedMedia", {"features": [feature]})

    async def picture(self, file: Path) -> None:
        """Save what is shown as a PNG."""
        shot = await self.page.ask("Page.captureScreenshot", {"format": "png"})
        file.write_bytes(base64.b64decode(shot["data"]))  # noqa: ASYNC240

    async def violations(self) -> list[Any]:
        """What axe finds serious or worse: rule, and what it is about."""
        await self.page.run(f"{_axe()};0")
        found = await self.page.run("axe.run({resultTypes: ['violations']})", 60)
        return [
            (each["id"], [node["target"] for node in each["nodes"]])
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
        ]


def _axe() -> str:
    return resources.files("axe_core_python").joinpath("axe.min.js").read_text()
