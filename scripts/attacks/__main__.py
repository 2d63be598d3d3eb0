"""``scripts/attack``: run attacks one after the other, print the table, and judge it."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from scripts.attacks.campaign import Lengths, run
from scripts.attacks.catalogue import ATTACKS, Attack, attack_named
from scripts.attacks.controller import TOP
from scripts.attacks.judge import Run, broken_limits
from scripts.attacks.table import as_json, head, notes, row

TRIES = 3  # of an attack whose waiting times are too long: the machine may be busy with others


def main() -> int:
    """Return 1 where a limit does not hold."""
    args = _parse()
    if args.list:
        for attack in ATTACKS:
            print(f"{attack.name:26} {attack.threat:4} {attack.meaning}")
        return 0
    if args.priority is not None:
        _take_priority(args.priority)
    chosen = [attack_named(name) for name in args.only] if args.only else list(ATTACKS)
    if not args.json:
        print(head(args.base is not None), flush=True)
    failed = asyncio.run(_all(chosen, args))
    if not args.json:
        print(f"\n{len(chosen) - len(failed)} of {len(chosen)} hold", *_named(failed))
    return 1 if failed else 0


def _named(failed: Sequence[str]) -> Iterator[str]:
    if failed:
        yield f"; not: {', '.join(failed)}"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/attack", description=__doc__, add_help=False)
    parser.add_argument("--help-all", action="help", help="say this, and run none")
    parser.add_argument("--list", action="store_true", help="name the attacks, run none")
    parser.add_argument(
        "--only", type=_names, metavar="NAME,…", help="run these attacks, in this order"
    )
    parser.add_argument("--seconds", type=float, default=8, help="of each strike (default: 8)")
    parser.add_argument("--quiet", type=float, default=6, help="s before it (default: 6)")
    parser.add_argument("--after", type=float, default=3, help="s after it (default: 3)")
    parser.add_argument(
        "--of", type=Path, default=TOP, help="checkout of the controller (default: this one)"
    )
    parser.add_argument("--base", type=Path, help="another checkout, to be shown beside")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, no table")
    parser.add_argument("--tries", type=int, default=TRIES, help="of what was only too slow")
    parser.add_argument(
        "--priority",
        type=int,
        metavar="N",
        help="nice value of controller and prober, such as -10 (as root): on a busy machine "
        "waiting times are else those of its other work",
    )
    parser.add_argument(
        "--untimed", action="store_true", help="judge no waiting times: for busy machines"
    )
    return parser.parse_args(sys.argv[1:])


def _take_priority(nice: int) -> None:
    """Put ourselves, and what we start, before other processes; within a session and between."""
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    with suppress(OSError):  # without autogrouping there is no such file, and no need of it
        Path("/proc/self/autogroup").write_text(str(nice))


def _names(text: str) -> list[str]:
    names = text.split(",")
    known = {attack.name for attack in ATTACKS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"no attack is called {unknown[0]}; see --list")
    return names


async def _all(chosen: Sequence[Attack], args: argparse.Namespace) -> list[str]:
    """Return the names of those that do not hold."""
    failed = []
    for attack in chosen:
        try:
            holds = await _one(attack, args)
        except (RuntimeError, TimeoutError, AssertionError, OSError) as exc:
            print(f"| {attack.name} | did not run: {exc!r} |", flush=True)
            holds = False
        if not holds:
            failed.append(attack.name)
    return failed


async def _one(attack: Attack, args: argparse.Namespace) -> bool:
    """Run an attack and print its row. Returns whether every limit holds."""
    lengths = Lengths(args.quiet, args.seconds, args.after)
    timed = not args.untimed
    before = await run(attack, args.base.resolve(), lengths) if args.base else None
    tries = 1
    found = await run(attack, args.of.resolve(), lengths)
    while timed and tries < args.tries and _too_slow(found):
        tries += 1
        found = await run(attack, args.of.resolve(), lengths)
    broken = broken_limits(found, timed=timed)
    if args.json:
        print(json.dumps(as_json(found, broken, tries)), flush=True)
    else:
        print(row(found, broken, tries, before), flush=True)
        if found.notes:
            print(f"| {notes(found)} |", flush=True)
    return not broken


def _too_slow(found: Run) -> bool:
    """Return whether waiting times are all that is wrong."""
    return bool(broken_limits(found)) and not broken_limits(found, timed=False)


if __name__ == "__main__":
    sys.exit(main())
