"""Finished jobs in the folders of the workers, as an index that is rebuilt reads them."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from sfu_wrapper.adapters.os.beneath import UnsafeFile, each_name, opened_folder, size_of
from sfu_wrapper.adapters.storage.disk_work import ABSENT, run_disk_work
from sfu_wrapper.adapters.storage.removal import LocalRemoval
from sfu_wrapper.model.errors import Code, Refused, Stage

_ENDING: Final = ".manifest"


class LocalArchive(LocalRemoval):
    """``FinishedJobs`` on folders of this machine."""

    def require_mounted(self) -> None:
        """See the port."""
        if not os.access(self._destination, os.R_OK | os.X_OK):
            detail = f"destination_path {self._destination} cannot be read: mount it here first"
            raise Refused(Code.NOT_MOUNTED, detail)

    def manifest_names(self) -> Iterator[str]:
        """See the port."""
        folder = self._own / "manifests"
        with suppress(*ABSENT), self._opened(folder) as number:
            yield from (name for name in each_name(number) if name.endswith(_ENDING))

    async def manifest_named(self, name: str) -> bytes | None:
        """See the port."""
        return await run_disk_work(Stage.DELIVER, self._read, self._own / "manifests" / name)

    async def lost(self, files: Sequence[tuple[str, int]]) -> tuple[str, ...]:
        """See the port."""
        return await run_disk_work(Stage.DELIVER, self._lost, files)

    def _lost(self, files: Sequence[tuple[str, int]]) -> tuple[str, ...]:
        with opened_folder(self._destination) as top:
            return tuple(name for name, length in files if _length(top, name) != length)


def _length(top: int, name: str) -> int | None:
    """Return the length of a plain file below a folder; None where there is none."""
    with suppress(UnsafeFile, *ABSENT):
        return size_of(top, name)
    return None
