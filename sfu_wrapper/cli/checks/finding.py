"""Findings of the checks: one line for the operator, with the action to take."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum

from sfu_wrapper.config.settings import Settings


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


def good(text: str) -> Finding:
    """Return a finding of status ``ok``."""
    return Finding(Status.OK, text)


def odd(text: str, advice: str) -> Finding:
    """Return a finding of status ``warning``."""
    return Finding(Status.WARNING, text, advice)


def wrong(text: str, advice: str) -> Finding:
    """Return a finding of status ``wrong``."""
    return Finding(Status.WRONG, text, advice)


Look = Callable[[Settings], AsyncIterator[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """Check of one subject.

    Attributes:
        name: one word, printed after the status.
        look: yields the findings.
    """

    name: str
    look: Look
