"""The catalogue of keys: their names in files and variables, what they may hold, the nearest one.

Computed from the models, so that a key is written down once.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from sfu_wrapper.config.settings import Settings

Path = tuple[str, ...]  # ("websocket", "port"), or ("quality",) for a key at the top level
JsonSchema = dict[str, Any]

PREFIX = "SFU_WRAPPER__"  # of the environment variables that override keys
# What the product's text and its older versions call them.
ALIASES: dict[Path, Path] = {
    ("startRecordingAtStart",): ("recordRecordingAtStart",),
    ("recordRecordingAnStart",): ("recordRecordingAtStart",),
    ("processedQueue",): ("processed_queue",),
}
# The group of the model whose keys stand at the top level of the name space.
LIFTED = "recording"
_NEAR = 0.66  # of 1, which is the same; "log" and "file" are 0.29 alike
_SECRET_URLS = {("rabbitmq", "address"), ("store", "url")}


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    schema: the JSON schema of its value, references resolved, without ``null``.
    secret: never shown, and may be given as a file; ``password_inside``: an address that may hold
        a password, which alone is masked.
    """

    path: Path
    schema: JsonSchema
    description: str
    default: object
    secret: bool
    password_inside: bool

    @property
    def name(self) -> str:
        """As people read it: ``websocket.port``."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """The environment variable that overrides it."""
        words = [re.sub(r"(?<=[a-z])(?=[A-Z])", "_", part) for part in self.path]
        return PREFIX + "__".join(words).upper()


@cache
def catalogue() -> dict[Path, Key]:
    """Every key, in the order of the models."""
    schema = Settings.model_json_schema()
    return {key.path: key for key in _keys((), schema, schema["$defs"])}


@cache
def sections() -> frozenset[str]:
    """The names of the groups, as they stand in files."""
    return frozenset(path[0] for path in catalogue() if len(path) > 1)


def canonical(path: Path) -> Path:
    """The key that an alias stands for; any other path as it is."""
    return ALIASES.get(path, path)


def simplified(path: Path) -> Path:
    """Without case and underscores, as variables are matched with keys."""
    return tuple(part.lower().replace("_", "") for part in path)


def nearest(path: Path) -> Key | None:
    """The known key that somebody who wrote ``path`` most likely meant; None where none is near."""
    wanted = simplified(path)
    within = of_section(path[0]) if len(path) > 1 else ()

    def likeness(key: Key) -> tuple[float, float]:
        """How near it is, and what decides between two that are equally near."""
        known = simplified(key.path)
        last, whole = _ratio(wanted[-1], known[-1]), _ratio(".".join(wanted), ".".join(known))
        return (last, whole) if within else (max(last, whole), last + whole)

    best = max(within or catalogue().values(), key=likeness)
    return best if likeness(best)[0] >= _NEAR else None


def of_section(name: str) -> tuple[Key, ...]:
    """The keys of a group, however its name is spelled; none where there is no such group."""
    wanted = simplified((name,))
    return tuple(key for key in catalogue().values() if simplified(key.path[:-1]) == wanted)


def nearest_section(name: str) -> str | None:
    """A group that is spelled much like ``name``; None where none is."""
    return next(iter(difflib.get_close_matches(name, sections(), n=1, cutoff=0.75)), None)


def allowed(key: Key) -> str:
    """What the value may be, in words."""
    return _in_words(key.schema)


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _keys(prefix: Path, model: JsonSchema, defs: dict[str, JsonSchema]) -> Iterator[Key]:
    for name, field in model["properties"].items():
        value = _resolved(field, defs)
        if value.get("type") == "object":
            yield from _keys(() if name == LIFTED else (name,), value, defs)
        else:
            yield _key((*prefix, name), field, value)


def _key(path: Path, field: JsonSchema, value: JsonSchema) -> Key:
    return Key(
        path=path,
        schema={k: v for k, v in value.items() if k not in {"title", "description", "default"}},
        description=field["description"],
        default=field.get("default"),
        secret=value.get("format") == "password",
        password_inside=path in _SECRET_URLS,
    )


def _resolved(schema: JsonSchema, defs: dict[str, JsonSchema]) -> JsonSchema:
    """The schema itself: references followed, without the ``null`` of a key that has no default."""
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
    return "a path" if schema.get("format") == "path" else "a text that is not empty"


def _range(schema: JsonSchema) -> str:
    words = (
        (" from {}", schema.get("minimum")),
        (" above {}", schema.get("exclusiveMinimum")),
        (" to {}", schema.get("maximum")),
    )
    return "".join(text.format(bound) for text, bound in words if bound is not None)
