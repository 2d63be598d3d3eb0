"""What crosses Asterisk's manager interface: blocks of ``Key: value`` lines.

Pure. A value of ours can neither end its line nor begin another; a key that is there several times
keeps all its values.
"""

import re
from dataclasses import dataclass

from sfu_wrapper.model.errors import Malformed

END = b"\r\n\r\n"
LIMIT_BYTES = 65_536  # of one block; what is longer is none of Asterisk's

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_BREAKING = re.compile(r"[\r\n\x00]")
_MILLI = 1000

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Message:
    """One block: an answer or an event, its fields in order."""

    fields: Fields

    def get(self, key: str) -> str:
        """The first value of that key; empty where there is none."""
        return next(iter(self.all(key)), "")

    def all(self, key: str) -> tuple[str, ...]:
        """Every value of that key, which is matched as Asterisk does: in any case."""
        wanted = key.lower()
        return tuple(value for name, value in self.fields if name.lower() == wanted)

    @property
    def event(self) -> str:
        """What happened; empty where this is an answer."""
        return self.get("Event")

    @property
    def action_id(self) -> str:
        """Whose answer it is, or part of whose list."""
        return self.get("ActionID")

    @property
    def at_ms(self) -> int | None:
        """When it happened, epoch ms; None without ``timestampevents = yes``."""
        try:
            return round(float(self.get("Timestamp")) * _MILLI)
        except (ValueError, OverflowError):
            return None


def encode(action: str, action_id: str, fields: Fields = ()) -> bytes:
    """One action, ready to be sent.

    Raises:
        Malformed: a key or a value would break out of its line.
    """
    lines = []
    for key, value in (("Action", action), ("ActionID", action_id), *fields):
        if not _KEY.fullmatch(key) or _BREAKING.search(value):
            raise Malformed(f"{key!r}: {value!r} cannot be sent to Asterisk: it breaks its line")
        lines.append(f"{key}: {value}\r\n")
    return "".join((*lines, "\r\n")).encode()


def decode(block: bytes) -> Message:
    """One block. Total: a line without a colon is left out, bad UTF-8 replaced."""
    fields = []
    for line in block.decode("utf-8", "replace").split("\r\n"):
        key, colon, value = line.partition(":")
        if colon:
            fields.append((key.strip(), value.strip()))
    return Message(tuple(fields))
