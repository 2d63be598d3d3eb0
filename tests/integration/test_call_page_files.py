"""The call page as it is served: what it is told, what it may do, what it is made of."""

import asyncio
import re
import urllib.request

import pytest

from tests.helpers.http import world
from tests.helpers.live import live


async def test_the_page_is_told_where_the_websockets_are() -> None:
    async with world() as here:
        answer = await here.ask("GET", "/call/team@example.com", headers={"Host": "calls.test:81"})

    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert meta(answer.body, "signaling") == "ws://calls.test:8765/client"
    assert meta(answer.body, "media") == ""  # nothing carries any
    assert int(meta(answer.body, "now")) > 1_600_000_000_000


async def test_a_configured_address_counts_for_page_and_policy() -> None:
    async with live("http.publicWebsocketUrl=wss://calls.test/ws") as here:
        page, policy = await fetched(here.http_url)

    assert meta(page, "signaling") == "wss://calls.test/ws/client"
    assert "connect-src wss://calls.test/ws/client wss://calls.test/ws/media;" in policy


async def test_it_may_run_nothing_but_its_own_files_and_stand_in_no_frame() -> None:
    async with world() as here:
        answer = await here.ask("GET", "/call/standup")

    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "connect-src ws://test:8765/client ws://test:8765/media;" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=(self)" in answer.headers["permissions-policy"]
    assert b"style=" not in answer.body
    assert b"<script>" not in answer.body


@pytest.mark.parametrize(
    "host", ["evil.test; script-src *", 'a"><script>', "[::1", "a b", "", "x" * 300, "a/b@c"]
)
async def test_a_host_that_is_none_stands_nowhere(host: str) -> None:
    async with world() as here:
        answer = await here.ask("GET", "/call/standup", headers={"Host": host or " "})

    assert meta(answer.body, "signaling") == "ws://localhost:8765/client"
    assert (
        "connect-src ws://localhost:8765/client ws://localhost:8765/media;"
        in answer.headers["content-security-policy"]
    )


async def test_an_ipv6_host_is_one() -> None:
    async with world() as here:
        answer = await here.ask("GET", "/call/standup", headers={"Host": "[::1]:8080"})

    assert meta(answer.body, "signaling") == "ws://[::1]:8765/client"


async def test_every_file_that_it_names_is_there_and_no_other() -> None:
    async with world() as here:
        page = (await here.ask("GET", "/call/standup")).body.decode()
        names = set(re.findall(r'assets/callpage/([a-z.]+)"', page))
        seen: dict[str, str] = {}
        while names - set(seen):
            name = (names - set(seen)).pop()
            file = await here.ask("GET", f"/assets/callpage/{name}")
            assert file.status == 200, name
            seen[name] = file.headers["content-type"]
            names |= set(re.findall(r'from "\./([a-z.]+)"', file.body.decode()))
        refused = [
            (await here.ask("GET", f"/assets/callpage/{name}")).status
            for name in ("index.html", "page.py", "..", "style.css/", "%2e%2e")
        ]

    assert seen["style.css"] == "text/css; charset=utf-8"
    assert seen["main.js"] == "text/javascript; charset=utf-8"
    assert len(seen) == 9
    assert set(refused) <= {400, 404}


@pytest.mark.parametrize("room", ["a%20b", "<b>", "x" * 129, "."])
async def test_a_room_that_cannot_be_has_no_page(room: str) -> None:
    async with world() as here:
        answer = await here.ask("GET", f"/call/{room}")

    assert answer.status == 400


def meta(page: bytes, name: str) -> str:
    """What the page is told under a name."""
    found = re.search(rf'<meta name="{name}" content="([^"]*)">', page.decode())
    assert found is not None
    return found[1]


async def fetched(url: str) -> tuple[bytes, str]:
    """The page of a running controller, and its policy."""

    def fetch() -> tuple[bytes, str]:
        with urllib.request.urlopen(f"{url}/call/standup", timeout=20) as answer:
            return answer.read(), answer.headers["content-security-policy"]

    return await asyncio.to_thread(fetch)
