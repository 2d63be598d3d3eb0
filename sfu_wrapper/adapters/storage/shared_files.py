"""Files of the workers on folders that the controller has mounted, opened for reading only.

Names are resolved from a descriptor of their folder (``adapters.os.beneath``): no link is followed,
and only plain files are opened. All disk work is done in a bounded number of threads with a
deadline, so that a hung disk costs some threads and neither the event loop nor memory.
"""

import io
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from sfu_wrapper.adapters.os.beneath import UnsafeFile, open_file, opened_folder
from sfu_wrapper.adapters.os.threads import BoundedThreadPool
from sfu_wrapper.adapters.storage.local import HIDDEN
from sfu_wrapper.core.naming import quote_filename
from sfu_wrapper.model.errors import Code, Refused, Unavailable
from sfu_wrapper.ports.recording_files import OpenedFile

THREADS: Final = 16
DISK_S: Final = 10.0  # for one piece of work of a disk, the wait for a thread included
_ABSENT: Final = (FileNotFoundError, NotADirectoryError, UnsafeFile)
_EVENT: Final = "recordingInfo.json"
_MAX_EVENT_BYTES: Final = 64 << 20

Params = ParamSpec("Params")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class SharedFolders:
    """Folders of finished files, logs, raw video and raw audio."""

    destination: Path
    logs: Path
    recordings: Path
    audio: Path


class _Disk:
    """Threads for the disk work of all open files."""

    def __init__(self, within_s: float) -> None:
        self._pool = BoundedThreadPool(THREADS)
        self._within_s = within_s

    async def run(
        self, work: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
    ) -> Result:
        """Run ``work`` in a thread. Raises Unavailable for what the disk refuses or never does."""
        try:
            return await self._pool.run(self._within_s, work, *args, **kwargs)
        except TimeoutError:
            raise Unavailable("the disk of the recordings does not answer; try again") from None
        except OSError as error:
            detail = f"the disk of the recordings refuses: {error.strerror}"
            raise Unavailable(detail) from error


class _LocalFile:
    """``OpenedFile`` on a descriptor."""

    def __init__(self, number: int, disk: _Disk) -> None:
        self._file = io.FileIO(number)
        self._disk = disk
        self.size_bytes = os.fstat(number).st_size

    async def read(self, offset: int, length: int) -> bytes:
        """See the port."""
        return await self._disk.run(self._read, offset, length)

    def close(self) -> None:
        """See the port."""
        self._file.close()

    def _read(self, offset: int, length: int) -> bytes:
        return os.pread(self._file.fileno(), length, offset)


class SharedFiles:
    """``RecordingFiles`` on mounted folders."""

    def __init__(self, folders: SharedFolders, *, disk_s: float = DISK_S) -> None:
        self._folders = folders
        self._disk = _Disk(disk_s)

    async def open_result(self, place: str) -> OpenedFile:
        """See the port."""
        number = await self._disk.run(_opened, self._folders.destination, place)
        if number is None:
            detail = "file is missing in destination_path, or is no plain file there"
            raise Refused(Code.FILE_LOST, detail)
        return _LocalFile(number, self._disk)

    async def open_log(self, job: str) -> OpenedFile | None:
        """See the port."""
        name = f"{quote_filename(job)}.log"
        number = await self._disk.run(_opened, self._folders.logs, name)
        return None if number is None else _LocalFile(number, self._disk)

    async def kept_event(self, names: Sequence[str]) -> bytes | None:
        """See the port."""
        for name in names:
            if name.endswith(f"/{_EVENT}"):
                return await self._disk.run(self._kept, name)
        return None

    async def raw_exists(self, videos: Sequence[str], audio: Sequence[str]) -> bool:
        """See the port."""
        named = [(self._folders.recordings, name) for name in videos]
        named += [(self._folders.audio, name) for name in audio]
        return await self._disk.run(lambda: any(_exists(*each) for each in named))

    def _kept(self, name: str) -> bytes | None:
        """Read a kept event below the hidden folder of the destination, or of raw video.

        The worker may see that at another path, so only what follows the hidden folder counts.
        """
        _, found, below = name.rpartition(f"/{HIDDEN}/")
        if not found:
            return None
        for root in (self._folders.destination, self._folders.recordings):
            number = _opened(root, f"{HIDDEN}/{below}", mounted=False)
            if number is not None:
                with os.fdopen(number, "rb") as file:
                    return file.read(_MAX_EVENT_BYTES)
        return None


def _opened(root: Path, name: str, *, mounted: bool = True) -> int | None:
    """Open a file below a folder; None where there is no such plain file.

    Args:
        root: the folder.
        name: path below it.
        mounted: refuse where the folder does not exist, instead of returning None.

    Raises:
        Refused: NOT_MOUNTED.
        OSError: the system refuses access.
    """
    try:
        with opened_folder(root) as folder, suppress(*_ABSENT):
            return open_file(folder, name)
    except _ABSENT:
        if mounted:
            detail = f"this controller does not have the folder {root.name}: mount it here, too"
            raise Refused(Code.NOT_MOUNTED, detail) from None
    return None


def _exists(root: Path, name: str) -> bool:
    """Return True if a raw file exists, or may exist: where its folder is not mounted here."""
    if not root.is_dir():
        return True
    number = _opened(root, name.lstrip("/"), mounted=False)
    if number is not None:
        os.close(number)
    return number is not None
