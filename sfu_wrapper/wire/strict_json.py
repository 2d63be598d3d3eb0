"""Strict JSON: one meaning or none.

JSON does not define the meaning of duplicate keys, of numbers beyond 64 bits and of lone
surrogates, and two readers that differ there are a security hole. ``parse_strict`` refuses all of
them. It does not validate the values otherwise.

The checks run in C over whole lists and texts, never per value or per character in Python, so that
reading costs little more than parsing, for any input.

Times are ISO 8601 in UTC with milliseconds and Z on the wire, and epoch milliseconds inside.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import orjson

from sfu_wrapper.model.errors import Malformed

MAX_DEPTH: Final = 64  # levels of nested arrays and objects
_FLOAT_LIMIT = 2.0**63  # the reader turns integers of more than 64 bits into floats

_Container = dict[str, object] | list[object]


@dataclass(frozen=True, slots=True)
class Structure:
    """Limits on the structure of a JSON text, so that a refusal costs less than parsing it.

    Attributes:
        size: Bytes of an encoded text; None if the transport limits it already.
        commas: Commas in the whole text, including those in strings: counting characters costs a
            tenth of parsing.
        brackets: Opening brackets and braces, counted in the same way.
    """

    commas: int
    brackets: int
    size: int | None = None

    def admits(self, text: str) -> bool:
        """Return True if the text stays within these limits."""
        if len(text) <= self.brackets:
            return True
        if text.count("[") + text.count("{") > self.brackets:
            return False
        return text.count(",") <= self.commas


class NotJson(Malformed):
    """A text that is not JSON."""


class Ambiguous(Malformed):
    """Valid JSON by its grammar whose meaning is ambiguous.

    Attributes:
        value: the result of a lenient reader, from which an error response takes endpoint and id;
            None if there is no result.
    """

    def __init__(self, detail: str, value: object = None) -> None:
        super().__init__(detail)
        self.value = value


class TooMuch(Malformed):
    """A text that exceeds the limits on its structure; it was not parsed."""


def parse_strict(text: str | bytes, within: Structure | None = None) -> object:
    """Read one JSON text; bytes are UTF-8.

    Args:
        text: The JSON text.
        within: Limits that are checked before anything is parsed; None for texts of our own.

    Raises:
        NotJson: the text is not JSON.
        TooMuch: the text exceeds ``within``; it was not parsed.
        Ambiguous: duplicate keys, nesting beyond ``MAX_DEPTH``, a number beyond 64 bits, NaN or
            Infinity, a lone surrogate, a NUL.
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
        raise Ambiguous("an object has a duplicate key", value)
    if "\0" in texts:
        raise Ambiguous("a text holds a NUL", value)
    return value


def dump(value: object) -> bytes:
    """Write compact UTF-8 JSON."""
    return _of_its_own_size(orjson.dumps(value))


def canonical(value: object) -> bytes:
    """Write compact JSON with sorted keys: equal values give equal bytes."""
    return _of_its_own_size(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))


def _of_its_own_size(written: bytes) -> bytes:
    """Return a copy that takes no more memory than its length.

    The writer shrinks its buffer to the text, and the allocator cannot reuse the rest for the next
    such buffer: each queued text would hold about 4 KiB, however short it is.
    """
    return bytes(memoryview(written))


class _Constant(Exception):
    """NaN or Infinity, which JSON does not have. Never leaves this module."""


def _second_opinion(text: str, first: orjson.JSONDecodeError) -> Malformed:
    """Distinguish invalid JSON from JSON that the fast reader refuses; runs for bad texts only."""
    try:
        text.encode()
        # Integers as floats: making an integer of many digits costs their square.
        value = json.loads(text, parse_int=float, parse_constant=_refuse_constant)
    except (json.JSONDecodeError, UnicodeEncodeError, _Constant):
        return NotJson(f"not JSON: {first}")
    except RecursionError:  # the limit differs between versions of Python
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

    Walks the value level by level, and refuses excessive depth and huge numbers.
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
    """Return True if the JSON text has more keys than the parser kept.

    The text has one colon outside of strings for each key, and further ones within strings, plain
    or escaped. The parsed value lacks the colon of each duplicate key that the parser dropped.
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
"""The end of the year 9999: the latest time that ISO 8601 can write."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@lru_cache(maxsize=4096)  # lists of participants and segments repeat the same times
def iso(ms: int) -> str:
    """Return epoch milliseconds as ``2020-05-25T07:42:28.633Z``."""
    moment = _EPOCH + timedelta(milliseconds=ms)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_iso(text: str) -> int:
    """Read an ISO 8601 time with a zone as epoch milliseconds; finer digits are cut off.

    Raises:
        ValueError: not such a time, without a zone, before 1970 or after 9999.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"the time {text!r} has no zone: append Z")
    ms = (moment - _EPOCH) // _MILLISECOND
    if not 0 <= ms <= LAST_MS:
        raise ValueError(f"the time {text!r} is before 1970 or after 9999")
    return ms
