"""The Autobahn cases against our own server settings, and which of them need not pass.

Needs no token: what is tried is the server below the messages, with an echo in place of the links.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from kosoku import FailureError, run_fuzzingclient
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request

from sfu_wrapper.gateway.auth import Admitted, Path
from sfu_wrapper.gateway.settings import GatewaySettings
from sfu_wrapper.gateway.transport import Connection, ReadLimits, listen

_PIECES = "more than the 4096 fragments that the library joins: closed with 1009, as is meant"
_NO_COMPRESSION = "permessage-deflate, which we never offer"

MAY_FAIL = {
    "7.1.5": "documented by the library: 1002 for a fragment after a close frame, instead of 1000",
    "9.3.1": _PIECES,
    "9.3.2": _PIECES,
    "9.4.1": _PIECES,
    "9.4.2": _PIECES,
}
"""Cases that fail, each with its reason; one of these that passes has lost its reason."""

NOT_RUN = {
    "12.*": _NO_COMPRESSION,
    "13.*": _NO_COMPRESSION,
}
_LONG = "messages longer than websocket.maxMessageBytes"
_FAST = "a thousand messages as fast as they go, where one client is read at its pace"
TOO_LONG = {
    **{f"9.{section}.{case}": _LONG for section in (1, 2) for case in range(2, 7)},
    **{f"9.{section}.*": _LONG for section in range(3, 7)},
    **{f"9.{section}.*": _FAST for section in (7, 8)},
}
"""What the settings that we ship exclude; with wider ones they run in ``scripts/soak``."""


@asynccontextmanager
async def echo(settings: GatewaySettings) -> AsyncIterator[str]:
    """The URL of a server with these settings that sends back whatever it gets."""

    async def handle(connection: Connection) -> None:
        try:
            async for message in connection:
                await connection.send(message)
        except ConnectionClosed:
            pass  # as many cases want it

    def judge(_: Connection, __: Request) -> Admitted:
        return Admitted(Path.CLIENT, None)

    async with await listen(ReadLimits(settings), handle, judge) as server:
        host, port = next(iter(server.sockets)).getsockname()[:2]
        yield f"ws://{host}:{port}"


async def run(
    settings: GatewaySettings, cases: Sequence[str] | None = None, without: Sequence[str] = ()
) -> tuple[set[str], dict[str, str]]:
    """The cases that passed, and those that did not with what was said of them."""
    async with echo(settings) as url:
        try:
            results = await run_fuzzingclient(url, cases, list(without), concurrency=4)
        except FailureError as failure:
            results = failure.results
    passed = {result.case_id for result in results if result.passed}
    failed = {
        result.case_id: f"{result.behavior.value}, {result.result} {result.result_close}"
        for result in results
        if not result.passed
    }
    return passed, failed


def unexplained(failed: dict[str, str]) -> dict[str, str]:
    """Those that had no reason to fail."""
    return {case: said for case, said in failed.items() if case not in MAY_FAIL}
