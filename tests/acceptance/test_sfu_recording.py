"""sfu-recording.js in a real browser, against a real controller: the example, losses, refusals."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sfu_wrapper.adapters.memory.plane import MemoryPlane
from tests.helpers.callpage import meeting
from tests.helpers.chromium import Browser, Page
from tests.helpers.live import Live, live, token
from tests.helpers.processes import free_port
from tests.helpers.tcp_proxy import TcpProxy, tcp_proxy

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]
TOP = Path(__file__).parents[2]
MODULE = "/assets/client/sfu-recording.js"


@pytest_asyncio.fixture(loop_scope="module")
async def there() -> AsyncIterator[tuple[Live, TcpProxy]]:
    """A controller with a meeting of alice's, and a proxy before its WebSockets."""
    port = free_port()
    async with (
        tcp_proxy(port) as proxy,
        live(f"websocket.port={port}", "recordRecordingAtStart=false", plane=MemoryPlane()) as here,
    ):
        await meeting(here)
        yield here, proxy


async def page_with_client(
    chromium: Browser, here: Live, proxy: TcpProxy, user: str = "alice", more: str = ""
) -> Page:
    """A page on which ``client`` is connected."""
    page = await chromium.open(f"{here.http_url}/health/live")
    url = f"ws://127.0.0.1:{proxy.port}/client"
    await page.run(
        f"import('{MODULE}').then(async (module) => {{"
        " globalThis.states = []; globalThis.lib = module;"
        f" globalThis.client = await module.connect('{url}', {{ token: '{token(user)}', {more} }});"
        " client.on('state', ({ state }) => states.push(state)); })"
    )
    return page


async def test_the_example_of_the_docs_records(
    chromium: Browser, there: tuple[Live, TcpProxy]
) -> None:
    here, proxy = there
    text = (TOP / "docs/reference/sfu-recording.md").read_text(encoding="utf-8")
    found = re.search(r"```js\n(.*?)```", text, re.DOTALL)
    assert found is not None
    code = found[1].replace("./sfu-recording.js", f"{here.http_url}{MODULE}")
    page = await chromium.open(f"{here.http_url}/health/live")
    await page.run(
        f"globalThis.code = URL.createObjectURL(new Blob([{code!r}], {{type: 'text/javascript'}}))"
    )
    stopped = await page.run(
        f"import(code).then(({{ record }}) => record("
        f"'ws://127.0.0.1:{proxy.port}/client', '{token('alice')}', 'standup', 0.2))"
    )
    assert stopped["segment"] == 1
    assert stopped["duration"] >= 0.2


async def test_a_request_without_an_answer_is_carried_out_once_after_a_loss(
    chromium: Browser, there: tuple[Live, TcpProxy]
) -> None:
    here, proxy = there
    page = await page_with_client(chromium, here, proxy)
    await page.run("client.room('standup').join()")
    proxy.refuses = True
    proxy.cut()
    await page.until("client.state === 'lost'")
    await page.run("globalThis.started = client.room('standup').startRecording(); null")
    proxy.heal()
    assert (await page.run("started"))["segment"] == 1
    whole = await page.run("client.room('standup').state()")
    assert [each["segment"] for each in whole["segments"]] == [1]
    assert [each["user"] for each in whole["participants"]] == ["alice"]
    assert await page.run("states") == ["lost", "open"]


async def test_a_watch_goes_on_after_a_loss_with_the_present_state(
    chromium: Browser, there: tuple[Live, TcpProxy]
) -> None:
    here, proxy = there
    page = await page_with_client(chromium, here, proxy)
    await page.run("client.watch('rooms')")
    await page.run("client.on('resumed', ({ watching }) => { globalThis.back = watching; })")
    proxy.cut()
    rooms = await page.until("globalThis.back?.rooms")
    assert [each["room"] for each in rooms] == ["standup"]
    bob = await here.client("bob")
    await page.run("client.on('roomChanged', (room) => { globalThis.changed = room; })")
    await bob.ok("joinRoom", {"room": "standup"})
    await page.until("globalThis.changed?.participants?.length === 1")


async def test_refusals_are_typed_errors(chromium: Browser, there: tuple[Live, TcpProxy]) -> None:
    here, proxy = there
    page = await page_with_client(chromium, here, proxy, "bob")
    await page.run("client.room('standup').join()")
    script = """client.room('standup').startRecording().catch((error) => ({
      refused: error instanceof lib.RequestRefused,
      code: error.code, fatal: error.fatal, room: error.details.room,
    }))"""
    assert await page.run(script) == {
        "refused": True,
        "code": "NOT_ROOM_OWNER",
        "fatal": True,
        "room": "standup",
    }
    many = "Promise.all(Array.from({ length: 200 }, () => client.request('ping')))"
    assert len(await page.run(many)) == 200  # those beyond the rate are sent again


async def test_a_wrong_token_ends_the_client(
    chromium: Browser, there: tuple[Live, TcpProxy]
) -> None:
    here, proxy = there
    page = await chromium.open(f"{here.http_url}/health/live")
    script = (
        f"import('{MODULE}').then(({{ connect }}) => connect("
        f"'ws://127.0.0.1:{proxy.port}/client', {{ token: 'nonsense' }}))"
        ".catch((error) => [error.code, error.fatal])"
    )
    assert await page.run(script) == ["UNAUTHENTICATED", True]
