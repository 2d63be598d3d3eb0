"""Make a release; for scripts/release, which has the usage.

The wheel is built from the sdist, so that the sdist is known to be whole, and tried in a virtual
environment of its own: its command, its help, and a controller that answers /health/live.
"""

import argparse
import contextlib
import datetime
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

TOP = Path(__file__).resolve().parents[1]
VERSION_FILE = TOP / "sfu_wrapper" / "__init__.py"
CHANGELOG = TOP / "CHANGELOG.md"
DIST = TOP / "dist"
CONSTRAINTS = TOP / "constraints-run.txt"
GROUPS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
UNRELEASED = "## Unreleased\n"
VERSION_LINE = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
SEMANTIC = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
READY_S = 60.0
COMMAND_S = 600.0  # for a build or an installation
STOP_S = 30.0


class ReleaseError(Exception):
    """The release cannot be made; the text says why, and what to do."""


def parse(version: str) -> tuple[int, ...]:
    """Return a version as numbers.

    Raises:
        ReleaseError: It is not of the form 1.2.3.
    """
    if not SEMANTIC.fullmatch(version):
        raise ReleaseError(f"{version} is not a version: give three numbers, as in 0.2.0")
    return tuple(int(number) for number in version.split("."))


def current_version() -> str:
    """Return the version of this tree."""
    found = VERSION_LINE.search(VERSION_FILE.read_text(encoding="utf-8"))
    if found is None:
        raise ReleaseError(f"{VERSION_FILE} has no line __version__")
    return found[1]


def dated(changelog: str, version: str, day: datetime.date) -> str:
    """Return the changelog with what is unreleased under the version.

    Raises:
        ReleaseError: Nothing is unreleased, or a group of changes has an unknown name.
    """
    head, found, rest = changelog.partition(UNRELEASED)
    if not found:
        raise ReleaseError(f"{CHANGELOG.name} has no section Unreleased")
    section = rest.partition("\n## ")[0]
    if not re.search(r"^- ", section, re.MULTILINE):
        raise ReleaseError(f"{CHANGELOG.name} has nothing under Unreleased")
    unknown = set(re.findall(r"^### (.+)$", section, re.MULTILINE)) - set(GROUPS)
    if unknown:
        known = ", ".join(GROUPS)
        raise ReleaseError(f"{CHANGELOG.name}: {unknown.pop()} is no group of changes ({known})")
    return f"{head}{UNRELEASED}\n## {version} - {day.isoformat()}\n{rest}"


def require_clean_tree() -> None:
    """Raise ReleaseError where git knows of changes that are not committed."""
    command = ["git", "status", "--porcelain"]
    done = subprocess.run(
        command, cwd=TOP, capture_output=True, text=True, check=False, timeout=COMMAND_S
    )
    if done.returncode == 0 and done.stdout.strip():
        raise ReleaseError(f"commit these changes first:\n{done.stdout.rstrip()}")


@contextlib.contextmanager
def written(version: str, day: datetime.date) -> Iterator[None]:
    """Write version and changelog, and write back what was there where the block fails."""
    if parse(version) <= parse(current_version()):
        raise ReleaseError(f"{version} is not newer than {current_version()}")
    require_clean_tree()
    before = {path: path.read_text(encoding="utf-8") for path in (VERSION_FILE, CHANGELOG)}
    changelog = dated(before[CHANGELOG], version, day)
    try:
        CHANGELOG.write_text(changelog, encoding="utf-8")
        line = f'__version__ = "{version}"'
        VERSION_FILE.write_text(VERSION_LINE.sub(line, before[VERSION_FILE]), encoding="utf-8")
        yield
    except BaseException:
        for path, text in before.items():
            path.write_text(text, encoding="utf-8")
        raise


