"""Trace context of a request, as W3C Trace Context defines it.

It names the distributed trace of which a request is a part, and the span of its sender. Requests,
stored segments, outbox rows and messages carry it under the two names of that standard. Nothing
here creates a span: the context is passed on as it came.
"""

import re
from dataclasses import dataclass
from typing import Final

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
MAX_STATE: Final = 512  # characters; the length that every participant must be able to pass on

_PARENT: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}(?P<more>-.*)?",
    re.ASCII,
)
_STATE: Final = re.compile(rf"[\x20-\x7e]{{1,{MAX_STATE}}}")
_LENGTH: Final = 55  # of a traceparent of version 00
_MAX_PARENT: Final = 256


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Position in a distributed trace.

    Attributes:
        parent: value of ``traceparent``, version 00.
        state: value of ``tracestate``; None: there is none.
    """

    parent: str
    state: str | None = None

    @property
    def trace_id(self) -> str:
        """Id of the trace, 32 hexadecimal digits."""
        return self.parent[3:35]

    @property
    def fields(self) -> dict[str, str]:
        """Values by their names, for the headers of a message."""
        parent = {TRACEPARENT: self.parent}
        return parent if self.state is None else parent | {TRACESTATE: self.state}


def trace_context(parent: object, state: object = None) -> TraceContext | None:
    """Read a trace context from an untrusted sender.

    A later version is read as version 00, as the standard asks for. A ``tracestate`` that is not
    text of at most ``MAX_STATE`` printable characters is dropped.

    Returns:
        The context; None where ``traceparent`` is absent or invalid.
    """
    if not isinstance(parent, str) or len(parent) > _MAX_PARENT:
        return None
    found = _PARENT.fullmatch(parent)
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        return None
    if not found["trace"].strip("0") or not found["span"].strip("0"):
        return None
    valid = isinstance(state, str) and _STATE.fullmatch(state) is not None
    return TraceContext("00" + parent[2:_LENGTH], str(state) if valid else None)
