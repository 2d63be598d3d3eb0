"""Running checks: whatever happens to one of them, the report goes on."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sfu_wrapper.cli.doctor.report import Check, Run, run_checks
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.observe.findings import Finding, ok, wrong


def failing(error: Exception) -> Run:
    async def check(_: Settings) -> AsyncIterator[Finding]:
        yield ok("half of it is well")
        raise error

    return check


async def hanging(_: Settings) -> AsyncIterator[Finding]:
    yield ok("half of it is well")
    await asyncio.Event().wait()


async def silent(_: Settings) -> AsyncIterator[Finding]:
    nothing: tuple[Finding, ...] = ()
    for finding in nothing:
        yield finding


async def healthy(_: Settings) -> AsyncIterator[Finding]:
    yield ok("all is well")


async def report(*runs: Run, deadline_s: float = 30) -> list[tuple[str, Finding]]:
    checks = [Check(run.__name__, run) for run in runs]
    return [row async for row in run_checks(Settings(), checks, deadline_s=deadline_s)]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Unavailable("the database hangs"), "the database hangs"),
        (OSError(5, "Input/output error"), "[Errno 5] Input/output error"),
        (ZeroDivisionError("a / b"), "the check itself failed: ZeroDivisionError: a / b"),
    ],
)
async def test_what_a_check_raises_is_its_last_finding(error: Exception, text: str) -> None:
    first, second, third = await report(failing(error), healthy)

    assert first == ("check", ok("half of it is well"))
    assert second[1] == wrong(text, second[1].advice)
    assert second[1].advice
    assert third == ("healthy", ok("all is well"))


async def test_a_check_that_hangs_is_given_up() -> None:
    found = await report(hanging, healthy, deadline_s=0.05)

    assert found[1] == ("hanging", wrong("no answer in time", found[1][1].advice))
    assert found[2] == ("healthy", ok("all is well"))


async def test_a_check_that_is_not_asked_for_says_nothing() -> None:
    assert await report(silent) == []
