"""Tests with other servers and Pythons, each in a root folder. Run by ``scripts/compat``."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).resolve().parents[1]
FOLDERS: Final = ("contract", "integration", "faults", "acceptance")
LIMIT_S: Final = 3600  # of the tests of one version
FETCH_S: Final = 1200  # for the packages of one version
VERSION_S: Final = 60
_BASE: Final = (
    "base-files,bash,coreutils,dash,findutils,grep,hostname,libc-bin,mawk,procps,sed,util-linux"
)
_SETTINGS: Final = (
    # A mirror may lag behind: its dates are not looked at, its signatures are.
    "--aptopt=Acquire::Check-Valid-Until false",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/asterisk/sounds/*",
)


class Failed(Exception):
    """A root folder that cannot be made; one line."""


@dataclass(frozen=True)
class Kind:
    """A server that the tests talk to.

    Attributes:
        variable: names its root folder to the tests (docs/how-to/testing.md, "Other servers").
        packages: what is put into the root folder.
        helpers: modules of ``tests.helpers`` whose users are its tests.
        version: command in the root folder whose output has the version.
    """

    variable: str
    packages: str
    helpers: str
    version: tuple[str, ...]


KINDS: Final = {
    "rabbitmq": Kind(
        "SFU_TEST_RABBITMQ_ROOT",
        "rabbitmq-server",
        "rabbitmq|rabbitmq_rows",
        ("ls", "/usr/lib/rabbitmq/lib"),
    ),
    "janus": Kind(
        "SFU_TEST_JANUS_ROOT",
        "janus",
        "janus|januscalls|janusrooms|callpage|browsercalls|peopled",
        ("janus", "--version"),
    ),
    "asterisk": Kind("SFU_TEST_ASTERISK_ROOT", "asterisk", "asterisk", ("asterisk", "-V")),
}
RELEASES: Final = (
    ("rabbitmq", "bookworm"),
    ("rabbitmq", "trixie"),
    ("rabbitmq", "forky"),
    ("janus", "bookworm"),
    ("janus", "forky"),
    ("asterisk", "bullseye"),
    ("asterisk", "forky"),
    ("python", "bookworm"),
    ("python", "trixie"),
    ("python", "forky"),
)
PYTHON: Final = "python"  # its tests run in its root folder: scripts/other-pythons


@dataclass(frozen=True)
class Row:
    """Result of the tests against one version."""

    name: str
    version: str
    result: str
    passed: bool


def main() -> int:
    """Fetch, run, print the table."""
    args, arguments = parse()
    names = args.names or [f"{kind}-{suite}" for kind, suite in RELEASES]
    if args.list:
        for kind, suite in RELEASES:
            tests = ["scripts/test --fast"] if kind == PYTHON else tests_of(KINDS[kind])
            print(f"{kind}-{suite}:", *tests)
        return 0
    if os.geteuid():
        print("only root may enter another root folder: sudo scripts/compat", file=sys.stderr)
        return 1
    rows = [attempt(name, args, arguments) for name in names]
    print(f"\n{time.strftime('%Y-%m-%d')}:\n\n| server | version | result |\n|---|---|---|")
    for row in rows:
        print(f"| {row.name} | {row.version} | {row.result} |")
    return 0 if all(row.passed for row in rows) else 1


def parse() -> tuple[argparse.Namespace, list[str]]:
    """Return the options, and the arguments for pytest."""
    ours, theirs = sys.argv[1:], list[str]()
    if "--" in ours:
        cut = ours.index("--")
        ours, theirs = ours[:cut], ours[cut + 1 :]
    parser = argparse.ArgumentParser(prog="scripts/compat", description=__doc__)
    known = [f"{kind}-{suite}" for kind, suite in RELEASES]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    parser.add_argument("--list", action="store_true", help="print the names and their tests")
    parser.add_argument("--roots", type=Path, default=TOP / ".roots", help="folder of the roots")
    parser.add_argument("--fetch-only", action="store_true", help="run no tests")
    args = parser.parse_args(ours)
    unknown = sorted(set(args.names) - set(known))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(known)}")
    return args, theirs


def attempt(name: str, args: argparse.Namespace, arguments: Sequence[str]) -> Row:
    """Try one version and return its row; a root folder that cannot be made is a row too."""
    kind_name, _, suite = name.partition("-")
    if kind_name == PYTHON:
        return attempt_python(name, suite, args, arguments)
    kind = KINDS[kind_name]
    root = (args.roots / name).resolve()
    try:
        fetch(root, suite, kind.packages)
        version = version_of(root, kind)
    except Failed as error:
        return Row(name, "", str(error), passed=False)
    if args.fetch_only:
        return Row(name, version, "fetched", passed=True)
    say(f"{name}: {version}")
    return run(name, version, kind, root, arguments)


def attempt_python(
    name: str, suite: str, args: argparse.Namespace, arguments: Sequence[str]
) -> Row:
    """Run the fast tests in a root folder with that Python, as an ordinary user."""
    if args.fetch_only:
        return Row(name, "", "not fetched alone", passed=True)
    argv = ["scripts/other-pythons", "--roots", str(args.roots), suite, "--", *arguments]
    code, last = run_shown(argv, os.environ)
    found = re.fullmatch(r"Python (\S+) of Debian \S+: (.*)", last)
    version, result = (found[1], found[2]) if found else ("", last)
    return Row(name, version, f"{result}, as an ordinary user", passed=code == 0)


def fetch(root: Path, suite: str, packages: str) -> None:
    """Make a root folder unless it is there. Packages are unpacked, none of their scripts runs."""
    if root.is_dir():
        return
    mirror = os.environ.get("MIRROR")
    if not mirror:
        raise Failed("no Debian mirror is configured here; name one: MIRROR=... scripts/compat")
    say(f"fetching {packages} of Debian {suite} into {root}")
    new = root.with_name(root.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.parent.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        ["timeout", str(FETCH_S),
         "mmdebstrap", "--quiet", "--mode=root", "--variant=extract", *_SETTINGS,
         f"--include={_BASE},{packages}", suite, str(new), f"deb {mirror} {suite} main"],
        check=False,
    )  # fmt: skip
    if made.returncode:
        raise Failed(f"{packages} of {suite} cannot be fetched")
    complete(new)
    new.rename(root)


def complete(root: Path) -> None:
    """Add what the installation of a package would have made."""
    for name in ("bin", "sbin", "lib", "lib64"):  # before trixie no package ships these links
        if not (root / name).exists() and (root / "usr" / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    if not (root / "usr/bin/awk").exists():
        (root / "usr/bin/awk").symlink_to("mawk")
    shutil.copy("/etc/hosts", root / "etc/hosts")
    for name, line in (("passwd", "root:x:0:0:root:/root:/bin/sh"), ("group", "root:x:0:")):
        if not (root / "etc" / name).exists():
            (root / "etc" / name).write_text(f"{line}\n", "utf-8")


def version_of(root: Path, kind: Kind) -> str:
    """Return the version of the server in a root folder."""
    said = subprocess.run(
        ["timeout", str(VERSION_S), "chroot", str(root), *kind.version],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.search(r"\d+\.\d+(?:\.\d+)+", said.stdout + said.stderr)
    if found is None:
        raise Failed(f"{' '.join(kind.version)} in {root} says no version; remove it and try again")
    return found[0]


def tests_of(kind: Kind) -> list[str]:
    """Return the files of tests that use a helper of the server."""
    uses = re.compile(rf"tests\.helpers(?:\.| import [a-z_, ]*\b)(?:{kind.helpers})\b")
    files = (file for each in FOLDERS for file in (TOP / "tests" / each).glob("test_*.py"))
    return sorted(
        str(each.relative_to(TOP)) for each in files if uses.search(each.read_text("utf-8"))
    )


def run(name: str, version: str, kind: Kind, root: Path, arguments: Sequence[str]) -> Row:
    """Run the tests of a server against the one in the root folder; their output is shown."""
    tests = tests_of(kind)
    argv = [sys.executable, "-m", "pytest", "-n0", "-q", *tests, *arguments]
    code, last = run_shown(argv, os.environ | {kind.variable: str(root)})
    return Row(name, version, last, passed=code == 0)


def run_shown(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a command whose output is shown; return its exit code and its last line."""
    last = ""
    with subprocess.Popen(
        ["timeout", "--signal=INT", "--kill-after=60", str(LIMIT_S), *argv],
        cwd=TOP, env=environment, stdout=subprocess.PIPE, text=True, errors="replace",
    ) as process:  # fmt: skip
        assert process.stdout is not None  # noqa: S101  # it is a pipe, by stdout=PIPE above
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
    return process.returncode, last.strip("= ")


def say(what: str) -> None:
    """Print one line at once."""
    print(f"== {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
