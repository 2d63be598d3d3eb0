"""Storage of the recording service: raw files in, finished files out, and their encryption.

Each finished file appears whole or not at all. Encryption fails closed: after an error nothing
readable was delivered.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sfu_wrapper.model.errors import Stage


@dataclass(frozen=True, slots=True)
class Workspace:
    """Folders of one attempt, for our own user alone.

    Attributes:
        plain: for files that are not encrypted.
        staging: for files about to be delivered; on the file system of the destination.
        lasting: folder of the job, for files that outlive the attempt.
    """

    plain: Path
    staging: Path
    lasting: Path


@dataclass(frozen=True, slots=True)
class Measured:
    """Length in bytes and SHA-256 (hex) of a file's present content."""

    size_bytes: int
    sha256: str


class RecordingStorage(Protocol):
    """The folders of one recording service.

    Every name is resolved below its folder only: no links, no devices, no way out of it.

    Raises, in all methods:
        JobFailed: ``MISSING_FILE`` and ``IO_ERROR`` are temporary, ``UNSAFE_NAME`` is permanent.
    """

    async def raw_video(self, filename: str) -> Path:
        """Return the path of a raw video file that exists and is a plain file."""
        ...

    async def raw_audio(self, filename: str) -> Path:
        """Return the path of a raw audio file that exists and is a plain file."""
        ...

    async def raw_bytes(self, videos: Sequence[str], audio: Sequence[str]) -> int:
        """Return the total length of these raw files in bytes; missing files count 0."""
        ...

    async def free_bytes(self) -> int:
        """Return the bytes that can still be written: the least over all output folders."""
        ...

    async def workspace(self, job: str) -> Workspace:
        """Make new folders for one attempt at that job; they stay until ``clear``."""
        ...

    async def leftovers(self, job: str) -> tuple[Path, ...]:
        """Return the files in all workspaces of that job."""
        ...

    async def pending_cleanups(self, name: str) -> tuple[bytes, ...]:
        """Return the content of the file ``name`` in each finished job's lasting folder.

        Jobs without such a file are left out.
        """
        ...

    async def clear(self, job: str, *, lasting: bool = True) -> None:
        """Remove all workspaces of that job, if there are any.

        Args:
            job: the job.
            lasting: remove the job's lasting folder as well.
        """
        ...

    async def write(self, stage: Stage, file: Path, content: bytes) -> None:
        """Write a small file of ours into a workspace, whole and durably, or not at all.

        Args:
            stage: stage of the job, for the failure.
            file: path within a workspace.
            content: the whole content.
        """
        ...

    async def measure(self, file: Path) -> Measured:
        """Read a file once from end to end and return its length and digest."""
        ...

    async def reserve_names(self, job: str, choices: Iterable[Sequence[str]]) -> tuple[str, ...]:
        """Reserve the first choice of which each name is free or already reserved by this job.

        Names are relative to the destination, without a link on the way. Reservations are durable.
        """
        ...

    def final(self, name: str) -> Path:
        """Return the absolute path of a reserved name, delivered or not."""
        ...

    async def deliver(
        self,
        job: str,
        staged: Sequence[tuple[Path, str]],
        manifest: bytes,
        *,
        finished: bool = True,
    ) -> None:
        """Move files from the staging folder to reserved names and finish the job, durably.

        Each file appears whole or not at all, and none unless there was space for the manifest.

        Args:
            job: the job.
            staged: files and their names.
            manifest: the manifest.
            finished: False: the files are to be uploaded; until ``finish`` the manifest is an
                ``unfinished`` one.
        """
        ...

    async def manifest(self, job: str) -> bytes | None:
        """Return the manifest of a job; None while the job is not finished."""
        ...

    async def unfinished(self, job: str) -> bytes | None:
        """Return the manifest of a job whose files are to be uploaded; None: there is none."""
        ...

    async def finish(self, job: str) -> None:
        """Finish a job whose files have been uploaded, durably; a repeat does nothing."""
        ...

    async def give_up(self, job: str) -> None:
        """Remove the unfinished manifest of a job, so that it runs again."""
        ...

    async def remove_copies(self, names: Sequence[str]) -> None:
        """Delete the local copies of uploaded files; their names stay reserved."""
        ...

    def manifest_file(self, job: str) -> Path:
        """Return the path of the manifest; removing that file makes the job run again."""
        ...

    async def remove(self, files: Sequence[Path]) -> None:
        """Delete raw files; those that are gone already are ignored."""
        ...

    async def remove_empty_folders(self, videos: Sequence[str], audio: Sequence[str]) -> None:
        """Delete the folders that held these raw files, as far as they are empty now.

        The operator's folders stay, and so does every folder that is not empty.
        """
        ...


