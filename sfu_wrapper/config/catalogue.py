"""Catalogue of the configuration keys: names in files and variables, allowed values.

Computed from the models, so that each key is defined once.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from sfu_wrapper.config.settings import Settings

KeyPath = tuple[str, ...]  # ("websocket", "port"), or ("quality",) for a key at the top level
JsonSchema = dict[str, Any]

PREFIX = "SFU_WRAPPER__"  # of the environment variables that override keys
# Spellings in the product's documentation and in its older versions.
ALIASES: dict[KeyPath, KeyPath] = {
    ("startRecordingAtStart",): ("recordRecordingAtStart",),
    ("recordRecordingAnStart",): ("recordRecordingAtStart",),
    ("processedQueue",): ("processed_queue",),
}
# Group of the model with its keys at the top level of the name space.
LIFTED = "recording"
_NEAR = 0.66  # of 1, which is the same; "log" and "file" are 0.29 alike
_SECRET_URLS = {("rabbitmq", "address"), ("store", "url")}


@dataclass(frozen=True, slots=True)
class Key:
    """Configuration key.

    Attributes:
        path: group and name, or the name alone for a key at the top level.
        schema: JSON schema of the value, references resolved, without ``null``.
        description: one line, with the unit.
        default: default value; None where there is none.
        secret: True where the value is never printed and may be read from a file.
        password_inside: True for an address that may hold a password, which is masked.
    """

    path: KeyPath
    schema: JsonSchema
    description: str
    default: object
    secret: bool
    password_inside: bool

    @property
    def name(self) -> str:
        """Dotted name: ``websocket.port``."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """Environment variable that overrides the key."""
        words = [re.sub(r"(?<=[a-z])(?=[A-Z])", "_", part) for part in self.path]
        return PREFIX + "__".join(words).upper()


@cache
def known_keys() -> dict[KeyPath, Key]:
    """Return every key, in the order of the models."""
    schema = Settings.model_json_schema()
    return {key.path: key for key in _keys((), schema, schema["$defs"])}


@cache
def sections() -> frozenset[str]:
    """Return the names of the groups, as spelled in files."""
    return frozenset(path[0] for path in known_keys() if len(path) > 1)


def canonical(path: KeyPath) -> KeyPath:
    """Return the key of an alias; any other path unchanged."""
    return ALIASES.get(path, path)


def simplified(path: KeyPath) -> KeyPath:
    """Return the path without case and underscores, for the comparison with variables."""
    return tuple(part.lower().replace("_", "") for part in path)


def nearest(path: KeyPath) -> Key | None:
    """Return the known key with the most similar name; None where none is similar enough."""
    wanted = simplified(path)
    within = of_section(path[0]) if len(path) > 1 else ()

    def likeness(key: Key) -> tuple[float, float]:
        """Return the similarity to ``wanted``, and a second number that breaks ties."""
        known = simplified(key.path)
        last, whole = _ratio(wanted[-1], known[-1]), _ratio(".".join(wanted), ".".join(known))
        return (last, whole) if within else (max(last, whole), last + whole)

    best = max(within or known_keys().values(), key=likeness)
    return best if likeness(best)[0] >= _NEAR else None


def of_section(name: str) -> tuple[Key, ...]:
    """Return the keys of a group, in any spelling of its name; empty for an unknown group."""
    wanted = simplified((name,))
    return tuple(key for key in known_keys().values() if simplified(key.path[:-1]) == wanted)


def nearest_section(name: str) -> str | None:
    """Return the group with a name similar to ``name``; None where there is none."""
    return next(iter(difflib.get_close_matches(name, sections(), n=1, cutoff=0.75)), None)


def allowed(key: Key) -> str:
    """Return a description of the allowed values."""
    return _in_words(key.schema)


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _keys(prefix: KeyPath, model: JsonSchema, defs: dict[str, JsonSchema]) -> Iterator[Key]:
    for name, field in model["properties"].items():
        value = _resolved(field, defs)
        if value.get("type") == "object":
            yield from _keys(() if name == LIFTED else (name,), value, defs)
        else:
            yield _key((*prefix, name), field, value)


def _key(path: KeyPath, field: JsonSchema, value: JsonSchema) -> Key:
    return Key(
        path=path,
        schema={k: v for k, v in value.items() if k not in {"title", "description", "default"}},
        description=field["description"],
        default=field.get("default"),
        secret="password" in (value.get("format"), value.get("items", {}).get("format")),
        password_inside=path in _SECRET_URLS,
    )


def _resolved(schema: JsonSchema, defs: dict[str, JsonSchema]) -> JsonSchema:
    """Return the schema with references resolved, without the ``null`` of a key without default."""
    if "anyOf" in schema:
        real = next(option for option in schema["anyOf"] if option.get("type") != "null")
        return _resolved(real, defs)
    if "$ref" in schema:
        return _resolved(defs[schema["$ref"].removeprefix("#/$defs/")], defs)
    if "items" in schema:
        return {**schema, "items": _resolved(schema["items"], defs)}
    return schema


def _in_words(schema: JsonSchema) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"])
    match schema["type"]:
        case "boolean":
            return "true or false"
        case "integer":
            return "a whole number" + _range(schema)
        case "number":
            return "a number" + _range(schema)
        case "array":
            return f"a list; each entry {_in_words(schema['items'])}"
        case "object":
            return "a table with " + ", ".join(schema["properties"])
    return "a path" if schema.get("format") == "path" else "a non-empty text"


def _range(schema: JsonSchema) -> str:
    words = (
        (" from {}", schema.get("minimum")),
        (" above {}", schema.get("exclusiveMinimum")),
        (" to {}", schema.get("maximum")),
    )
    return "".join(text.format(bound) for text, bound in words if bound is not None)
