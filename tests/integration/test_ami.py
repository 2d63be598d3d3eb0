"""Client of Asterisk's manager interface, over real sockets, against a scripted server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.adapters.asterisk.ami import (
    Ami,
    AmiNews,
    AmiSettings,
    Declined,
    LinkDown,
    LinkUp,
    Message,
)
from sfu_wrapper.model.errors import Malformed, Unavailable
from tests.helpers.ami import FakeAsterisk, asterisk
from tests.helpers.wait import until

DEADLINE_S = 30.0


class Listener:
    """Running client, and the news from it."""

    def __init__(self, ami: Ami) -> None:
        self.ami = ami
        self._news = ami.news()

    async def next(self) -> AmiNews:
        async with asyncio.timeout(DEADLINE_S):
            return await anext(self._news)

    async def until_up(self) -> LinkUp:
        while not isinstance(news := await self.next(), LinkUp):
            pass
        return news


@asynccontextmanager
async def connecting(settings: AmiSettings, *, queue: int = 100) -> AsyncIterator[Listener]:
    ami = Ami(settings, queue=queue)
    run = asyncio.create_task(ami.run())
    try:
        yield Listener(ami)
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[FakeAsterisk]:
    async with asterisk(tmp_path) as fake:
        yield fake


async def test_a_login_reports_the_version(server: FakeAsterisk) -> None:
    async with connecting(server.settings) as client:
        assert (await client.until_up()).version == "5.0.4"


async def test_an_error_is_raised_with_the_text_of_asterisk(server: FakeAsterisk) -> None:
    async with connecting(server.settings) as client:
        await client.until_up()
        with pytest.raises(Declined) as declined:
            await client.ami.act("ConfbridgeStopRecord", ("Conference", "nope"))

    assert declined.value.detail == "No active conferences."


async def test_a_list_comes_as_one_answer(server: FakeAsterisk) -> None:
    server.enter("one")
    server.enter("two")
    async with connecting(server.settings) as client:
        await client.until_up()
        answer = await client.ami.act("ConfbridgeListRooms")

    assert [entry.get("Conference") for entry in answer.listed] == ["one", "two"]


async def test_a_list_that_is_an_error_ends_too(server: FakeAsterisk) -> None:
    async with connecting(server.settings) as client:
        await client.until_up()
        with pytest.raises(Declined, match="No active conferences"):
            await client.ami.act("ConfbridgeList", ("Conference", "nope"))


async def test_events_arrive_in_order(server: FakeAsterisk) -> None:
    async with connecting(server.settings) as client:
        await client.until_up()
        server.enter("one")
        heard = [await client.next(), await client.next()]

    names = [news.event for news in heard if isinstance(news, Message)]
    assert names == ["ConfbridgeStart", "ConfbridgeJoin"]


async def test_answers_reach_the_matching_requests(server: FakeAsterisk) -> None:
    server.enter("one")
    async with connecting(server.settings) as client:
        await client.until_up()
        pong, legs = await asyncio.gather(
            client.ami.act("Ping"), client.ami.act("ConfbridgeList", ("Conference", "one"))
        )

    assert pong.message.get("Ping") == "Pong"
    assert len(legs.listed) == 1


async def test_an_action_that_is_not_answered_fails_in_time(server: FakeAsterisk) -> None:
    server.silent, server.answer_s = {"Hangup"}, 1.0
    async with connecting(server.settings) as client:
        await client.until_up()
        with pytest.raises(Unavailable, match="did not answer Hangup in time"):
            await client.ami.act("Hangup", ("Channel", "x"))


async def test_a_value_that_breaks_its_line_is_never_sent(server: FakeAsterisk) -> None:
    async with connecting(server.settings) as client:
        await client.until_up()
        with pytest.raises(Malformed):
            await client.ami.act("Hangup", ("Channel", "x\r\nAction: Command"))

    assert {action["Action"] for action in server.asked} <= {"Login", "ListCommands", "Ping"}


async def test_waiting_actions_fail_at_once_when_the_link_breaks(server: FakeAsterisk) -> None:
    server.silent = {"Hangup"}
    settings = replace(server.settings, timeout_s=60.0)
    async with connecting(settings) as client:
        await client.until_up()
        asked = asyncio.create_task(client.ami.act("Hangup", ("Channel", "x")))
        await asyncio.sleep(0)
        server.drop()
        with pytest.raises(Unavailable, match="broke"):
            await asked


async def test_a_lost_link_is_reopened(server: FakeAsterisk) -> None:
    async with connecting(server.settings) as client:
        await client.until_up()
        server.drop()
        assert isinstance(await client.next(), LinkDown)
        await client.until_up()
        await client.ami.act("Ping")


async def test_the_client_waits_for_a_server_that_starts_later(server: FakeAsterisk) -> None:
    await server.kill()
    async with connecting(server.settings) as client:
        with pytest.raises(Unavailable, match="cannot be reached"):
            await client.ami.act("Ping")
        await server.start()
        await client.until_up()


async def test_a_server_that_answers_no_ping_is_disconnected(server: FakeAsterisk) -> None:
    server.answer_s = 1.0
    async with connecting(server.settings) as client:
        await client.until_up()
        server.silent = {"Ping"}
        assert isinstance(await client.next(), LinkDown)


@pytest.mark.parametrize(
    ("secret", "banner", "said"),
    [
        ("another", "Asterisk Call Manager/5.0.4", "Authentication failed"),
        ("s3cret", "SSH-2.0-OpenSSH_9.2", "not a manager interface"),
    ],
)
async def test_the_reason_of_a_missing_link_is_logged(
    server: FakeAsterisk, caplog: pytest.LogCaptureFixture, secret: str, banner: str, said: str
) -> None:
    server.secret, server.banner = secret, banner
    async with connecting(server.settings):
        await until(lambda: bool(caplog.records))

    assert caplog.records[0].message == "asterisk.disconnected"
    assert said in caplog.records[0].__dict__["error"]


async def test_a_message_without_an_end_breaks_the_link(server: FakeAsterisk) -> None:
    async with connecting(server.settings) as client:
        await client.until_up()
        server.send(b"Event: " + b"x" * 200_000)
        assert isinstance(await client.next(), LinkDown)


async def test_a_slow_reader_loses_the_link_and_not_an_event(
    server: FakeAsterisk,
) -> None:
    async with connecting(server.settings, queue=3) as client:
        await until(lambda: client.ami.up)
        for _ in range(5):
            server.enter("one")
        await until(lambda: not client.ami.up)
        heard = [await client.next()]
        while not isinstance(heard[-1], LinkDown):
            heard.append(await client.next())

    assert isinstance(heard[0], LinkUp)
    assert len(heard) == 4


async def test_the_secret_is_in_no_representation(server: FakeAsterisk) -> None:
    assert server.secret not in repr(server.settings)