def run(*command: str | Path, cwd: Path = TOP) -> str:
    """Run a command and return what it printed.

    Raises:
        ReleaseError: It failed; with its output. Or it did not end within ``COMMAND_S`` seconds.
    """
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, check=False, timeout=COMMAND_S
        )
    except subprocess.TimeoutExpired as error:
        raise ReleaseError(str(error)) from error
    if done.returncode:
        raise ReleaseError(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def build(version: str, work: Path) -> tuple[Path, Path]:
    """Build sdist and wheel in dist/. Returns their paths."""
    hatch = (sys.executable, "-m", "hatchling", "build", "-d", str(DIST))
    run(*hatch, "-t", "sdist")
    sdist = DIST / f"sfu_wrapper-{version}.tar.gz"
    run("tar", "--extract", "--file", sdist, "--directory", work)
    run(*hatch, "-t", "wheel", cwd=work / f"sfu_wrapper-{version}")
    return sdist, DIST / f"sfu_wrapper-{version}-py3-none-any.whl"


def check_contents(wheel: Path) -> None:
    """Raise ReleaseError where the wheel lacks a file of the package, or has another."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    here = {
        str(path.relative_to(TOP))
        for path in (TOP / "sfu_wrapper").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    if packed != here:
        raise ReleaseError(f"{wheel.name} differs from the tree in {sorted(packed ^ here)}")


def install(wheel: Path, folder: Path, *, offline: bool) -> Path:
    """Install the wheel into a fresh virtual environment. Returns its command.

    Args:
        offline: Take the dependencies from the environment that this runs in.
    """
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    if offline:
        where = "import sysconfig; print(sysconfig.get_path('purelib'))"
        theirs = run(sys.executable, "-c", where)
        # Nested .pth files are not read: the editable install of this tree stays out.
        Path(run(python, "-c", where).strip(), "dependencies.pth").write_text(theirs)
    else:
        run(*pip, "install", "--quiet", "--require-hashes", "--requirement", CONSTRAINTS)
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel)
    if not offline:
        run(*pip, "check")
    return folder / "bin" / "sfu-wrapper"


def check_command(command: Path, version: str, folder: Path) -> None:
    """Raise ReleaseError where the installed command is another version or gives no help."""
    said = run(command, "--version", cwd=folder).strip()
    if said != f"sfu-wrapper {version}":
        raise ReleaseError(f'the installed command says "{said}"')
    if "serve" not in run(command, "--help", cwd=folder):
        raise ReleaseError("the help of the installed command does not name serve")


def check_controller(command: Path, folder: Path) -> None:
    """Start a controller, and raise ReleaseError where it answers no /health/live."""
    settings = {
        "HTTP__PORT": "0",
        "WEBSOCKET__PORT": "0",
        "STORE__URL": f"sqlite:{folder / 'store.db'}",
        "AUTH__SECRET": os.urandom(32).hex(),
        "LOG__FORMAT": "json",
        **{f"{name}_PATH": str(folder / name) for name in ("RECORDINGS", "AUDIO", "DESTINATION")},
        "LOGS_PATH": str(folder / "logs"),
    }
    env = os.environ | {f"SFU_WRAPPER__{key}": value for key, value in settings.items()}
    env.pop("PYTHONPATH", None)
    with subprocess.Popen(
        [command, "serve"], cwd=folder, env=env, stderr=subprocess.PIPE
    ) as served:
        try:
            address = wait_for_address(served.stderr)
            with urllib.request.urlopen(f"{address}/health/live", timeout=READY_S) as answer:  # noqa: S310 http on loopback
                print(f"{address}/health/live: {answer.status}")
        except OSError as error:
            raise ReleaseError(f"the installed controller does not answer: {error}") from error
        finally:
            stop(served)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and kill it after ``STOP_S`` seconds."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()


def wait_for_address(log: IO[bytes] | None) -> str:
    """Return the HTTP address that a controller logs once it is ready."""
    if log is None:
        raise TypeError("the log must be a pipe")
    read, give_up_s = b"", time.monotonic() + READY_S
    while (left_s := give_up_s - time.monotonic()) > 0:
        if not select.select([log], [], [], left_s)[0]:
            break
        piece = os.read(log.fileno(), 65_536)
        if not piece:
            break
        read += piece
        for line in read.splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if entry["message"] == "ready":
                    return str(entry["http"])
    raise ReleaseError(f"the installed controller does not become ready:\n{read.decode()}")


def make(version: str, *, offline: bool) -> None:
    """Build and check one version."""
    with tempfile.TemporaryDirectory(prefix="sfu-wrapper-release-") as name:
        work = Path(name)
        sdist, wheel = build(version, work)
        check_contents(wheel)
        command = install(wheel, work / "venv", offline=offline)
        check_command(command, version, work)
        check_controller(command, work)
    for path in (sdist, wheel):
        print(f"{path.relative_to(TOP)}: {path.stat().st_size:,} bytes")


def main() -> int:
    """Make the release. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/release", description=__doc__)
    parser.add_argument("version", nargs="?", help="the new version, as 0.2.0")
    parser.add_argument("--check", action="store_true", help="build this tree as it is")
    parser.add_argument("--offline", action="store_true", help="dependencies from .venv")
    args = parser.parse_args()
    if (args.version is None) is not args.check:
        parser.error("give either a version or --check")
    try:
        if args.check:
            make(current_version(), offline=args.offline)
            return 0
        today = datetime.datetime.now(tz=datetime.UTC).date()
        with written(args.version, today):
            make(args.version, offline=args.offline)
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    print(f'git commit --all --message "Release {args.version}"')
    print(f'git tag --annotate v{args.version} --message "Release {args.version}"')
    return 0


if __name__ == "__main__":
    sys.exit(main())
