"""Check of the runtime: Python, libraries, programs of the system, limits of this process."""

import platform
import resource
import shutil
import sqlite3
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Final

from sfu_wrapper import __version__
from sfu_wrapper.cli.checks.report import Finding, good, odd, wrong
from sfu_wrapper.config.settings import Settings

LIBRARIES: Final = ("websockets", "aio-pika", "pydantic", "fastapi", "pyjwt", "cryptography", "av")
ENOUGH_FILES: Final = 4096  # a client is one


async def look(settings: Settings) -> AsyncIterator[Finding]:
    """Report versions, and the programs that this configuration requires."""
    yield good(
        f"sfu-wrapper {__version__}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, {platform.system()} {platform.release()}"
    )
    yield good(", ".join(f"{name} {version(name)}" for name in LIBRARIES))
    if settings.recording.should_encrypt:
        yield program("gpg", "gnupg", "should_encrypt")
    if settings.recording.preprocessor != "builtin":
        yield program(settings.recording.preprocessor, "janus-tools", "preprocessor")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY or most >= ENOUGH_FILES:
        yield good(f"{most if most != resource.RLIM_INFINITY else 'any number of'} open files")
    else:
        advice = "raise the limit (ulimit -Hn, LimitNOFILE of systemd): each client needs one"
        yield odd(f"only {most} open files are allowed", advice)


def program(name: str, package: str, needed_for: str) -> Finding:
    """Return a finding: a program of the system is installed, or not."""
    found = shutil.which(name)
    if found is None:
        return wrong(f"{name} is not installed, and {needed_for} needs it", f"install {package}")
    return good(f"{name}: {found}")