class DeletionStorage(Protocol):
    """Removal of all files of a job, and durable marks about it in the folder of the results.

    A job that was accepted for deletion has an *order* until it is done; a deleted one has a *mark*
    for as long as a repeated event could arrive. Names are resolved as in ``RecordingStorage``, and
    what belongs to another job is left alone. Every method may be repeated after a crash.

    Raises, in all methods:
        JobFailed: ``IO_ERROR``: a file stays; the other files are removed all the same.
    """

    async def order(self, job: str, *, raw_only: bool = False) -> bytes | None:
        """Return the open order of a job; None: there is none."""
        ...

    async def orders(self, limit: int) -> tuple[bytes, ...]:
        """Return open orders of all jobs."""
        ...

    async def put_order(self, job: str, content: bytes, *, raw_only: bool = False) -> None:
        """Write the order of a job durably."""
        ...

    async def close_order(self, job: str, *, raw_only: bool = False) -> None:
        """Remove the order of a job."""
        ...

    async def mark(self, job: str) -> bytes | None:
        """Return the mark of a deleted job; None: it is not deleted."""
        ...

    async def put_mark(self, job: str, content: bytes) -> None:
        """Write the mark of a deleted job durably."""
        ...

    async def owner(self, filename: str) -> str | None:
        """Return the job that reserved the name of a finished file; None: unknown."""
        ...

    async def kept_file(self, job: str, name: str) -> bytes | None:
        """Return the content of a file in the job's lasting folder; None: there is none."""
        ...

    async def remove_results(self, job: str, filenames: Sequence[str]) -> None:
        """Remove finished files (paths below the destination), then the job's manifest."""
        ...

    async def remove_raw(self, videos: Sequence[str], audio: Sequence[str]) -> None:
        """Remove raw files by their names in the event, and the folders that are empty then."""
        ...

    async def remove_log(self, name: str) -> None:
        """Remove the log of a recording."""
        ...

    async def sweep(self, logs_before_ms: int | None, marks_before_ms: int | None) -> int:
        """Remove logs and marks that were last written before a time (epoch ms; None: keep all).

        Returns:
            Number of removed files.
        """
        ...


class ObjectRemoval(Protocol):
    """Removal of finished files from an object store."""

    async def remove(self, names: Sequence[str], urls: Sequence[str]) -> None:
        """Remove objects; missing ones are fine.

        Args:
            names: finished files by their names, as the index and the manifest have them.
            urls: addresses of objects, as the manifest has them.

        Raises:
            JobFailed: ``IO_ERROR``: an object stays, the store does not answer, or an object is in
                another store.
        """
        ...


class Encryptor(Protocol):
    """Encryption to one configured public key.

    Raises, in both methods:
        JobFailed: stage ``encrypt``; the key or the program cannot be used, or it took too long.
    """

    async def check(self) -> int | None:
        """Check that the key can be used now; called before any work is done.

        Returns:
            The time at which it expires, epoch s; None: never.
        """
        ...

    async def encrypt(self, source: Path, target: Path, *, timeout_s: float) -> None:
        """Write ``source`` encrypted to ``target``, which appears whole or not at all."""
        ...
