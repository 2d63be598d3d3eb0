"""The example clients of the docs, as a reader runs them, against a controller."""

import asyncio
import functools
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from pathlib import Path
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from sfu_wrapper.adapters.rabbitmq.broker import RabbitBroker
from sfu_wrapper.app.parts import queues
from sfu_wrapper.config.load import load
from sfu_wrapper.model.identity import RecordingPermissions, RecordingProfile, RecordingType
from sfu_wrapper.ports.broker import Message
from tests.helpers.chromium import Browser, Page, browser, site
from tests.helpers.live import Live, Peer, live, token
from tests.helpers.rabbitmq import RabbitServer
from tests.helpers.wire import Wire, wire

pytestmark = pytest.mark.timeout(120)

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
ALWAYS = RecordingPermissions(RecordingType.ALL, RecordingProfile.ALWAYS)
ANSWER_S = 30.0


class Example:
    """A running example: lines in, lines out."""

    def __init__(self, process: Process) -> None:
        self.process = process

    async def line(self, wanted: Callable[[str], bool]) -> str:
        """Return the first further line that is wanted."""
        assert self.process.stdout is not None
        async with asyncio.timeout(ANSWER_S):
            while line := (await self.process.stdout.readline()).decode().strip():
                if wanted(line):
                    return line
        raise AssertionError("the example has ended")

    async def shows(self, text: str) -> None:
        """Wait for a line that is this text."""
        await self.line(lambda line: line == text)

    def enter(self, text: str = "") -> None:
        """Type a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())


@asynccontextmanager
async def example(name: str, *arguments: str) -> AsyncIterator[Example]:
    """Run an example of the docs, and end it."""
    program = str(EXAMPLES / name)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", program, *arguments, stdin=PIPE, stdout=PIPE
    )
    try:
        yield Example(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _lead_to(here: Live) -> AbstractAsyncContextManager[Wire]:
    """Return a connection to the controller that can be cut."""
    return wire(int(here.url.rpartition(":")[2]))


def _cut(link: Wire) -> None:
    """Break all connections, and let no other through."""
    link.closed = True
    link.cut()


@pytest_asyncio.fixture
async def here() -> AsyncIterator[Live]:
    """A controller with a meeting of alice's."""
    async with live("rooms.reconnectGraceSeconds=60") as here:
        room = {"id": "standup", "kind": "meeting", "owner": "alice", "domain": "example"}
        await (await here.service()).ok("createRoom", room)
        yield here


async def test_the_button_starts_and_stops_for_the_owner_alone(here: Live) -> None:
    await here.permit("alice", ALWAYS)
    run = functools.partial(example, "record_button.py", here.url)
    async with run(token("alice"), "standup") as alice, run(token("bob"), "standup") as bob:
        await alice.shows("○ not recording [record]")
        await bob.shows("○ not recording [only alice may record]")
        alice.enter()
        await alice.shows("● recording [stop]")
        await bob.shows("● recording [only alice may record]")
        alice.enter()
        await alice.shows("○ not recording [record]")
        await bob.shows("○ not recording [only alice may record]")


async def test_the_button_says_why_the_owner_may_not_record(here: Live) -> None:
    async with example("record_button.py", here.url, token("alice"), "standup") as alice:
        await alice.shows("○ not recording [not permitted: NO_PERMISSION]")


async def _carol_comes(here: Live) -> Peer:
    carol = await here.client("carol")
    await carol.ok("joinRoom", {"room": "standup"})
    return carol


def _is(name: str) -> Callable[[str], bool]:
    return lambda line: bool(json.loads(line)["event"] == name)


