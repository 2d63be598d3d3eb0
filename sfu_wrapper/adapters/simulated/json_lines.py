"""Codec of frozen dataclasses as JSON lines between the plane and its child process.

A line is ``[class name, fields]``; the reader rebuilds the message by the type hints of the classes
that it expects. Both ends are this package, so a bad line is a bug of ours.
"""

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

import orjson

from sfu_wrapper.model.errors import Broken

T = TypeVar("T")

LIMIT_BYTES = 16 * 1024 * 1024  # a line with the files of a very long, very busy segment


def dump(message: object) -> bytes:
    """Encode a message as one line, newline included."""
    return orjson.dumps([type(message).__name__, message], option=orjson.OPT_APPEND_NEWLINE)


class Lines(Generic[T]):
    """Decoder for the lines of a closed set of dataclasses."""

    def __init__(self, kinds: Iterable[type[T]]) -> None:
        self._kinds = {kind.__name__: kind for kind in kinds}

    def load(self, line: bytes) -> T:
        """Decode a message. Raises Broken when it is none of the known ones."""
        try:
            name, data = orjson.loads(line)
            message: T = _build(self._kinds[name], data)
        except (ValueError, KeyError, TypeError) as exc:
            raise Broken(f"unreadable line between plane and child: {line[:200]!r}") from exc
        return message


def _build(kind: Any, data: Any) -> Any:  # noqa: ANN401 - type hints and JSON hold anything
    kind = getattr(kind, "__supertype__", kind)  # a NewType is its base
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return kind(**{f.name: _build(hints[f.name], data[f.name]) for f in fields(kind)})
    if get_origin(kind) is tuple:
        return tuple(_build(get_args(kind)[0], item) for item in data)
    if get_origin(kind) is UnionType:
        (inner,) = (option for option in get_args(kind) if option is not NoneType)
        return None if data is None else _build(inner, data)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(data)
    return data
