"""What a check finds: one line for a person, with what to do. Decides nothing."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum

from sfu_wrapper.config.settings import Settings


class Status(StrEnum):
    """How bad it is. Only ``wrong`` fails the command."""

    OK = "ok"
    WARNING = "warning"  # it works, and is worth a thought
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    text: what was found, with no secret in it.
    advice: what to do; empty only where all is well.
    """

    status: Status
    text: str
    advice: str = ""


def good(text: str) -> Finding:
    """All is well."""
    return Finding(Status.OK, text)


def odd(text: str, advice: str) -> Finding:
    """It works, and is worth a thought."""
    return Finding(Status.WARNING, text, advice)


def wrong(text: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(Status.WRONG, text, advice)


Look = Callable[[Settings], AsyncIterator[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """One subject. name: one word, what a line of the report begins with after its status."""

    name: str
    look: Look
