"""The four configuration files: search path, parsing, and the sections of each.

This module parses; ``load`` validates the values. An absent file leaves all its keys at their
defaults.
"""

import difflib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

from sfu_wrapper.config.catalogue import nearest_section, sections
from sfu_wrapper.config.sources import Findings, Problem
from sfu_wrapper.model.errors import Misconfigured

PRODUCT_FILE = "config.json"
FILES = (PRODUCT_FILE, "sfu-wrapper.toml", "recording.toml", "default.toml")
SEARCHED = (Path("config"), Path("/etc/sfu-wrapper"))
# The sections of the product's own file that concern us; it holds those of its other services too.
_PRODUCT_SECTIONS = ("rooms", "trunk")

Table = dict[str, object]


def directory(wished: Path | None) -> Path | None:
    """Return the folder to read: ``wished``, or the first that holds one of the files.

    Returns:
        None where no folder is found: built-in defaults apply.

    Raises:
        Misconfigured: ``wished`` is not a folder.
    """
    if wished is not None:
        if not wished.is_dir():
            raise Misconfigured(f"--config {wished}: folder not found")
        return wished
    found = (path for path in SEARCHED if any((path / name).is_file() for name in FILES))
    return next(found, None)


def read_files(folder: Path, findings: Findings) -> None:
    """Read those of the four files that exist in ``folder``."""
    for name in FILES:
        path = folder / name
        if path.is_file():
            _read_file(path, findings)
    for path in sorted(folder.iterdir()):
        likely = difflib.get_close_matches(path.name, FILES, n=1, cutoff=0.8)
        if likely and path.name not in FILES and path.suffix in {".json", ".toml"}:
            findings.notes.append(f"{path}: ignored; the file that is read is called {likely[0]}")


def _read_file(path: Path, findings: Findings) -> None:
    try:
        table = _parse(path.name, path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as exc:  # TOML, JSON and UTF-8 errors are all ValueErrors
        findings.problems.append(Problem(str(path), f"cannot be read: {exc}"))
        return
    for name, value in table.items():
        _take(path, name, value, findings)


def _take(path: Path, name: str, value: object, findings: Findings) -> None:
    source = str(path)
    if path.name == PRODUCT_FILE and isinstance(value, Mapping) and name not in _PRODUCT_SECTIONS:
        findings.notes.append(_ignored(source, name))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            findings.take((name, key), inner, source)
    elif name in sections():
        text = f"{name} = {json.dumps(value, default=str)}: must be a section with keys"
        findings.problems.append(Problem(source, text))
    else:
        findings.take((name,), value, source)


def _ignored(source: str, name: str) -> str:
    likely = nearest_section(name)
    hint = f" (did you mean {likely}?)" if likely in _PRODUCT_SECTIONS else ""
    return f"{source}: section {name} is not used by sfu-wrapper and ignored{hint}"


def _parse(name: str, text: str) -> Table:
    """Parse TOML, or JSON: ``config.json``, and any other file with a brace at its beginning."""
    is_json = name == PRODUCT_FILE or text.lstrip().startswith("{")
    return _json_table(text) if is_json else tomllib.loads(text)


def _json_table(text: str) -> Table:
    table = json.loads(text, object_pairs_hook=_without_repeats)
    if not isinstance(table, dict):
        raise ValueError("must be a JSON object")  # noqa: TRY004 - as the parser's own complaints
    return table


def _without_repeats(pairs: list[tuple[str, object]]) -> Table:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {repeated} is set twice")
    return table
