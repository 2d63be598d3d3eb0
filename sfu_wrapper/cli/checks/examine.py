"""Runner of the checks: in sequence, each with a deadline, isolated from each other's errors."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from sfu_wrapper.cli.checks.finding import Check, Finding, wrong
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import RecordingError

DEADLINE_S: Final = 30.0  # of one check; findings until then are reported


async def examine(
    settings: Settings, checks: Sequence[Check], *, deadline_s: float = DEADLINE_S
) -> AsyncIterator[tuple[str, Finding]]:
    """Yield each finding, as it arrives, with the name of its check."""
    for check in checks:
        deadline = asyncio.get_running_loop().time() + deadline_s
        looking = aiter(check.look(settings))
        while (finding := await _next(looking, deadline)) is not None:
            yield check.name, finding


async def _next(looking: AsyncIterator[Finding], deadline: float) -> Finding | None:
    """Return the next finding; None at the end. An error is the last finding of its check."""
    try:
        async with asyncio.timeout_at(deadline):
            return await anext(looking)
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
