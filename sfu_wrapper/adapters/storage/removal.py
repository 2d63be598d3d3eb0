"""Removal of a deleted recording's files, and the durable marks about it.

Orders and marks are files below the hidden folder of the destination: ``deleting/<job>.order`` (and
``.raw`` for raw files alone) until a deletion is done, ``deleted/<job>.mark`` afterwards. They hold
messages, which this module does not read.

Files are removed one by one, each by the descriptor of its folder, without following links, and the
folder is synced afterwards, so that a deletion that was reported survives a power cut. A file that
cannot be removed does not keep the others: all are tried, then the first failure is raised. The
manifest goes last, because it names the files.
"""

import logging
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from sfu_wrapper.adapters.os.beneath import (
    UnsafeFile,
    names_in,
    opened_beneath,
    opened_folder,
    parts_of,
    sync,
)
from sfu_wrapper.adapters.storage.disk_work import (
    ABSENT,
    naming,
    remove_empty_above,
    remove_empty_folders,
    run_disk_work,
)
from sfu_wrapper.adapters.storage.local import Folders, LocalStorage
from sfu_wrapper.core.naming import quote_filename
from sfu_wrapper.model.errors import Stage

_ORDER, _RAW_ORDER, _MARK = ".order", ".raw", ".mark"

log = logging.getLogger(__name__)


