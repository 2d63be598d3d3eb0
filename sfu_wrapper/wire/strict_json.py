"""Strict JSON: one meaning or none.

JSON leaves open what duplicate keys, numbers beyond the machine's and lone surrogates mean, and two
readers that choose differently are a hole. What is open here is refused. Says nothing about what
the values should be.

The checks run in C over whole lists and texts, never once a value or a character in Python: reading
a text costs little more than parsing it, whatever is in it.

Times on the wire: ISO 8601 in UTC with milliseconds and Z, epoch milliseconds inside.
"""

import json
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import orjson

from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.wire.validation import Structure

MAX_DEPTH: Final = 64  # arrays and objects within each other
_FLOAT_LIMIT = 2.0**63  # the reader turns integers of more than 64 bits into floats

_Container = dict[str, object] | list[object]


class NotJson(Malformed):
    """It is no JSON text at all."""


class Ambiguous(Malformed):
    """JSON by its grammar, but not with one safe meaning.

    value: what a generous reader makes of it, so that an answer can say what it is an answer to;
        None where nothing can be made of it.
    """

    def __init__(self, detail: str, value: object = None) -> None:
        super().__init__(detail)
        self.value = value


class TooMuch(Malformed):
    """A text with more structure than is admitted; the reader has not parsed it."""


def parse_strict(text: str | bytes, within: Structure | None = None) -> object:
    """Read one JSON text; bytes are UTF-8.

    Args:
        text: The JSON text.
        within: Limits that are checked before anything is parsed; None for texts of our own.

    Raises:
        NotJson: it is none.
        TooMuch: it exceeds ``within``; it was not parsed.
        Ambiguous: duplicate keys, nesting beyond ``MAX_DEPTH``, a number beyond 64 bits or NaN's
            like, a lone surrogate, a NUL.
    """
    if within is not None and within.size is not None and len(text) > within.size:
        raise TooMuch(f"the message has more than {within.size} bytes")
    try:
        text = text if isinstance(text, str) else text.decode()
    except UnicodeDecodeError as exc:
        raise NotJson(f"not JSON: {exc.reason}") from exc
    if within is not None and not within.admits(text):
        raise TooMuch(
            f"the message has more than {within.commas} commas or {within.brackets} brackets"
        )
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise _second_opinion(text, exc) from exc
    keys, texts = _survey(value)
    if _holds_more_keys(text, keys, texts):
        raise Ambiguous("a key stands twice in one object", value)
    if "\0" in texts:
        raise Ambiguous("a text holds a NUL", value)
    return value


def dump(value: object) -> bytes:
    """Write compact UTF-8 JSON."""
    return _of_its_own_size(orjson.dumps(value))


def canonical(value: object) -> bytes:
    """Write it the same way whatever the order of its keys was."""
    return _of_its_own_size(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))


def _of_its_own_size(written: bytes) -> bytes:
    """Return a copy that takes no more memory than its length says.

    The writer shrinks its buffer to the text, and the allocator cannot use what it cut off for the
    next such buffer: each text that waits in a queue would hold some 4 KiB, whatever its length.
    """
    return bytes(memoryview(written))


class _Constant(Exception):
    """NaN or Infinity, which JSON does not have. Never leaves this module."""


def _second_opinion(text: str, first: orjson.JSONDecodeError) -> Malformed:
    """Tell what is no JSON from JSON that the fast reader refuses; only bad texts pay for it."""
    try:
        text.encode()
        # Integers as floats: making an integer of many digits costs their square.
        value = json.loads(text, parse_int=float, parse_constant=_refuse_constant)
    except (json.JSONDecodeError, UnicodeEncodeError, _Constant):
        return NotJson(f"not JSON: {first}")
    except RecursionError:  # how deep that is differs between versions of Python
        return Ambiguous(f"nested deeper than {MAX_DEPTH}")
    if _exceeds_depth(value):
        return Ambiguous(f"nested deeper than {MAX_DEPTH}")
    why = "a number is out of range" if "infinity" in str(first) else first
    return Ambiguous(f"not acceptable: {why}", value)


def _exceeds_depth(root: object) -> bool:
    level = [root]
    for _ in range(MAX_DEPTH):
        containers = [item for item in level if isinstance(item, dict | list)]
        level = [
            inner
            for each in containers
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return any(isinstance(item, dict | list) for item in level)


def _refuse_constant(name: str) -> object:
    raise _Constant(name)


def _survey(root: object) -> tuple[int, str]:
    """Count the keys that were kept, and join all texts, keys included.

    Goes level by level, refusing depth and huge numbers on the way.
    """
    keys = depth = 0
    texts: list[str] = []
    level: list[_Container] = [[root]]
    while level:
        if depth > MAX_DEPTH:
            raise Ambiguous(f"nested deeper than {MAX_DEPTH}", root)
        inner: list[_Container] = []
        for container in level:
            items: Collection[object] = container
            if isinstance(container, dict):
                keys += len(container)
                texts.extend(container)
                items = container.values()
            kinds = set(map(type, items))
            if str in kinds:
                texts += [item for item in items if isinstance(item, str)]
            if float in kinds and _has_huge(items):
                raise Ambiguous("a number is out of range", root)
            if dict in kinds or list in kinds:
                inner += [item for item in items if isinstance(item, dict | list)]
        level = inner
        depth += 1
    return keys, "".join(texts)


def _has_huge(items: Iterable[object]) -> bool:
    return max([abs(item) for item in items if isinstance(item, float)]) >= _FLOAT_LIMIT


def _holds_more_keys(text: str, keys: int, texts: str) -> bool:
    """Return True if more keys stand in the JSON text than were kept.

    A colon stands outside of strings for each key, and within strings as itself or as an escape. A
    key that was dropped has taken at least its own colon with it.
    """
    colons = text.count(":")
    if colons == keys:
        return False  # no colon within any string
    return colons + _count_escaped_colons(text) != keys + texts.count(":")


def _count_escaped_colons(text: str) -> int:
    if "\\" not in text or "\\u003" not in text:
        return 0
    plain = text.replace("\\\\", "")  # of two backslashes the first escapes the second
    return plain.count("\\u003a") + plain.count("\\u003A")


LAST_MS: Final = 253_402_300_799_999
"""The end of the year 9999; what is later cannot be written."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@lru_cache(maxsize=4096)  # whoever lists people or segments writes the same times again and again
def iso(ms: int) -> str:
    """Write epoch milliseconds as ``2020-05-25T07:42:28.633Z``."""
    moment = _EPOCH + timedelta(milliseconds=ms)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_iso(text: str) -> int:
    """Read an ISO 8601 time with a zone as epoch milliseconds; finer digits are cut off.

    Raises:
        ValueError: it is no such time, names no zone, or lies before 1970 or after 9999.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"the time {text!r} names no zone; end it in Z")
    ms = (moment - _EPOCH) // _MILLISECOND
    if not 0 <= ms <= LAST_MS:
        raise ValueError(f"the time {text!r} lies before 1970 or after 9999")
    return ms
