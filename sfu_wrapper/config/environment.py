"""Values from outside the files: environment variables, and ``KEY=VALUE`` of a command line.

Both are text, which is converted to the type of the key. Text that cannot be converted is passed
on unchanged, so that the error message of the validation names the allowed values.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from sfu_wrapper.config import catalogue
from sfu_wrapper.config.catalogue import JsonSchema, Key, known_keys, simplified
from sfu_wrapper.config.sources import Findings, Problem

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
        findings.take(key.path, file.read_text(encoding="utf-8").rstrip("\r\n"), source)
    except (OSError, ValueError) as exc:
        findings.problems.append(Problem(source, f"{file}: cannot be read: {exc}"))


def _path(name: str) -> catalogue.Path:
    return tuple(name.removeprefix(catalogue.PREFIX).split("__"))


def _known(path: catalogue.Path) -> Key | None:
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
