"""Values as set by their sources, and the problems found while reading them.

Neither reads files nor validates values.
"""

import json
import re
from dataclasses import dataclass

from sfu_wrapper.config.catalogue import Key, Path, canonical, known_keys, nearest, of_section

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

    def take(self, path: Path, value: object, source: str) -> None:
        """Record that ``source`` sets ``path``, or the problem that no such key exists."""
        key = known_keys().get(canonical(path))
        name = ".".join(path)
        if key is None:
            self.problems.append(Problem(source, f"{name}: unknown key; {_instead(path)}"))
        elif not _is_unicode(value):
            self.problems.append(Problem(source, f"{name}: must be valid Unicode"))
        else:
            self.givens.append(Source(key, value, source))


def _instead(path: Path) -> str:
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
    if key.secret and value is not None:
        return MASK
    if key.password_inside and isinstance(value, str):
        return _PASSWORD.sub(rf"\1:{MASK}@", value)
    return value
