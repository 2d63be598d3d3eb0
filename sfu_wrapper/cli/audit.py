"""``sfu-wrapper audit``: show, verify and export the audit chains of the configured store.

Reads the file of the store, with or without a running controller, as of one moment. ``verify``
reads each chain once, in bounded memory, and needs no key: the hashes of the entries show a changed
or removed entry. A cut end shows against a head that was saved earlier (``--head``): the answer of
``GET /audit/head``, its ``signed``, lines of the log or of ``verify --json``.
"""

import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from sfu_wrapper.adapters.signing import load_verifier, unverified_payload
from sfu_wrapper.adapters.sqlite.audit import AuditFile
from sfu_wrapper.cli import common
from sfu_wrapper.core.audit import ChainCheck, ChainFault, SavedHead
from sfu_wrapper.model.audit import AuditRow
from sfu_wrapper.model.errors import Malformed, Misconfigured
from sfu_wrapper.model.identity import DomainId
from sfu_wrapper.wire.audit import parse_heads, row_json
from sfu_wrapper.wire.strict_json import dump

_PAGE: Final = 500  # entries in one read
_REPORT: Final = 20_000  # entries between two updates of the progress bar
_MAX_HEADS_BYTES: Final = 64 * 1024 * 1024

Heads = dict[DomainId, SavedHead]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the three actions."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    texts = {
        "show": "print the latest entries of a chain",
        "verify": "check that chains are whole; exit code 1 if one is not",
        "export": "print all entries, one JSON object a line",
    }
    made = {}
    for (name, text), action in zip(texts.items(), (_show, _verify, _export), strict=True):
        made[name] = inner = actions.add_parser(name, help=text, description=text)
        common.add_common(inner)
        inner.add_argument("--domain", metavar="D", help="one chain (default: all)")
        inner.set_defaults(action=action)
    made["show"].add_argument("--object", metavar="O", help="only entries about this object")
    made["show"].add_argument("--last", metavar="N", type=int, default=50, help="how many")
    head = "file with saved heads, signed or not, which the chains must contain"
    made["verify"].add_argument("--head", metavar="FILE", type=Path, help=head)
    key = "PEM file of the public key; only heads that it signed count"
    made["verify"].add_argument("--key", metavar="FILE", type=Path, help=key)


def run(args: Namespace) -> int:
    """Run the action.

    Raises:
        Misconfigured: there is no store, or a key cannot be used.
        Malformed: a saved head cannot be read, or its signature is wrong.
        Unavailable: the store cannot be read.
    """
    file = common.configured(args).settings.store.sqlite_file
    if file is None:
        raise Misconfigured("store.url: this version keeps the audit log in sqlite:<file> only")
    with AuditFile(file) as chains:
        return int(args.action(args, chains))


def _domains(args: Namespace, chains: AuditFile) -> list[DomainId]:
    if args.domain is not None:
        return [DomainId(args.domain)]
    return [head.domain for head in chains.log.heads()]


def _show(args: Namespace, chains: AuditFile) -> int:
    for domain in _domains(args, chains):
        for row in _latest(args, chains, domain):
            shown = row_json(row)
            common.emit(args, _line(shown), **shown)
    return common.DONE


def _latest(args: Namespace, chains: AuditFile, domain: DomainId) -> tuple[AuditRow, ...]:
    if args.object is not None:
        return chains.log.entries_about(domain, args.object, args.last)
    return chains.log.entries(domain, chains.log.head(domain).number - args.last, args.last)


def _line(shown: dict[str, object]) -> str:
    actor, home = shown["actor"], shown["actorDomain"]
    who = actor if home in (None, shown["domain"]) else f"{home}/{actor}"
    details = shown["details"]
    facts = (
        [f"{key}={value}" for key, value in details.items()] if isinstance(details, dict) else []
    )
    place = f"{shown['domain']} {shown['number']}"
    what = f"{shown['action']} {shown['object']} {shown['outcome']}"
    return common.plain(" ".join([place, str(shown["at"]), str(who or "system"), what, *facts]))


def _export(args: Namespace, chains: AuditFile) -> int:
    for domain in _domains(args, chains):
        after = 0
        while rows := chains.log.entries(domain, after, _PAGE):
            after = rows[-1].number
            for row in rows:
                sys.stdout.write(dump(row_json(row)).decode() + "\n")
    sys.stdout.flush()
    return common.DONE


def _verify(args: Namespace, chains: AuditFile) -> int:
    saved = {} if args.head is None else _heads(args.head, args.key)
    domains = dict.fromkeys([*_domains(args, chains), *(saved if args.domain is None else ())])
    whole = [_verify_chain(args, chains, domain, saved.get(domain)) for domain in domains]
    if not domains:
        common.emit(args, "no entries", chains=0)
    return common.DONE if all(whole) else common.FAILED


def _verify_chain(
    args: Namespace, chains: AuditFile, domain: DomainId, saved: SavedHead | None
) -> bool:
    check = ChainCheck(saved)
    began_s = time.perf_counter()
    fault = _first_fault(chains, domain, check)
    took_s = max(time.perf_counter() - began_s, 1e-6)
    speed = round(check.number / took_s)
    known = "" if saved is None else f", it has the saved head {saved.number}"
    verdict = f"whole{known}" if fault is None else str(fault)
    common.emit(
        args,
        f"{domain}: {check.number} entries, {speed} a second: {verdict}",
        domain=domain,
        number=check.number,
        hash=check.hash.hex(),
        whole=fault is None,
        fault=None if fault is None else fault.fault,
        first=None if fault is None else fault.number,
        last=None if fault is None else fault.last,
        message=None if fault is None else str(fault),
        entriesPerSecond=speed,
    )
    return fault is None


def _first_fault(chains: AuditFile, domain: DomainId, check: ChainCheck) -> ChainFault | None:
    bar = common.ProgressBar(sys.stderr) if sys.stderr.isatty() else None
    total = max(chains.log.head(domain).number, 1)
    began_s = time.monotonic()
    try:
        for number, entry, stored in chains.walk(domain):
            fault = check.check(number, entry, stored)
            if fault is not None:
                return fault
            if bar is not None and number % _REPORT == 0:
                left_s = (time.monotonic() - began_s) * (total - number) / number
                bar.draw(domain, min(100 * number / total, 100), left_s)
        return check.end()
    finally:
        if bar is not None:
            bar.clear()


def _heads(file: Path, key: Path | None) -> Heads:
    """Read saved heads. Raises Malformed, Misconfigured."""
    verifier = None if key is None else load_verifier(key)
    try:
        with file.open("rb") as opened:
            text = opened.read(_MAX_HEADS_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Malformed(f"--head {file}: cannot be read: {error}") from error
    try:
        if verifier is None:
            return parse_heads(text, unverified_payload, only_signed=False)
        return parse_heads(text, verifier.payload, only_signed=True)
    except Malformed as error:
        raise Malformed(f"--head {file}: {error.detail}") from error
