"""Sending of files: their own pace instead of the limit of a request, their own places."""

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from sfu_wrapper.gateway.rest.conditions import Span
from sfu_wrapper.gateway.rest.middleware import Edge
from sfu_wrapper.gateway.rest.transfers import PIECE_BYTES, PLACES_EACH, FileResponse, Transfers
from sfu_wrapper.gateway.settings import HttpSettings
from sfu_wrapper.model.errors import Refused, Unavailable
from sfu_wrapper.observe.metrics import Metrics

PIECES = 4
SIZE = PIECES * PIECE_BYTES


class Opened:
    """A file in memory that knows if it was closed; ``length``: what is left of it."""

    def __init__(self, length: int = SIZE) -> None:
        self.size_bytes = SIZE
        self.closed = False
        self.reads = 0
        self._content = bytes(length)

    async def read(self, offset: int, length: int) -> bytes:
        """See the port."""
        self.reads += 1
        return self._content[offset : offset + length]

    def close(self) -> None:
        """See the port."""
        self.closed = True


async def ask(
    opened: Opened, transfers: Transfers, send: Send, *, method: str = "GET", gone: bool = False
) -> None:
    """One request for a file behind an edge whose requests end after 10 ms."""

    async def receive() -> Message:
        if not gone:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def app(scope: Scope, _: Receive, inner: Send) -> None:
        response = FileResponse(opened, Span(0, SIZE), 200, {}, transfers, "alice")
        await response(scope, receive, inner)

    scope: Scope = {
        "type": "http", "method": method, "path": "/", "raw_path": b"/", "headers": [],
        "query_string": b"",
    }  # fmt: skip
    await Edge(app, Metrics(), 0.01, 10)(scope, receive, send)


async def test_a_file_may_take_longer_than_a_request_while_its_client_keeps_pace() -> None:
    opened, transfers = Opened(), Transfers(HttpSettings(download_piece_s=60))
    sent: list[int] = []

    async def send(message: Message) -> None:
        await asyncio.sleep(0.02)  # each piece alone takes longer than a request may
        sent.append(len(message.get("body", b"")))

    await ask(opened, transfers, send)

    assert sum(sent) == SIZE
    assert opened.closed
    assert transfers.under_way == 0


async def test_a_client_that_takes_nothing_is_cut_and_costs_nothing_any_more() -> None:
    opened, transfers = Opened(), Transfers(HttpSettings(download_piece_s=0.05))

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await ask(opened, transfers, send)

    assert opened.reads == 1
    assert opened.closed
    assert transfers.under_way == 0


async def test_nothing_is_read_for_a_client_that_has_left() -> None:
    opened, transfers = Opened(), Transfers(HttpSettings(download_piece_s=60))

    async def send(_: Message) -> None:
        await asyncio.sleep(0)

    await ask(opened, transfers, send, gone=True)

    assert opened.reads < PIECES
    assert opened.closed


async def test_head_reads_nothing() -> None:
    opened, transfers = Opened(), Transfers(HttpSettings())

    async def send(_: Message) -> None:
        await asyncio.sleep(0)

    await ask(opened, transfers, send, method="HEAD")

    assert opened.reads == 0
    assert opened.closed


async def test_a_file_that_has_become_shorter_is_not_passed_off_as_whole() -> None:
    opened, transfers = Opened(PIECE_BYTES), Transfers(HttpSettings(download_piece_s=60))

    async def send(_: Message) -> None:
        await asyncio.sleep(0)

    with pytest.raises(Unavailable):
        await ask(opened, transfers, send)

    assert opened.closed


def test_one_user_has_a_few_places_and_all_together_as_many_as_configured() -> None:
    transfers = Transfers(HttpSettings(max_downloads=PLACES_EACH + 1))
    for _ in range(PLACES_EACH):
        transfers.enter("alice")
    with pytest.raises(Refused, match="wait for one to end"):
        transfers.enter("alice")
    transfers.enter("bob")
    with pytest.raises(Unavailable):
        transfers.enter("carol")
    transfers.leave("alice")
    transfers.enter("carol")

    assert transfers.under_way == PLACES_EACH + 1
