"""What somebody has set, and what is wrong with it. No file is read and no value is judged here."""

import json
import re
from dataclasses import dataclass

from sfu_wrapper.config.keys import Key, Path, canonical, catalogue, nearest, of_section

_PASSWORD = re.compile(r"(?<=://)([^:@/\s]*):[^@/\s]*@")
MASK = "********"


@dataclass(frozen=True, slots=True)
class Given:
    """One key with the value it was given, and by whom.

    source: a file, ``$VARIABLE`` or ``--set``.
    """

    key: Key
    value: object
    source: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that must be mended before anything starts."""

    source: str
    text: str

    def __str__(self) -> str:
        return f"{self.source}: {self.text}"


@dataclass(slots=True)
class Findings:
    """What reading has brought so far; filled from file to file, then from the variables.

    notes: worth knowing, and no reason not to start.
    """

    givens: list[Given]
    problems: list[Problem]
    notes: list[str]

    def take(self, path: Path, value: object, source: str) -> None:
        """Note that ``source`` sets ``path``, or that there is no such key."""
        key = catalogue().get(canonical(path))
        name = ".".join(path)
        if key is None:
            self.problems.append(Problem(source, f"{name}: unknown key; {_instead(path)}"))
        elif not _is_unicode(value):
            self.problems.append(Problem(source, f"{name}: must be valid Unicode"))
        else:
            self.givens.append(Given(key, value, source))


def _instead(path: Path) -> str:
    """What there is instead of an unknown key."""
    if (likely := nearest(path)) is not None:
        return f"the nearest known key is {likely.name}"
    if len(path) > 1 and (known := of_section(path[0])):
        return f"[{known[0].path[0]}] knows {', '.join(key.path[-1] for key in known)}"
    return "sfu-wrapper config schema has all that are known"


def _is_unicode(value: object) -> bool:
    """Half a surrogate pair, or bytes that are no UTF-8, can be read and never written again."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(key: Key, value: object) -> str:
    """A value as it may be printed: as JSON, without what is secret."""
    return json.dumps(masked(key, value), ensure_ascii=False, default=str)


def masked(key: Key, value: object) -> object:
    """The value without what is secret."""
    if key.secret and value is not None:
        return MASK
    if key.password_inside and isinstance(value, str):
        return _PASSWORD.sub(rf"\1:{MASK}@", value)
    return value
