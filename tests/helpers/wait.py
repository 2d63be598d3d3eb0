"""Waiting for what has no event of its own, with a deadline."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

import pytest

WAIT_S = 20.0  # a deadline, not a measurement: machines are shared


async def until(
    condition: Callable[[], bool | Awaitable[bool]],
    *,
    within_s: float = WAIT_S,
    pause_s: float = 0.005,
) -> None:
    """Check a condition until it holds.

    Args:
        condition: Plain or asynchronous.
        within_s: Deadline, after which TimeoutError is raised.
        pause_s: Time between two checks.
    """
    async with asyncio.timeout(within_s):
        while True:
            holds = condition()
            if inspect.isawaitable(holds):
                holds = await holds
            if holds:
                return
            await asyncio.sleep(pause_s)


async def logged(caplog: pytest.LogCaptureFixture, action: str) -> None:
    """Wait until a log line with that action has been written."""
    await until(lambda: action in caplog.messages)
