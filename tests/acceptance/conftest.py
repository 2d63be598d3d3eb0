"""What acceptance tests share: one browser for all tests of a module."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.helpers.chromium import Browser, browser


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as chromium:
        yield chromium
