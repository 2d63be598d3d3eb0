"""``ports.system.JobLeases`` in the store's file, shared by all workers of this machine.

Expiry is by the monotonic clock together with the boot id: no step of the wall clock ends a lease,
and no lease outlives a reboot, which also ends its holder.
"""

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sfu_wrapper.adapters.os.threads import run_in_daemon_thread
from sfu_wrapper.adapters.sqlite.database import BUSY_S, open_database, translated
from sfu_wrapper.adapters.sqlite.schema import MIGRATIONS

_CLOSE_S = BUSY_S + 1.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ACQUIRE = """
    INSERT INTO leases (job, holder, boot, expires_ms) VALUES (:job, :holder, :boot, :expires)
    ON CONFLICT (job) DO UPDATE SET
        holder = excluded.holder, boot = excluded.boot, expires_ms = excluded.expires_ms
    WHERE holder = :holder OR boot != :boot OR expires_ms <= :now
"""


def _boot() -> str:
    """Return the boot id, which identifies the monotonic clock; empty if unknown."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class SqliteLeases:
    """Job leases; each call is one short transaction in a daemon thread."""

    def __init__(self, path: Path, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        """Open the file. Raises Misconfigured, Unavailable as ``open_database`` does."""
        self._path = path
        self._boot = _boot()
        self._now_s = monotonic_s
        self._one_at_a_time = threading.Lock()
        self._closed = False
        self._connection = open_database(path, MIGRATIONS)

    async def acquire(self, job: str, holder: str, ttl_s: float) -> bool:
        """See ``JobLeases``. Raises Unavailable when the store cannot be written."""
        now_ms = round(self._now_s() * 1000)
        values: dict[str, str | int] = {
            "job": job,
            "holder": holder,
            "boot": self._boot,
            "now": now_ms,
            "expires": now_ms + round(ttl_s * 1000),
        }
        return await self._run_in_thread(_ACQUIRE, values) == 1

    async def release(self, job: str, holder: str) -> None:
        """See ``JobLeases``. Raises Unavailable when the store cannot be written."""
        sql = "DELETE FROM leases WHERE job = :job AND holder = :holder"
        await self._run_in_thread(sql, {"job": job, "holder": holder})

    def close(self) -> None:
        """Close the file; held leases expire.

        A statement that hangs closes the file when it ends.
        """
        self._closed = True
        if self._one_at_a_time.acquire(timeout=_CLOSE_S):
            self._connection.close()
            self._one_at_a_time.release()

    async def _run_in_thread(self, sql: str, values: dict[str, str | int]) -> int:
        with translated(self._path):
            return await run_in_daemon_thread(self._run, sql, values)

    def _run(self, sql: str, values: dict[str, str | int]) -> int:
        with self._one_at_a_time:
            try:
                return _execute(self._connection, sql, values)
            finally:
                if self._closed:  # closed while this statement was running
                    self._connection.close()


def _execute(connection: sqlite3.Connection, sql: str, values: dict[str, str | int]) -> int:
    return connection.execute(sql, values).rowcount