async def test_a_lost_connection_costs_neither_the_place_nor_a_request(here: Live) -> None:
    dave = await here.client("dave")
    await dave.ok("joinRoom", {"room": "standup"})
    async with (
        _lead_to(here) as link,
        example("reconnecting.py", link.url, token("alice"), "standup") as alice,
    ):
        before = json.loads(await alice.line(_is("state")))["payload"]
        _cut(link)
        alice.enter("on")  # asked for without a connection
        await _carol_comes(here)
        link.closed = False

        lines: list[str] = []
        while not lines or not _is("state")(lines[-1]):
            lines.append(await alice.line(lambda _: True))
        after = json.loads(lines[-1])["payload"]
        answer = json.loads(await alice.line(_is("answer")))["payload"]

    joined = {each["user"]: each["joinedAt"] for each in before["participants"]}
    again = {each["user"]: each["joinedAt"] for each in after["participants"]}
    assert again["alice"] == joined["alice"]  # no second join
    assert "participantLeft" not in dave.events()
    assert "carol" in again  # missed, and in the state
    assert not [line for line in lines if "participantJoined" in line]  # not replayed
    assert answer["status"] == "ok"
    assert answer["payload"]["media"]["audio"] is True


async def test_a_refused_token_ends_the_client(here: Live) -> None:
    async with example("reconnecting.py", here.url, "no-token", "standup") as alice:
        async with asyncio.timeout(ANSWER_S):
            assert await alice.process.wait() == 1


@pytest_asyncio.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as chromium:
        yield chromium


async def _opened(chromium: Browser, stack: AsyncExitStack, name: str, url: str, user: str) -> Page:
    """Open an example for a user."""
    address = await stack.enter_async_context(site(EXAMPLES))
    query = urlencode({"url": url, "room": "standup"})
    return await chromium.open(f"{address}/{name}.html?{query}#token={token(user)}")


async def _text(page: Page, element: str, text: str) -> None:
    await page.until(f"document.querySelector('#{element}').textContent === {json.dumps(text)}")


@pytest.mark.system
async def test_the_button_works_in_a_browser(here: Live, chromium: Browser) -> None:
    await here.permit("alice", ALWAYS)
    async with AsyncExitStack() as stack:
        alice = await _opened(chromium, stack, "record_button", here.url, "alice")
        await alice.until("!document.querySelector('#record').disabled")
        bob = await _opened(chromium, stack, "record_button", here.url, "bob")
        await _text(bob, "note", "only alice may record")
        assert await bob.run("document.querySelector('#record').disabled")

        await alice.run("document.querySelector('#record').click()")
        await _text(alice, "record", "Stop recording")
        await bob.until("document.querySelector('#sign').textContent.startsWith('recorded since')")
        await alice.until("!document.querySelector('#record').disabled")
        await alice.run("document.querySelector('#record').click()")
        await _text(alice, "record", "Record")
        await _text(bob, "sign", "not recorded")
        assert (alice.console, bob.console) == ([], [])


@pytest.mark.system
async def test_a_browser_takes_its_place_again(here: Live, chromium: Browser) -> None:
    async with AsyncExitStack() as stack:
        link = await stack.enter_async_context(_lead_to(here))
        alice = await _opened(chromium, stack, "reconnecting", link.url, "alice")
        await _text(alice, "people", "alice")
        _cut(link)
        await _text(alice, "connection", "connecting again")
        await alice.run("document.querySelector('#microphone').click()")
        carol = await _carol_comes(here)
        link.closed = False

        await _text(alice, "people", "alice (audio), carol")
        assert "participantLeft" not in carol.events()


@pytest.mark.system
async def test_results_are_read_from_rabbitmq_once(rabbitmq: RabbitServer) -> None:
    broker = RabbitBroker(rabbitmq.url)
    done: dict[str, object] = {"status": "processed", "uuid": "example-1", "segment": 1}
    done["files"] = [{"filename": "/out/rec-1.webm"}]
    bad: dict[str, object] = {"status": "failed", "uuid": "example-1", "segment": 2}
    bad["error"] = {"code": "MISSING_FILE", "message": "a.mjr does not exist"}
    try:
        await broker.open(queues(load(None, {})))
        for key, body in (("processed", done), ("processed", done), ("failed", bad)):
            message_id = f"example-1:{body['segment']}:{key}"
            text = json.dumps(body).encode()
            await broker.publish(Message(key, message_id, text, "r", 0, mandatory=True))
        async with example("read_results.py", rabbitmq.url) as results:
            lines = [await results.line(lambda line: "example-1" in line) for _ in range(2)]
    finally:
        await broker.close()

    assert sorted(lines) == [
        "example-1 1 /out/rec-1.webm",
        "example-1 2 MISSING_FILE a.mjr does not exist",
    ]
