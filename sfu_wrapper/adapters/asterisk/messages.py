"""Messages of Asterisk's manager interface: blocks of ``Key: value`` lines.

Pure. A value that we send can neither end its line nor begin another; a repeated key keeps all its
values.
"""

import re
from dataclasses import dataclass

from sfu_wrapper.model.errors import Malformed

END = b"\r\n\r\n"
LIMIT_BYTES = 65_536  # of one block; Asterisk sends no longer ones

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_BREAKING = re.compile(r"[\r\n\x00]")
_MILLI = 1000

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Message:
    """Block: an answer or an event, with its fields in order."""

    fields: Fields

    def get(self, key: str) -> str:
        """Return the first value of a key; empty if there is none."""
        return next(iter(self.all(key)), "")

    def all(self, key: str) -> tuple[str, ...]:
        """Return every value of a key, compared without case as Asterisk does."""
        wanted = key.lower()
        return tuple(value for name, value in self.fields if name.lower() == wanted)

    @property
    def event(self) -> str:
        """Name of the event; empty if this is an answer."""
        return self.get("Event")

    @property
    def action_id(self) -> str:
        """Id of the action that this message answers."""
        return self.get("ActionID")

    @property
    def at_ms(self) -> int | None:
        """Time of the event, epoch ms; None without ``timestampevents = yes``."""
        try:
            return round(float(self.get("Timestamp")) * _MILLI)
        except (ValueError, OverflowError):
            return None


def encode(action: str, action_id: str, fields: Fields = ()) -> bytes:
    """Return an action as bytes to send.

    Raises:
        Malformed: A key or a value would break out of its line.
    """
    lines = []
    for key, value in (("Action", action), ("ActionID", action_id), *fields):
        if not _KEY.fullmatch(key) or _BREAKING.search(value):
            raise Malformed(
                f"{key!r}: {value!r} cannot be sent to Asterisk: it would break its line"
            )
        lines.append(f"{key}: {value}\r\n")
    return "".join((*lines, "\r\n")).encode()


def decode(block: bytes) -> Message:
    """Parse a block. Never raises: skips lines without a colon and replaces invalid UTF-8."""
    fields = []
    for line in block.decode("utf-8", "replace").split("\r\n"):
        key, colon, value = line.partition(":")
        if colon:
            fields.append((key.strip(), value.strip()))
    return Message(tuple(fields))
