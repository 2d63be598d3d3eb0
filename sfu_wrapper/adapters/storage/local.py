"""The recording service's folders on disk.

Our own files (work in progress, reservations of names, manifests) are below one hidden folder of
the destination. Folders have mode 0700, files 0600. The plain files of a job that will be encrypted
are in another folder, so that the destination never holds anything unencrypted.

The operator names the folders; below them every name is resolved from a descriptor of the folder
(``adapters.os.beneath``), so that an exchanged folder redirects no reading, moving or removing.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sfu_wrapper.adapters.os import files
from sfu_wrapper.adapters.os.beneath import (
    UnsafeFile,
    names_in,
    open_file,
    opened_beneath,
    opened_folder,
    size_of,
)
from sfu_wrapper.adapters.storage.disk_work import (
    ABSENT,
    files_below,
    make_private,
    naming,
    remove_empty_folders,
    remove_folder,
    run_disk_work,
)
from sfu_wrapper.core.naming import quote_filename
from sfu_wrapper.model.errors import JobCode, JobFailed, Stage
from sfu_wrapper.ports.storage import Measured, Workspace

HIDDEN = ".sfu-wrapper"


@dataclass(frozen=True, slots=True)
class Folders:
    """Folders of raw video, raw audio and finished files.

    ``plain`` is the folder for unencrypted work; None: work is done below the destination.
    """

    recordings: Path
    audio: Path
    destination: Path
    plain: Path | None = None


class LocalStorage:
    """``RecordingStorage`` on folders of this machine; all work is done in threads."""

    def __init__(self, folders: Folders) -> None:
        self._recordings = folders.recordings
        self._audio = folders.audio
        self._destination = folders.destination.absolute()
        self._plain = folders.plain
        self._own = self._destination / HIDDEN
        roots = [self._destination, self._recordings, self._audio]
        roots += [self._plain] if self._plain else []
        self._roots = sorted(roots, key=lambda root: len(root.parts))

    async def raw_video(self, filename: str) -> Path:
        """See the port."""
        return await run_disk_work(Stage.PREPROCESS, _raw, self._recordings, filename)

    async def raw_audio(self, filename: str) -> Path:
        """See the port."""
        return await run_disk_work(Stage.PREPROCESS, _raw, self._audio, filename)

    def open_raw(self, path: Path) -> int:
        """Open a path that ``raw_video`` or ``raw_audio`` returned; blocks. Raises as they do.

        Returns:
            A read-only descriptor of a plain file below its folder; the caller closes it.
        """
        root, name = self._split(path)
        with _raw_errors(root, name), opened_folder(root) as folder:
            return open_file(folder, name)

    async def raw_bytes(self, videos: Sequence[str], audio: Sequence[str]) -> int:
        """See the port."""
        named = [(self._recordings, name) for name in videos]
        named += [(self._audio, name) for name in audio]
        return await run_disk_work(Stage.PREPROCESS, lambda: sum(_size(*one) for one in named))

    async def free_bytes(self) -> int:
        """See the port."""
        folders = [self._own, *([self._plain] if self._plain else [])]
        return await run_disk_work(Stage.PREPROCESS, lambda: min(map(self._free, folders)))

    async def workspace(self, job: str) -> Workspace:
        """See the port."""
        return await run_disk_work(Stage.PREPROCESS, self._make_workspace, job)

    async def leftovers(self, job: str) -> tuple[Path, ...]:
        """See the port."""
        return await run_disk_work(Stage.DELIVER, self._leftovers, job)

    async def pending_cleanups(self, name: str) -> tuple[bytes, ...]:
        """See the port."""
        return await run_disk_work(Stage.DELIVER, self._pending_cleanups, name)

    async def clear(self, job: str, *, lasting: bool = True) -> None:
        """See the port."""
        await run_disk_work(Stage.DELIVER, self._clear, job, lasting=lasting)

    async def write(self, stage: Stage, file: Path, content: bytes) -> None:
        """See the port."""
        await run_disk_work(stage, self._write, file, content)

    async def measure(self, file: Path) -> Measured:
        """See the port."""
        return await run_disk_work(Stage.DELIVER, self._measured, file)

    async def reserve_names(self, job: str, choices: Iterable[Sequence[str]]) -> tuple[str, ...]:
        """See the port."""
        return await run_disk_work(Stage.DELIVER, self._reserve_names, job, choices)

    def final(self, name: str) -> Path:
        """See the port."""
        return self._destination / name

    async def deliver(
        self,
        job: str,
        staged: Sequence[tuple[Path, str]],
        manifest: bytes,
        *,
        finished: bool = True,
    ) -> None:
        """See the port."""
        path = self.manifest_file(job) if finished else self._unfinished_of(job)
        await run_disk_work(Stage.DELIVER, self._deliver, path, staged, manifest)

    async def manifest(self, job: str) -> bytes | None:
        """See the port."""
        return await run_disk_work(Stage.DELIVER, self._read, self.manifest_file(job))

    async def unfinished(self, job: str) -> bytes | None:
        """See the port."""
        return await run_disk_work(Stage.DELIVER, self._read, self._unfinished_of(job))

    async def finish(self, job: str) -> None:
        """See the port."""
        await run_disk_work(Stage.DELIVER, self._finish, job)

    async def give_up(self, job: str) -> None:
        """See the port."""
        await run_disk_work(Stage.DELIVER, self._remove, [self._unfinished_of(job)])

    async def remove_copies(self, names: Sequence[str]) -> None:
        """See the port."""
        files = [self.final(name) for name in names]
        await run_disk_work(Stage.DELIVER, self._remove, files)
        copies = [(self._destination, name) for name in names]
        await run_disk_work(Stage.DELIVER, remove_empty_folders, copies)

    async def remove(self, files: Sequence[Path]) -> None:
        """See the port."""
        await run_disk_work(Stage.DELIVER, self._remove, files)

    async def remove_empty_folders(self, videos: Sequence[str], audio: Sequence[str]) -> None:
        """See the port."""
        names = [(self._recordings, name) for name in videos]
        names += [(self._audio, name) for name in audio]
        await run_disk_work(Stage.DELIVER, remove_empty_folders, names)

    def manifest_file(self, job: str) -> Path:
        """See the port."""
        return self._manifest_of(quote_filename(job))

    def _manifest_of(self, folder: str) -> Path:
        """Return the manifest's path for the job with that work folder."""
        return self._own / "manifests" / f"{folder}.manifest"

    def _unfinished_of(self, job: str) -> Path:
        return self._own / "uploading" / f"{quote_filename(job)}.manifest"

    def _work_folders(self, job: str) -> tuple[Path, ...]:
        roots = (self._own / "work", self._plain)
        return tuple(root / quote_filename(job) for root in roots if root is not None)

    def _split(self, path: Path) -> tuple[Path, str]:
        """Return the innermost of the operator's folders above ``path``, and the name below it."""
        root = next((r for r in reversed(self._roots) if path.is_relative_to(r)), path.parent)
        return root, str(path.relative_to(root))

    @contextmanager
    def _opened(self, folder: Path, *, make: bool = False) -> Iterator[int]:
        """Open a folder at or below one of the operator's; ``make``: make missing folders."""
        root = self._split(folder / "x")[0]
        if make:
            make_private(root)
        parts = folder.relative_to(root).parts
        with (
            naming(folder),
            opened_folder(root) as top,
            opened_beneath(top, parts, make=make) as number,
        ):
            yield number

    def _read(self, file: Path) -> bytes | None:
        with suppress(*ABSENT), self._opened(file.parent) as folder:
            return files.read(folder, file.name)
        return None

    def _write(self, file: Path, content: bytes) -> None:
        with self._opened(file.parent, make=True) as folder, naming(file):
            files.write_whole(folder, file.name, content)

    def _measured(self, file: Path) -> Measured:
        with self._opened(file.parent) as folder:
            number = open_file(folder, file.name)
        try:
            return _measure(number)
        finally:
            os.close(number)

    def _free(self, folder: Path) -> int:
        with self._opened(folder, make=True) as number:
            found = os.fstatvfs(number)
        return found.f_bavail * found.f_frsize

    def _leftovers(self, job: str) -> tuple[Path, ...]:
        found: list[Path] = []
        for place in self._work_folders(job):
            with suppress(*ABSENT), self._opened(place) as folder:
                found += (place / name for name in files_below(folder))
        return tuple(sorted(found))

    def _pending_cleanups(self, name: str) -> tuple[bytes, ...]:
        root = self._plain or self._own / "work"
        jobs: list[str] = []
        with suppress(*ABSENT), self._opened(root) as folder:
            jobs = names_in(folder)
        finished = [job for job in jobs if self._read(self._manifest_of(job)) is not None]
        found = (self._read(root / job / name) for job in finished)
        return tuple(content for content in found if content is not None)

    def _make_workspace(self, job: str) -> Workspace:
        places: list[Path] = []
        for place in self._work_folders(job):
            with self._opened(place, make=True) as folder:
                places.append(place / files.make_private_folder(folder))
        return Workspace(plain=places[-1], staging=places[0], lasting=places[-1].parent)

    def _clear(self, job: str, *, lasting: bool) -> None:
        """Remove the folders of all attempts; with ``lasting`` the job's folder as well."""
        for place in self._work_folders(job):
            with suppress(*ABSENT), self._opened(place) as folder:
                for name in names_in(folder):
                    remove_folder(folder, name)
            if lasting:
                with suppress(*ABSENT), self._opened(place.parent) as folder:
                    shutil.rmtree(place.name, dir_fd=folder)

    def _reserve_names(self, job: str, choices: Iterable[Sequence[str]]) -> tuple[str, ...]:
        for names in choices:
            free = all(self._is_free(job, name) for name in names)
            if free and all(self._reserve(job, name) for name in names):
                return tuple(names)
        detail = "every name for the result is taken"
        raise JobFailed(Stage.DELIVER, JobCode.NAME_TAKEN, detail, permanent=True)

    def _is_free(self, job: str, name: str) -> bool:
        owner = self._read(self._reservation_of(name))
        if owner is not None:
            return owner == job.encode()
        final = self.final(name)
        with suppress(*ABSENT), self._opened(final.parent) as folder:
            os.stat(final.name, dir_fd=folder, follow_symlinks=False)
            return False
        return True

    def _reserve(self, job: str, name: str) -> bool:
        """Reserve a name exclusively; True if this job holds the reservation afterwards."""
        path = self._reservation_of(name)
        with self._opened(path.parent, make=True) as folder, naming(path):
            with suppress(FileExistsError):
                files.write_exclusively(folder, path.name, job.encode())
            return files.read(folder, path.name) == job.encode()

    def _reservation_of(self, name: str) -> Path:
        return self._own / "names" / hashlib.sha256(name.encode()).hexdigest()

    def _deliver(self, path: Path, staged: Sequence[tuple[Path, str]], manifest: bytes) -> None:
        with (
            self._opened(path.parent, make=True) as folder,
            naming(path),
            files.written(folder, manifest) as sealed,
        ):
            for source, name in staged:
                self._move(source, self.final(name))
            files.rename(folder, sealed, folder, path.name)

    def _finish(self, job: str) -> None:
        before, after = self._unfinished_of(job), self.manifest_file(job)
        with (
            suppress(*ABSENT),  # an earlier run was killed after it
            self._opened(before.parent) as origin,
            self._opened(after.parent, make=True) as folder,
            naming(after),
        ):
            files.rename(origin, before.name, folder, after.name)

    def _move(self, source: Path, target: Path) -> None:
        with (
            self._opened(source.parent) as origin,
            self._opened(target.parent, make=True) as destination,
            naming(target),
        ):
            number = open_file(origin, source.name)
            try:
                os.fchmod(number, files.FILE_MODE)
                os.fsync(number)
                files.rename(origin, source.name, destination, target.name)
                _require_same(number, destination, target.name)
            finally:
                os.close(number)

    def _remove(self, removed: Sequence[Path]) -> None:
        for file in removed:
            with suppress(*ABSENT), self._opened(file.parent) as folder:
                os.unlink(file.name, dir_fd=folder)


