"""Read-only inspection of a database file, also while a service has it open; for ``doctor``."""

import fcntl
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sfu_wrapper.adapters.sqlite.database import Migrations, open_reader, translated
from sfu_wrapper.model.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class Inspected:
    """State of an intact file.

    Attributes:
        version: schema version; the next service that opens the file migrates an older one.
        bytes: its size.
        in_use: a controller has it open.
    """

    version: int
    bytes: int
    in_use: bool


def inspect(path: Path, migrations: Migrations) -> Inspected | None:
    """Return the state of the file; None if it does not exist.

    Raises:
        Misconfigured: the file is damaged, not a database, or of a newer release.
        Unavailable: the file cannot be read now.
    """
    if not path.exists():
        return None
    with closing(open_reader(path)) as connection, translated(path):
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise Misconfigured(f"{path.name} is damaged ({verdict}): restore it from a backup")
        known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema'").fetchone()
        sql = "SELECT coalesce(max(version), 0) FROM schema"
        version: int = connection.execute(sql).fetchone()[0] if known else 0
    if version > len(migrations):
        raise Misconfigured(f"{path.name} was written by a newer release (schema {version})")
    return Inspected(version, path.stat().st_size, _locked(path))


def _locked(path: Path) -> bool:
    """Return True if a controller holds the lock file of the database."""
    try:
        with Path(f"{path}.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
