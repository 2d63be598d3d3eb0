"""Expectations: values with names filled in, compared with what came. Pure.

An expected object names the fields that count; others may come too. Lists have the same length.
An object with one key of ``CHECKS`` is a check instead of a value: ``{$at_least: 3}``.
"""

from collections.abc import Callable, Mapping
from string import Template
from typing import Any, Final

Value = Any  # JSON
MISSING: Final = object()


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


CHECKS: Final[Mapping[str, Callable[[Value, Value], bool]]] = {
    "$present": lambda wanted, value: (value is not MISSING) is wanted,
    "$at_least": lambda wanted, value: _is_number(value) and value >= wanted,
    "$at_most": lambda wanted, value: _is_number(value) and value <= wanted,
    "$one_of": lambda wanted, value: value in wanted,
    "$has": lambda wanted, value: (
        isinstance(value, list) and any(difference(wanted, each) is None for each in value)
    ),
    "$length": lambda wanted, value: isinstance(value, list) and len(value) == wanted,
}


def fill(value: Value, names: Mapping[str, str]) -> Value:
    """Replace ``$name`` in all texts; a name that is not in ``names`` stays as it is."""
    match value:
        case str():
            return Template(value).safe_substitute(names)
        case list() | tuple():
            return [fill(each, names) for each in value]
        case dict():
            return {key: fill(each, names) for key, each in value.items()}
    return value


def difference(expected: Value, value: Value, path: str = "") -> str | None:
    """Return the first difference as ``path: expected …``; None where all is as expected."""
    match expected:
        case dict() if len(expected) == 1 and next(iter(expected)) in CHECKS:
            ((check, wanted),) = expected.items()
            return None if CHECKS[check](wanted, value) else _expected(path, f"{check} {wanted!r}")
        case dict():
            return _of_object(expected, value, path)
        case list():
            return _of_list(expected, value, path)
    same = type(expected) is type(value) or (_is_number(expected) and _is_number(value))
    return None if same and expected == value else _expected(path, repr(expected))


def _of_object(expected: dict[str, Value], value: Value, path: str) -> str | None:
    if not isinstance(value, dict):
        return _expected(path, "an object")
    for name, wanted in expected.items():
        inner = difference(wanted, value.get(name, MISSING), f"{path}.{name}" if path else name)
        if inner is not None:
            return inner
    return None


def _of_list(expected: list[Value], value: Value, path: str) -> str | None:
    if not isinstance(value, list) or len(value) != len(expected):
        return _expected(path, f"a list of {len(expected)}")
    for number, (wanted, each) in enumerate(zip(expected, value, strict=True)):
        inner = difference(wanted, each, f"{path}[{number}]")
        if inner is not None:
            return inner
    return None


def _expected(path: str, wanted: str) -> str:
    return f"{path or 'payload'}: expected {wanted}"
