"""Load the configuration: files, variables and a command line become one ``Settings``.

Order: built-in defaults < files < environment < command line. All problems are reported at once.
``rows`` yields each key with its value, secrets masked, and its source. ``schema`` describes the
keys of all four files as one name space.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sfu_wrapper.config import rules
from sfu_wrapper.config.catalogue import LIFTED, JsonSchema, Key, KeyPath, allowed, known_keys
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.config.sources import (
    Findings,
    Problem,
    Source,
    directory,
    masked,
    read_environment,
    read_files,
    read_overrides,
    shown,
)
from sfu_wrapper.model.errors import Misconfigured

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Valid configuration.

    Attributes:
        settings: the configuration.
        folder: folder of its files; None where no folder was found.
        sources: source of each key that was set.
        notes: remarks for the log at start-up.
    """

    settings: Settings
    folder: Path | None
    sources: Mapping[KeyPath, str]
    notes: tuple[str, ...]


def load(
    config_dir: Path | None, environ: Mapping[str, str], overrides: Sequence[str] = ()
) -> Settings:
    """Return the settings. Raises Misconfigured as ``read`` does."""
    return read(config_dir, environ, overrides).settings


def read(
    config_dir: Path | None, environ: Mapping[str, str], overrides: Sequence[str] = ()
) -> Loaded:
    """Read and check everything.

    Args:
        config_dir: the folder with the four files; None: look in the usual places.
        environ: the variables, of which those of ours count.
        overrides: ``KEY=VALUE`` from a command line.

    Raises:
        Misconfigured: each line of the detail names file or variable, key, value and what is
            allowed.
    """
    result = inspect(config_dir, environ, overrides)
    if isinstance(result, Loaded):
        return result
    raise Misconfigured("\n".join(map(str, result)))


def inspect(
    config_dir: Path | None, environ: Mapping[str, str], overrides: Sequence[str] = ()
) -> Loaded | tuple[Problem, ...]:
    """Do as ``read``, but return the problems. Raises Misconfigured only for a missing folder."""
    folder = directory(config_dir)
    findings = Findings([], [], [])
    if folder is None:
        findings.notes.append("no configuration folder found: built-in defaults apply")
    else:
        read_files(folder, findings)
    in_files = tuple(findings.givens)
    read_environment(environ, findings)
    read_overrides(overrides, findings)
    givens = {given.key.path: given for given in findings.givens}
    settings, problems = _settings(givens)
    problems = [*findings.problems, *_disagreements(in_files), *problems]
    if settings is None or problems:
        return tuple(problems)
    sources = {path: given.source for path, given in givens.items()}
    notes = (*findings.notes, *rules.warnings(settings))
    return Loaded(settings, folder, sources, notes)


def _disagreements(in_files: Sequence[Source]) -> list[Problem]:
    """Return a problem for each key with different values in two files.

    Files form one name space: a key may appear in two of them only with the same value.
    """
    first: dict[KeyPath, Source] = {}
    problems = []
    for given in in_files:
        other = first.setdefault(given.key.path, given)
        if other is not given and other.value != given.value:
            text = f"{given.key.name}: given twice, with another value in {other.source}"
            problems.append(Problem(given.source, text))
    return problems


def _settings(givens: Mapping[KeyPath, Source]) -> tuple[Settings | None, list[Problem]]:
    groups: defaultdict[str, dict[str, object]] = defaultdict(dict)
    for given in givens.values():
        *group, name = given.key.path
        groups["".join(group) or _group(name)][name] = given.value
    tree = {**groups.pop("", {}), **groups}
    try:
        settings = Settings.model_validate_json(json.dumps(tree, default=str))
    except ValidationError as exc:
        # One key may break several rules at once; one line names the allowed values.
        return None, list(dict.fromkeys(_wrong(error, givens) for error in exc.errors()))
    return settings, [_conflict(conflict, givens) for conflict in rules.conflicts(settings)]


def _group(name: str) -> str:
    """Return the group in the model of a key at the top level; empty where it has none."""
    return "" if name in {field.alias for field in Settings.model_fields.values()} else LIFTED


def _wrong(error: ErrorDetails, givens: Mapping[KeyPath, Source]) -> Problem:
    location = tuple(str(part) for part in error["loc"])
    location = location[1:] if location[0] == LIFTED else location
    path = next(path for path in known_keys() if path == location[: len(path)])
    given = givens[path]
    reason = error.get("ctx", {}).get("error")
    text = f"must be {allowed(given.key)}" if reason is None else str(reason)
    return Problem(given.source, f"{given.key.name} = {shown(given.key, given.value)}: {text}")


def _conflict(conflict: rules.Conflict, givens: Mapping[KeyPath, Source]) -> Problem:
    paths = [tuple(name.split(".")) for name in conflict.keys]
    sources = dict.fromkeys(givens[path].source for path in paths if path in givens)
    return Problem(", ".join(sources), f"{conflict.keys[0]}: {conflict.text}")


@dataclass(frozen=True, slots=True)
class Row:
    """Effective value of one key.

    Attributes:
        key: the key.
        value: as in JSON, masked.
        source: a file, ``$VARIABLE``, ``--set`` or ``default``.
    """

    key: Key
    value: object
    source: str


def rows(loaded: Loaded) -> Iterator[Row]:
    """Yield all keys, in the order of the catalogue."""
    tree = loaded.settings.model_dump(mode="json", by_alias=True)
    top = {**tree, **tree[LIFTED]}
    for path, key in known_keys().items():
        value = top[path[0]] if len(path) == 1 else top[path[0]][path[1]]
        yield Row(key, masked(key, value), loaded.sources.get(path, DEFAULT))


_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> JsonSchema:
    """Return the JSON Schema of all keys, with defaults and descriptions; for editors and tools."""
    whole = Settings.model_json_schema()
    definitions = dict(whole["$defs"])
    lifted = definitions.pop(whole["properties"][LIFTED]["$ref"].rpartition("/")[2])
    properties = {name: part for name, part in whole["properties"].items() if name != LIFTED}
    return {
        "$schema": _DRAFT,
        "title": "sfu-wrapper",
        "description": "config.json, sfu-wrapper.toml, recording.toml and default.toml together",
        "type": "object",
        "additionalProperties": False,
        "properties": {**properties, **lifted["properties"]},
        "$defs": definitions,
    }
