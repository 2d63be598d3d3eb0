"""What happens around the routes, with routes that misbehave."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message, Receive, Scope, Send

from sfu_wrapper.gateway.rest.middleware import Edge
from sfu_wrapper.observe.metrics import Metrics

App = Callable[[Scope, Receive, Send], Awaitable[None]]

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
PART: Message = {"type": "http.response.body", "body": b"half", "more_body": True}
END: Message = {"type": "http.response.body", "body": b"", "more_body": False}


async def ask(app: App, *, scope_type: str = "http", sent: list[Message]) -> None:
    """One request to ``app`` behind the edge; what it sends stands in ``sent``."""

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": scope_type, "method": "GET", "path": "/", "raw_path": b"/", "headers": [],
        "query_string": b"",
    }  # fmt: skip
    await Edge(app, Metrics(), 0.05, 10)(scope, receive, send)


def answered(sent: list[Message]) -> tuple[int, str]:
    """Status and code."""
    return sent[0]["status"], json.loads(sent[1]["body"])["code"]


async def test_a_route_that_never_answers_is_given_up() -> None:
    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    sent: list[Message] = []
    await ask(hang, sent=sent)

    assert answered(sent) == (503, "OVERLOADED")


async def test_an_answer_that_stops_in_the_middle_is_not_passed_off_as_whole() -> None:
    async def stall(_: Scope, __: Receive, send: Send) -> None:
        await send(START)
        await send(PART)
        await asyncio.Event().wait()

    sent: list[Message] = []
    with pytest.raises(TimeoutError):
        await ask(stall, sent=sent)

    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


async def test_a_bug_below_the_framework_is_answered_too() -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    sent: list[Message] = []
    await ask(broken, sent=sent)

    assert answered(sent) == (500, "INTERNAL")


async def test_a_bug_in_the_middle_of_an_answer_cuts_it() -> None:
    async def broken(_: Scope, __: Receive, send: Send) -> None:
        await send(START)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ask(broken, sent=[])


async def test_a_bug_after_the_answer_is_no_second_answer() -> None:
    async def broken(_: Scope, __: Receive, send: Send) -> None:
        await send(START)
        await send(END)
        raise ZeroDivisionError

    sent: list[Message] = []
    await ask(broken, sent=sent)

    assert len(sent) == 2


async def test_nothing_but_http_is_spoken() -> None:
    async def never(*_: object) -> None:
        raise AssertionError

    with pytest.raises(RuntimeError, match="websocket"):
        await ask(never, scope_type="websocket", sent=[])
