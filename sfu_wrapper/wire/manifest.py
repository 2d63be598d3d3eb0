"""The manifest of one finished segment: proof that its files stand, and the message that says so.

It is written after the files and before anything is told. Whoever finds it emits the message again
and processes nothing.
"""

from dataclasses import dataclass

from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.wire.strict_json import dump, parse_strict

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """One finished segment. message: its ``processed`` message, byte for byte."""

    message: bytes


def encode_manifest(manifest: Manifest) -> bytes:
    """The file's content."""
    return dump({"version": _VERSION, "message": manifest.message.decode()})


def parse_manifest(body: bytes) -> Manifest:
    """Raises Malformed where it is none of ours."""
    match parse_strict(body):
        case {"version": 1, "message": str(message)}:
            return Manifest(message.encode())
    raise Malformed("no manifest of a finished segment")
