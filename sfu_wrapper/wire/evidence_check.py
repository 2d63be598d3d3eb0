"""Verification of evidence without the product that made it: signature, files, audit entries.

Reads a vCon that ``wire.evidence`` made, signed or not, and compares it with files and with itself.
Everything in it may be forged, so nothing is taken for granted: each problem is one sentence.
"""

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.core.audit import linked
from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.wire.strict_json import canonical, parse_strict

MAX_BYTES: Final = 64 * 1024 * 1024  # of a document
_SHA256: Final = re.compile(r"sha256-[A-Za-z0-9_-]{43}")
_HASH_BYTES: Final = 32

Payload = Callable[[str], bytes]
"""Function that returns the payload of a compact JWS, or raises Malformed."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Result of one check.

    Attributes:
        about: what was checked: ``signature``, ``file NAME``, ``audit entry N`` …
        problem: what is wrong; None: nothing.
        skipped: why it was not checked; None: it was.
    """

    about: str
    problem: str | None = None
    skipped: str | None = None

    @property
    def is_ok(self) -> bool | None:
        """True or False for what was checked, None for what was not."""
        return None if self.skipped is not None else self.problem is None

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.about}: {self.problem or self.skipped or 'ok'}"


@dataclass(frozen=True, slots=True)
class NamedFile:
    """File that the document names, with the SHA-256 that it must have, in hex."""

    name: str
    sha256: str


def read_document(
    text: bytes, verified: Payload | None, unverified: Payload
) -> tuple[Mapping[str, object], Checked]:
    """Return the vCon of a file, and the result of the check of its signature.

    Args:
        text: content of the file.
        verified: opens a JWS with the reader's key; None: it has none.
        unverified: opens a JWS without a key.

    Raises:
        Malformed: not a vCon.
    """
    outer = _object(parse_strict(text), "the document")
    if "signatures" not in outer:
        if verified is None:
            return outer, Checked("signature", skipped="there is none")
        return outer, Checked("signature", "the document is not signed")
    compact = _compact(outer)
    inner = _object(parse_strict(unverified(compact)), "the signed document")
    if verified is None:
        return inner, Checked("signature", skipped="not checked without --key")
    try:
        verified(compact)
    except Malformed as error:
        return inner, Checked("signature", error.detail)
    return inner, Checked("signature")


def _compact(outer: Mapping[str, object]) -> str:
    """Return the JWS of a general serialization in its compact form."""
    match outer:
        case {
            "payload": str(payload),
            "signatures": [{"protected": str(protected), "signature": str(signature)}],
        }:
            return f"{protected}.{payload}.{signature}"
        case _:
            raise Malformed("not a signed vCon: one signature with protected header is expected")


def named_files(document: Mapping[str, object]) -> Iterator[NamedFile | Checked]:
    """Yield the files of a vCon; ``Checked`` where one is named wrongly."""
    for part in ("dialog", "attachments"):
        for entry in _objects(document, part):
            if "content_hash" not in entry:
                continue
            name, digest = entry.get("filename"), entry["content_hash"]
            if not isinstance(name, str) or not _is_plain(name):
                yield Checked(f"a file of {part}", "its name is not a plain file name")
            elif not isinstance(digest, str) or not _SHA256.fullmatch(digest):
                yield Checked(f"file {name}", "its content_hash is not a SHA-256")
            else:
                raw = base64.urlsafe_b64decode(digest.removeprefix("sha256-") + "=")
                yield NamedFile(name, raw.hex())


def _is_plain(name: str) -> bool:
    """Return True for a name in the folder that cannot write lines of its own to a terminal."""
    return name.isprintable() and "/" not in name and name not in ("", ".", "..")


def check_file(file: NamedFile, found_sha256: str | None) -> Checked:
    """Compare a file with the document; None: the file is not there."""
    about = f"file {file.name}"
    if found_sha256 is None:
        return Checked(about, "not found; download it to the folder of --files")
    if found_sha256 != file.sha256:
        return Checked(about, "its content was changed: the SHA-256 differs")
    return Checked(about)


def check_audit(document: Mapping[str, object]) -> Iterator[Checked]:
    """Yield the results of the audit entries: each fits its hash, and neighbours are linked."""
    entries = [
        _object(entry, "an audit entry")
        for attachment in _objects(document, "attachments")
        if attachment.get("purpose") == "audit"
        for entry in _list(attachment.get("body"))
    ]
    if not entries:
        yield Checked("audit entries", "there are none")
    last: tuple[object, object] = (None, None)  # number and hash of the entry before
    for place, entry in enumerate(entries, 1):
        number, own = entry.get("number"), entry.get("hash")
        about = f"audit entry {number if isinstance(number, int) else f'at place {place}'}"
        if not isinstance(number, int) or own is None or _linked(entry) != own:
            yield Checked(about, "it was changed: its hash does not follow from its content")
        elif last[0] == number - 1 and last[1] != entry["previous"]:
            yield Checked(about, f"it does not follow entry {number - 1}")
        elif isinstance(last[0], int) and last[0] >= number:
            yield Checked(about, "it is out of order")
        else:
            yield Checked(about)
        last = number, own


def _linked(entry: Mapping[str, object]) -> str | None:
    """Return the hash that an entry should have; None if it cannot be computed."""
    plain = {key: value for key, value in entry.items() if key not in ("hash", "previous")}
    try:
        previous = bytes.fromhex(str(entry.get("previous")))
    except ValueError:
        return None
    if len(previous) not in (0, _HASH_BYTES):
        return None
    return linked(previous, canonical(plain)).hex()


def _objects(document: Mapping[str, object], part: str) -> Sequence[Mapping[str, object]]:
    return [_object(entry, f"an entry of {part}") for entry in _list(document.get(part))]


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []


def _object(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise Malformed(f"not a vCon: {what} is not an object")
    return value
