"""Conditions and ranges of requests (RFC 9110, 13 and 14). Pure.

Conditions compare entity tags only; there are no times of modification. One range is served; of a
request for several ranges the whole is, as RFC 9110, 14.2 allows: players never ask for several,
and many small ones would cost far more to serve than to ask for.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_RANGE: Final = re.compile(r"(?i:bytes)=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*")


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a file from ``start`` on, ``length`` of them."""

    start: int
    length: int


class Unsatisfiable(ValueError):
    """The range begins beyond the end of the file."""


def names_tag(headers: Sequence[str], tag: str | None, *, weakly: bool) -> bool | None:
    """Return True if the tags of a condition match the stored one; None: no condition.

    Args:
        headers: values of ``If-Match`` or ``If-None-Match``.
        tag: entity tag of what is stored, quoted; None: nothing is stored.
        weakly: compare weak tags as if they were strong.
    """
    if not headers:
        return None
    if tag is None:
        return False
    tags = {part.strip() for part in ",".join(headers).split(",")}
    if weakly:
        tags = {each.removeprefix("W/") for each in tags}
    return "*" in tags or tag in tags


def wanted_span(ranges: Sequence[str], if_range: Sequence[str], tag: str, size: int) -> Span | None:
    """Return the part of the file that a request wants; None: the whole.

    Args:
        ranges: values of ``Range``.
        if_range: values of ``If-Range``; a range counts only where it is the tag.
        tag: strong entity tag of the file, quoted.
        size: bytes of the file.

    Raises:
        Unsatisfiable: answered with 416.
    """
    found = _RANGE.fullmatch(ranges[0]) if len(ranges) == 1 else None
    if found is None or (if_range and list(if_range) != [tag]):
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:
        length = min(int(last), size)
        return _span(size - length, length)
    start = int(first)
    end = size if not last else min(int(last) + 1, size)
    if last and int(last) < start:
        return None  # no valid range, so it is ignored
    return _span(start, end - start)


def _span(start: int, length: int) -> Span:
    if length <= 0:
        raise Unsatisfiable
    return Span(start, length)
