"""Findings of the checks of ``doctor``, and the loop that runs the checks.

Checks run in sequence, each with a deadline. An exception or a timeout becomes the last finding of
its check; the checks after it run all the same.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import RecordingError


class Status(StrEnum):
    """Severity of a finding. Only ``wrong`` fails the command."""

    OK = "ok"
    WARNING = "warning"  # it works, but deserves attention
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """Line of the report.

    Attributes:
        status: severity.
        text: the observation, without secrets.
        advice: the action to take; empty only for ``ok``.
    """

    status: Status
    text: str
    advice: str = ""


def ok(text: str) -> Finding:
    """Return a finding of status ``ok``."""
    return Finding(Status.OK, text)


def warning(text: str, advice: str) -> Finding:
    """Return a finding of status ``warning``."""
    return Finding(Status.WARNING, text, advice)


def wrong(text: str, advice: str) -> Finding:
    """Return a finding of status ``wrong``."""
    return Finding(Status.WRONG, text, advice)


Run = Callable[[Settings], AsyncIterator[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """Check of one subject.

    Attributes:
        name: one word, printed after the status.
        run: yields the findings; nothing where the subject is not configured.
    """

    name: str
    run: Run


DEADLINE_S: Final = 30.0  # of one check; findings until then are reported


async def run_checks(
    settings: Settings, checks: Sequence[Check], *, deadline_s: float = DEADLINE_S
) -> AsyncIterator[tuple[str, Finding]]:
    """Yield each finding, as it arrives, with the name of its check."""
    for check in checks:
        deadline = asyncio.get_running_loop().time() + deadline_s
        findings = aiter(check.run(settings))
        while (finding := await _next(findings, deadline)) is not None:
            yield check.name, finding


async def _next(findings: AsyncIterator[Finding], deadline: float) -> Finding | None:
    """Return the next finding; None at the end. An error is the last finding of its check."""
    try:
        async with asyncio.timeout_at(deadline):
            return await anext(findings)
    except StopAsyncIteration:
        return None
    except TimeoutError:
        return wrong("no answer in time", "look for a service or disk that hangs")
    except RecordingError as error:
        return wrong(error.detail, "fix this first")
    except OSError as error:
        return wrong(str(error), "fix this first")
    except Exception as error:
        text = f"the check itself failed: {type(error).__name__}: {error}"
        return wrong(text, "report this as a bug")
