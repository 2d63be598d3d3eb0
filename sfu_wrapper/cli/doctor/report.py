"""Checks of ``doctor``, and the loop that runs them.

Checks run in sequence, each with a deadline. An exception or a timeout becomes the last finding of
its check; the checks after it run all the same.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import RecordingError
from sfu_wrapper.observe.findings import Finding, wrong

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
