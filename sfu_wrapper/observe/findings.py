"""Findings about an installation: observations with a severity and the action to take.

Made by checks next to the parts that they look at, printed by ``doctor``.
"""

from dataclasses import dataclass
from enum import StrEnum


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
