"""Files of recordings as the controller reads them: finished files, logs, and what is left raw.

The folders are those of the workers, where the controller has mounted them. Every name is resolved
below its folder only, and names a plain file.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol


class OpenedFile(Protocol):
    """File that is open for reading.

    Attributes:
        size_bytes: its length when it was opened.
    """

    size_bytes: int

    async def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes; fewer only at the end of the file.

        Raises:
            Unavailable: the disk does not answer in time, or refuses.
        """
        ...

    def close(self) -> None:
        """Close it. A second call does nothing."""
        ...


class RecordingFiles(Protocol):
    """Folders of the workers, read by a controller.

    Raises, in all methods:
        Refused: NOT_MOUNTED: the controller does not have that folder.
        Unavailable: the disk does not answer in time, or refuses.
    """

    async def open_result(self, place: str) -> OpenedFile:
        """Open a finished file by its path below the destination. Raises Refused: FILE_LOST."""
        ...

    async def open_log(self, job: str) -> OpenedFile | None:
        """Open the log of a job (``uuid-segment``); None where it has none, or has it no more."""
        ...

    async def kept_event(self, names: Sequence[str]) -> bytes | None:
        """Return the recordingInfo among the files that a failed job kept; None: there is none."""
        ...

    async def raw_exists(self, videos: Sequence[str], audio: Sequence[str]) -> bool:
        """Return True if one of these raw files exists, or may, in a folder that is elsewhere."""
        ...


class FinishedJobs(Protocol):
    """Manifests and marks of the workers, and the files that they name.

    Raises, in all methods:
        JobFailed: ``IO_ERROR``: the disk refuses.
    """

    def require_mounted(self) -> None:
        """Raise Refused: NOT_MOUNTED where the folder of finished files is not there."""
        ...

    def manifest_names(self) -> Iterator[str]:
        """Yield the names of all manifests, in any order."""
        ...

    async def manifest_named(self, name: str) -> bytes | None:
        """Return a manifest by its name; None: it was removed meanwhile."""
        ...

    async def manifest(self, job: str) -> bytes | None:
        """Return the manifest of a job; None: there is none."""
        ...

    async def mark(self, job: str) -> bytes | None:
        """Return the mark of a deleted job; None: it is not deleted."""
        ...

    async def order(self, job: str) -> bytes | None:
        """Return the open order to delete a job; None: there is none."""
        ...

    async def leftovers(self, job: str) -> tuple[Path, ...]:
        """Return the files that a failed job kept."""
        ...

    async def lost(self, files: Sequence[tuple[str, int]]) -> tuple[str, ...]:
        """Return those files that are not there with their length.

        Args:
            files: paths below the folder of finished files, with lengths in bytes.
        """
        ...