class LocalRemoval(LocalStorage):
    """``DeletionStorage`` on folders of this machine; all work is done in threads.

    Args:
        folders: folders of the worker.
        logs: folder of the logs of recordings.
    """

    def __init__(self, folders: Folders, logs: Path) -> None:
        super().__init__(folders)
        self._logs = logs.absolute()
        self._deleting = self._own / "deleting"
        self._deleted = self._own / "deleted"

    async def order(self, job: str, *, raw_only: bool = False) -> bytes | None:
        """See the port."""
        return await run_disk_work(Stage.DELIVER, self._read, self._order_of(job, raw_only))

    async def orders(self, limit: int) -> tuple[bytes, ...]:
        """See the port."""
        return await run_disk_work(Stage.DELIVER, self._orders, limit)

    async def put_order(self, job: str, content: bytes, *, raw_only: bool = False) -> None:
        """See the port."""
        await run_disk_work(Stage.DELIVER, self._write, self._order_of(job, raw_only), content)

    async def close_order(self, job: str, *, raw_only: bool = False) -> None:
        """See the port."""
        await run_disk_work(Stage.DELIVER, self._unlink, self._order_of(job, raw_only))

    async def mark(self, job: str) -> bytes | None:
        """See the port."""
        return await run_disk_work(Stage.DELIVER, self._read, self._mark_of(job))

    async def put_mark(self, job: str, content: bytes) -> None:
        """See the port."""
        await run_disk_work(Stage.DELIVER, self._write, self._mark_of(job), content)

    async def owner(self, filename: str) -> str | None:
        """See the port."""
        return await run_disk_work(Stage.DELIVER, self._owner, filename)

    async def kept_file(self, job: str, name: str) -> bytes | None:
        """See the port."""
        file = self._work_folders(job)[-1] / name
        return await run_disk_work(Stage.DELIVER, self._read, file)

    async def remove_results(self, job: str, filenames: Sequence[str]) -> None:
        """See the port."""
        await run_disk_work(Stage.DELIVER, self._remove_results, job, filenames)

    async def remove_raw(self, videos: Sequence[str], audio: Sequence[str]) -> None:
        """See the port."""
        await run_disk_work(Stage.DELIVER, self._remove_raw, videos, audio)

    async def remove_log(self, name: str) -> None:
        """See the port."""
        file = self._logs / f"{quote_filename(name)}.log"
        await run_disk_work(Stage.DELIVER, self._remove_log, file)

    async def sweep(self, logs_before_ms: int | None, marks_before_ms: int | None) -> int:
        """See the port."""
        return await run_disk_work(Stage.DELIVER, self._sweep, logs_before_ms, marks_before_ms)

    def _order_of(self, job: str, raw_only: bool) -> Path:
        return self._deleting / f"{quote_filename(job)}{_RAW_ORDER if raw_only else _ORDER}"

    def _mark_of(self, job: str) -> Path:
        return self._deleted / f"{quote_filename(job)}{_MARK}"

    def _orders(self, limit: int) -> tuple[bytes, ...]:
        names: list[str] = []
        with suppress(*ABSENT), self._opened(self._deleting) as folder:
            names = [name for name in names_in(folder) if name.endswith((_ORDER, _RAW_ORDER))]
        found = (self._read(self._deleting / name) for name in names[:limit])
        return tuple(content for content in found if content is not None)

    def _owner(self, filename: str) -> str | None:
        name = self.name_below(filename)
        content = None if name is None else self._read(self._reservation_of(name))
        return None if content is None else content.decode(errors="replace")

    def name_below(self, filename: str) -> str | None:
        """Return a finished file's name below the destination; None: it cannot be ours."""
        path = Path(filename)
        if path.is_absolute() and not path.is_relative_to(self._destination):
            return None
        name = str(path.relative_to(self._destination)) if path.is_absolute() else filename
        with suppress(UnsafeFile):
            return None if parts_of(name)[0] == self._own.name else name
        return None

    def _remove_results(self, job: str, filenames: Sequence[str]) -> None:
        with _all_of_them() as attempt:
            for filename in filenames:
                name = self.name_below(filename)
                if name is None or self._owner(name) not in (None, job):
                    log.warning("deletion.skipped", extra={"file": filename, "job": job})
                    continue
                attempt(partial(self._remove_result, name))
        self._unlink(self._unfinished_of(job))
        self._unlink(self.manifest_file(job))

    def _remove_result(self, name: str) -> None:
        """Remove a finished file, then its empty folder, then the reservation of its name."""
        file = self.final(name)
        self._unlink(file)
        with suppress(OSError), opened_folder(self._destination) as top:
            remove_empty_above(top, parts_of(name)[:-1])
        self._unlink(self._reservation_of(name))

    def _remove_raw(self, videos: Sequence[str], audio: Sequence[str]) -> None:
        named = [(self._recordings, name) for name in videos]
        named += [(self._audio, name) for name in audio]
        with _all_of_them() as attempt:
            for root, filename in named:
                attempt(partial(_remove_one_raw, root, filename))
        remove_empty_folders(named)

    def _remove_log(self, file: Path) -> None:
        for handler in logging.getLogger().handlers:
            handler.flush()  # lines on their way would make the file again
        self._unlink(file)

    def _unlink(self, file: Path) -> None:
        """Remove a file durably; one that is gone already, or its folder, is fine."""
        with suppress(*ABSENT), self._opened(file.parent) as folder, naming(file):
            _unlink_in(folder, file.name)

    def _sweep(self, logs_before_ms: int | None, marks_before_ms: int | None) -> int:
        count = self._sweep_folder(self._logs, ".log", logs_before_ms)
        return count + self._sweep_folder(self._deleted, _MARK, marks_before_ms)

    def _sweep_folder(self, place: Path, ending: str, before_ms: int | None) -> int:
        count = 0
        if before_ms is None:
            return count
        with suppress(*ABSENT), self._opened(place) as folder:
            for name in names_in(folder):
                if name.endswith(ending) and _is_older(folder, name, before_ms):
                    _unlink_in(folder, name)
                    count += 1
        return count


def _is_older(folder: int, name: str, before_ms: int) -> bool:
    """Return True for a plain file that was last written before a time, epoch ms."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_mtime_ns < before_ms * 1_000_000


def _unlink_in(folder: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
        sync(folder)


def _remove_one_raw(root: Path, filename: str) -> None:
    """Remove a raw file; a name that leads out of its folder is none of ours."""
    try:
        parts = parts_of(filename.lstrip("/"))
        with (
            suppress(*ABSENT),
            naming(root / filename.lstrip("/")),
            opened_folder(root) as top,
            opened_beneath(top, parts[:-1]) as folder,
        ):
            _unlink_in(folder, parts[-1])
    except UnsafeFile as exc:
        log.warning("deletion.skipped", extra={"file": filename, "why": exc.strerror})


@contextmanager
def _all_of_them() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Yield a function that runs work and keeps its OSError; raise the first one at the end."""
    errors: list[OSError] = []

    def attempt(work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as exc:
            errors.append(exc)

    yield attempt
    if errors:
        raise errors[0]
