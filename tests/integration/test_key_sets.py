"""Tokens of an identity provider: a controller that knows its keys from an address alone."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from sfu_wrapper.adapters.http_fetch import MAX_BYTES, HttpKeySet
from sfu_wrapper.adapters.memory.broker import MemoryBroker
from sfu_wrapper.adapters.memory.plane import MemoryPlane
from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.app.controller import Parts, Running, controller
from sfu_wrapper.config.load import load
from sfu_wrapper.model.errors import Unavailable
from tests.helpers.calls import is_available, is_unavailable, page
from tests.helpers.provider import Provider, key_set, provider, signed
from tests.helpers.wait import until

KEY, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))


@asynccontextmanager
async def believing(url: str) -> AsyncIterator[Running]:
    """A controller that accepts the tokens of the provider at this address."""
    chosen = ("websocket.port=0", "http.port=0", f"auth.jwksUrl={url}")
    parts = Parts(MemoryStore(), MemoryBroker(), MemoryPlane(), SystemClock())
    async with controller(load(Path("config"), {}, chosen), parts) as running:
        yield running


async def status(running: Running, token: str) -> int:
    """How a handshake with this token ends."""
    header = {"Authorization": f"Bearer {token}"}
    try:
        async with connect(f"{running.url}/client", additional_headers=header, proxy=None):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def test_a_token_of_the_provider_is_accepted_from_the_first_moment() -> None:
    with provider(key_set(one=KEY)) as told:
        async with believing(told.url) as running:
            assert await status(running, signed(KEY, "ES256", "one")) == 101
            assert await status(running, signed(OTHER, "ES256", "one")) == 401
            assert await status(running, signed(OTHER, "ES256", "two")) == 401
            assert await is_available(running.http_url, "keys")
        assert told.asked == 1


async def test_while_the_provider_is_away_nobody_is_believed_and_health_says_so() -> None:
    with provider(b"<html>maintenance</html>") as told:
        told.status = 503
        async with believing(told.url) as running:
            assert await status(running, signed(KEY, "ES256", "one")) == 401
            assert await is_unavailable(running.http_url, "keys")
            code, text = await page(f"{running.http_url}/health/ready")
            assert (code, json.loads(text)["status"]) == (200, "degraded")

            told.status, told.body = 200, key_set(one=KEY)

            async def believed() -> bool:
                return await status(running, signed(KEY, "ES256", "one")) == 101

            await until(believed)
            assert await is_available(running.http_url, "keys")


async def test_what_the_provider_answers_is_had_as_it_is() -> None:
    with provider(b"x" * MAX_BYTES) as told:
        assert await HttpKeySet(told.url).fetch() == told.body


def redirect(told: Provider) -> None:
    told.status, told.headers = 302, {"Location": told.url + "?elsewhere"}


def too_long(told: Provider) -> None:
    told.body = b"x" * (MAX_BYTES + 1)


def refuse(told: Provider) -> None:
    told.status = 403


@pytest.mark.parametrize(
    ("spoil", "why"),
    [(redirect, "302"), (too_long, "longer than 262144 bytes"), (refuse, "403")],
)
async def test_an_answer_that_is_not_taken(spoil: Callable[[Provider], None], why: str) -> None:
    with provider(key_set(one=KEY)) as told:
        spoil(told)
        with pytest.raises(Unavailable, match=why):
            await HttpKeySet(told.url).fetch()
        assert told.asked == 1


async def test_a_provider_that_dribbles_runs_into_the_deadline() -> None:
    with provider() as told:
        told.dribble = True
        async with asyncio.timeout(20):
            with pytest.raises(Unavailable):
                await HttpKeySet(told.url, deadline_s=0.2).fetch()


async def test_nobody_there_and_no_address_at_all() -> None:
    for url in ("http://127.0.0.1:1/keys", "http://[/keys", "http://nobody.invalid/keys"):
        with pytest.raises(Unavailable):
            await HttpKeySet(url).fetch()
