"""The console in a browser: what is shown, and what is pressed."""

import json
from dataclasses import dataclass

from tests.helpers.browserlink import Driver
from tests.helpers.live import DOMAIN, token
from tests.helpers.webpage import WebPage


@dataclass(slots=True)
class ConsolePage(WebPage):
    """One person's console."""

    async def go(self, view: str) -> None:
        """Open a view by its address, such as ``rooms/standup``."""
        await self.page.run(f"location.hash = {json.dumps('#/' + view)}")

    async def until(self, selector: str, text: str = "") -> None:
        """Wait until such an element shows these words."""
        await self.page.until(
            f"[...document.querySelectorAll({json.dumps(selector)})].some("
            f"each => each.checkVisibility() && each.textContent.includes({json.dumps(text)}))"
        )

    async def shows(self, text: str) -> None:
        """Wait until these words are in the view."""
        await self.until("main", text)

    async def lacks(self, text: str) -> None:
        """Wait until these words are no longer in the view."""
        gone = f"!document.querySelector('main').textContent.includes({json.dumps(text)})"
        await self.page.until(gone)

    async def press_button(self, name: str, within: str = "body") -> None:
        """Click the button of that name, once it is there."""
        button = (
            f"[...document.querySelectorAll({json.dumps(within + ' button')})].find(each =>"
            f" (each.ariaLabel ?? each.textContent).trim() === {json.dumps(name)})"
        )
        await self.page.until(f"Boolean({button})")
        await self.page.run(f"{button}.click()")

    async def reload_until(self, button: str, selector: str, text: str) -> None:
        """Press a button again and again, until an element shows these words."""
        shown = f"document.querySelector({json.dumps(selector)})?.textContent"
        await self.page.until(
            f"({shown} ?? '').includes({json.dumps(text)}) ||"
            f" (document.querySelector({json.dumps(button)})?.click(), false)"
        )

    async def fill(self, selector: str, text: str) -> None:
        """Write a value into a field, as typing does."""
        await self.page.run(
            f"{{const field = document.querySelector({json.dumps(selector)});"
            f"field.value = {json.dumps(text)};"
            "field.dispatchEvent(new Event('input', {bubbles: true}));"
            "field.dispatchEvent(new Event('change', {bubbles: true}));}"
        )

    async def text(self, selector: str = "main") -> str:
        """What is written there."""
        return str(await self.page.run(f"document.querySelector({json.dumps(selector)}).innerText"))


async def console(
    driver: Driver, http_url: str, user: str = "", *roles: str, domain: str = DOMAIN, view: str = ""
) -> ConsolePage:
    """The console in a tab of its own, signed in as a user unless that is empty."""
    fragment = f"#token={token(user, *roles, domain=domain)}" if user else ""
    page = await driver.open(f"{http_url}/{fragment}")
    opened = ConsolePage(page, http_url)
    await page.until("Boolean(document.querySelector('h1'))")
    if view:
        await opened.go(view)
    return opened
