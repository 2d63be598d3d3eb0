"""Strict JSON: one meaning or none.

JSON leaves open what duplicate keys, numbers beyond the machine's and lone surrogates mean, and two
readers that choose differently are a hole. What is open here is refused. Says nothing about what
the values should be.
"""

import json
import re

import orjson

from sfu_wrapper.model.errors import Malformed

MAX_DEPTH = 64  # arrays and objects within each other
_FLOAT_LIMIT = 2.0**63  # the reader turns integers of more than 64 bits into floats
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_ESCAPED_NUL = "\\u0000"
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # not one that is itself escaped


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


def parse_strict(text: str | bytes) -> object:
    """Read one JSON text; bytes are UTF-8.

    Raises:
        NotJson: it is none.
        Ambiguous: duplicate keys, nesting beyond ``MAX_DEPTH``, a number beyond 64 bits or NaN's
            like, a lone surrogate, a NUL.
    """
    try:
        text = text if isinstance(text, str) else text.decode()
    except UnicodeDecodeError as exc:
        raise NotJson(f"not JSON: {exc.reason}") from exc
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise _second_opinion(text, exc) from exc
    keys = _count_keys(value)
    if _holds_more_keys(text, keys):
        raise Ambiguous("a key stands twice in one object", value)
    if _ESCAPED_NUL in text and _NUL.search(text):
        raise Ambiguous("a text holds a NUL", value)
    return value


def dump(value: object) -> bytes:
    """Write compact UTF-8 JSON."""
    return orjson.dumps(value)


def canonical(value: object) -> bytes:
    """Write it the same way whatever the order of its keys was."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


class _Constant(Exception):
    """NaN or Infinity, which JSON does not have. Never leaves this module."""


def _second_opinion(text: str, first: orjson.JSONDecodeError) -> Malformed:
    """Tell what is no JSON from JSON that the fast reader refuses; only bad texts pay for it."""
    try:
        text.encode()
        value = json.loads(text, parse_constant=_refuse_constant)
    except (json.JSONDecodeError, UnicodeEncodeError, _Constant):
        return NotJson(f"not JSON: {first}")
    except RecursionError:
        return Ambiguous(f"nested deeper than {MAX_DEPTH}")
    except ValueError:
        return Ambiguous("a number is out of range")
    return Ambiguous(f"not acceptable: {first}", value)


def _refuse_constant(name: str) -> object:
    raise _Constant(name)


def _count_keys(root: object) -> int:
    """Count the keys that were kept, level by level, refusing depth and huge numbers on the way."""
    keys = depth = 0
    level = [root]
    while level:
        inner: list[object] = []
        for value in level:
            if type(value) is dict:
                keys += len(value)
                inner.extend(value.values())
            elif type(value) is list:
                inner.extend(value)
            elif type(value) is float and abs(value) >= _FLOAT_LIMIT:
                raise Ambiguous("a number is out of range", root)
            else:
                continue
            if depth == MAX_DEPTH:
                raise Ambiguous(f"nested deeper than {MAX_DEPTH}", root)
        level = inner
        depth += 1
    return keys


def _holds_more_keys(text: str, keys: int) -> bool:
    """Whether more keys stand in the text than were kept: one colon each, outside of strings.

    Most texts have no colon inside a string, so that a plain count settles it.
    """
    return text.count(":") != keys and _STRING.sub("", text).count(":") != keys
