"""``sfu-wrapper recordings verify``: check evidence offline: signature, files, audit entries.

Needs neither store nor controller nor configuration. Each problem is one line; exit code 1 if there
is one. Without ``--key`` the signature is not checked, and the output says so: files and audit
entries then only agree with a document that anyone may have written.
"""

import hashlib
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sfu_wrapper.adapters.signing import load_verifier, unverified_payload
from sfu_wrapper.cli import common
from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.wire.evidence_check import (
    MAX_BYTES,
    Checked,
    NamedFile,
    check_audit,
    check_file,
    named_files,
    read_document,
)

HELP: Final = "check a vCon of a recording, and its files, without a controller"


def add_arguments(parser: ArgumentParser) -> None:
    """Add document, folder and key."""
    parser.add_argument("document", metavar="FILE.vcon.json", type=Path, help="the evidence")
    folder = "folder of the downloaded files (default: that of the document)"
    parser.add_argument("--files", metavar="DIR", type=Path, help=folder)
    key = "PEM file of the public key that must have signed it"
    parser.add_argument("--key", metavar="FILE", type=Path, help=key)


def run(args: Namespace) -> int:
    """Check the document, and print a line for each check.

    Raises:
        Malformed: the document cannot be read.
        Misconfigured: the key cannot be used.
    """
    failed = 0
    for checked in _checks(args):
        failed += checked.problem is not None
        fields = {"about": checked.about, "ok": checked.is_ok, "problem": checked.problem}
        common.emit(args, str(checked), **fields)
    return common.FAILED if failed else common.DONE


def _checks(args: Namespace) -> Iterator[Checked]:
    verified = None if args.key is None else load_verifier(args.key).payload
    document, signature = read_document(_text(args.document), verified, unverified_payload)
    yield signature
    folder = args.document.parent if args.files is None else args.files
    for named in named_files(document):
        match named:
            case NamedFile(name=name):
                yield check_file(named, _sha256(folder / name))
            case Checked():
                yield named
    yield from check_audit(document)


def _text(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise Malformed(f"{file}: cannot be read: {error.strerror}") from error
    if len(text) > MAX_BYTES:
        raise Malformed(f"{file}: longer than {MAX_BYTES} bytes: not a vCon of a recording")
    return text


def _sha256(file: Path) -> str | None:
    """Return the hash of a file, in hex; None: it is not there."""
    if not file.is_file():
        return None
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise Malformed(f"{file}: cannot be read: {error.strerror}") from error
