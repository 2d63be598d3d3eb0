"""Sources of configuration: four files, environment variables, ``KEY=VALUE`` of a command line.

``Findings`` collects the values with their sources, and the problems found while reading. An absent
file leaves all its keys at their defaults. Environment and command line are text, converted to the
type of the key; text that cannot be converted is passed on unchanged, so that the error message of
the validation (``load``) names the allowed values.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sfu_wrapper.config import catalogue
from sfu_wrapper.config.catalogue import (
    JsonSchema,
    Key,
    KeyPath,
    canonical,
    known_keys,
    nearest,
    nearest_section,
    of_section,
    sections,
    simplified,
)
from sfu_wrapper.model.errors import Misconfigured

_PASSWORD = re.compile(r"(?<=://)([^:@/\s]*):[^@/\s]*@")
MASK = "********"


@dataclass(frozen=True, slots=True)
class Source:
    """Key with the value that a source has set.

    Attributes:
        key: the key.
        value: the value, not validated yet.
        source: a file, ``$VARIABLE`` or ``--set``.
    """

    key: Key
    value: object
    source: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Error that must be fixed before a process can start."""

    source: str
    text: str

    def __str__(self) -> str:
        return f"{self.source}: {self.text}"


@dataclass(slots=True)
class Findings:
    """Values, problems and notes collected so far, from the files and then from the variables.

    Attributes:
        givens: values in the order of reading; a later one overrides an earlier one.
        problems: errors that prevent a start.
        notes: remarks that do not prevent a start.
    """

    givens: list[Source]
    problems: list[Problem]
    notes: list[str]

    def take(self, path: KeyPath, value: object, source: str) -> None:
        """Record that ``source`` sets ``path``, or the problem that no such key exists."""
        key = known_keys().get(canonical(path))
        name = ".".join(path)
        if key is None:
            self.problems.append(Problem(source, f"{name}: unknown key; {_instead(path)}"))
        elif not _is_unicode(value):
            self.problems.append(Problem(source, f"{name}: must be valid Unicode"))
        else:
            self.givens.append(Source(key, value, source))


def _instead(path: KeyPath) -> str:
    """Return a hint about the known keys near an unknown one."""
    if (likely := nearest(path)) is not None:
        return f"the nearest known key is {likely.name}"
    if len(path) > 1 and (known := of_section(path[0])):
        return f"[{known[0].path[0]}] knows {', '.join(key.path[-1] for key in known)}"
    return "sfu-wrapper config schema lists all known keys"


def _is_unicode(value: object) -> bool:
    """Return False for text that can be read but never be written again (lone surrogates)."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(key: Key, value: object) -> str:
    """Return a value as JSON for output, secrets masked."""
    return json.dumps(masked(key, value), ensure_ascii=False, default=str)


def masked(key: Key, value: object) -> object:
    """Return the value with secrets masked."""
    if key.secret and value not in (None, [], ()):
        return MASK
    if key.password_inside and isinstance(value, str):
        return _PASSWORD.sub(rf"\1:{MASK}@", value)
    if isinstance(value, list | tuple):
        return [_masked_entry(entry) for entry in value]
    return value


def _masked_entry(entry: object) -> object:
    """Return an entry of a list of tables with its secret masked."""
    if not isinstance(entry, Mapping) or entry.get("secret") is None:
        return entry
    return {**entry, "secret": MASK}


_FILE = "_FILE"
_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def read_environment(environ: Mapping[str, str], findings: Findings) -> None:
    """Read every variable that begins with ``SFU_WRAPPER__``."""
    for name in sorted(name for name in environ if name.startswith(catalogue.PREFIX)):
        _take_variable(name, environ[name], findings)


def read_overrides(overrides: Iterable[str], findings: Findings) -> None:
    """Read ``quality=high`` and ``worker.attempts=1``, as in ``--set``."""
    for text in overrides:
        name, found, value = text.partition("=")
        path = catalogue.canonical(tuple(name.strip().split(".")))
        if not found:
            findings.problems.append(Problem("--set", f"{text}: must be KEY=VALUE"))
        else:
            key = known_keys().get(path)
            findings.take(path, value if key is None else _read(value, key.schema), "--set")


def _take_variable(name: str, text: str, findings: Findings) -> None:
    source = f"${name}"
    path = _path(name)
    key = _known(path)
    if key is None and name.endswith(_FILE):
        key = _known(_path(name.removesuffix(_FILE)))
        if key is not None and (key.secret or key.password_inside):
            _take_secret(source, key, Path(text), findings)
            return
        key = None
    if key is None:
        findings.take(path, text, source)
    else:
        findings.take(key.path, _read(text, key.schema), source)


def _take_secret(source: str, key: Key, file: Path, findings: Findings) -> None:
    try:
        text = file.read_text(encoding="utf-8").rstrip("\r\n")
        is_list = key.schema.get("type") == "array"  # one secret a line
        findings.take(key.path, text.split() if is_list else text, source)
    except (OSError, ValueError) as exc:
        findings.problems.append(Problem(source, f"{file}: cannot be read: {exc}"))


def _path(name: str) -> KeyPath:
    return tuple(name.removeprefix(catalogue.PREFIX).split("__"))


def _known(path: KeyPath) -> Key | None:
    """Return the key of a variable; case and underscores are ignored."""
    names = {simplified(known): known for known in (*known_keys(), *catalogue.ALIASES)}
    found = names.get(simplified(path))
    return None if found is None else known_keys()[catalogue.canonical(found)]


def _read(text: str, schema: JsonSchema) -> object:
    try:
        match schema["type"]:
            case "boolean":
                return _BOOLEANS[text.lower()]
            case "integer":
                return int(text)
            case "number":
                return float(text)
            case "array":
                return _list(text)
            case _:
                return text
    except (KeyError, ValueError):
        return text


def _list(text: str) -> object:
    """Parse ``["a", "b"]``, or the shorter ``a,b``."""
    if text.lstrip().startswith("["):
        entries: object = json.loads(text)
        return entries
    return [entry.strip() for entry in text.split(",") if entry.strip()]


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