def _raw(root: Path, filename: str) -> Path:
    """Return the path of a raw file that exists; its reader opens it and checks it again."""
    name = filename.lstrip("/")
    with _raw_errors(root, filename), opened_folder(root) as folder:
        size_of(folder, name)
    return root / name


@contextmanager
def _raw_errors(root: Path, filename: str) -> Iterator[None]:
    """Convert errors of a raw file, missing or not a plain file, into JobFailed."""
    try:
        yield
    except UnsafeFile as exc:
        detail = f"{filename!r} {exc.strerror}"
        raise JobFailed(
            Stage.PREPROCESS, JobCode.UNSAFE_NAME, detail, permanent=True, file=filename
        ) from None
    except ABSENT:
        detail = f"{filename} does not exist"
        detail += "" if root.is_dir() else f": the folder {root} does not exist either"
        raise JobFailed(
            Stage.PREPROCESS, JobCode.MISSING_FILE, detail, permanent=False, file=filename
        ) from None


def _size(root: Path, filename: str) -> int:
    with suppress(UnsafeFile, *ABSENT), opened_folder(root) as folder:
        return size_of(folder, filename.lstrip("/"))
    return 0


def _measure(number: int) -> Measured:
    return Measured(*files.digest(number))


def _require_same(number: int, folder: int, name: str) -> None:
    """Raise UnsafeFile where the name does not belong to the file open as ``number``."""
    if not os.path.samestat(os.fstat(number), os.stat(name, dir_fd=folder, follow_symlinks=False)):
        raise UnsafeFile(name, "was replaced while it was moved")
