"""The recording service's folders on disk.

What is ours and no finished file lives below one hidden folder of the destination: work in
progress, claims of names, manifests. Folders are 0700, files 0600. Plain files of a job that will
be encrypted live elsewhere, so that nothing unencrypted ever stands in the destination.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from sfu_wrapper.adapters.aside import aside
from sfu_wrapper.adapters.refusals import refused
from sfu_wrapper.core.naming import safe_user
from sfu_wrapper.model.errors import JobFailed
from sfu_wrapper.ports.shelf import Measured, Workplace

HIDDEN = ".sfu-wrapper"
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600
_CHUNK_BYTES = 1 << 20

Params = ParamSpec("Params")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Folders:
    """Where things are. plain: where unencrypted work may stand; None: in the destination too."""

    recordings: Path
    audio: Path
    destination: Path
    plain: Path | None = None


class DiskShelf:
    """``Shelf`` on folders of this machine; all work is done in threads."""

    def __init__(self, folders: Folders) -> None:
        self._recordings = folders.recordings
        self._audio = folders.audio
        self._destination = folders.destination.absolute()
        self._plain = folders.plain
        self._own = self._destination / HIDDEN

    async def raw_video(self, filename: str) -> Path:
        """See the port."""
        return await _in_thread("preprocess", _raw, self._recordings, filename)

    async def raw_audio(self, filename: str) -> Path:
        """See the port."""
        return await _in_thread("preprocess", _raw, self._audio, filename)

    async def raw_bytes(self, videos: Sequence[str], sounds: Sequence[str]) -> int:
        """See the port."""
        files = [(self._recordings, name) for name in videos]
        files += [(self._audio, name) for name in sounds]
        return await _in_thread("preprocess", lambda: sum(_size(*file) for file in files))

    async def free_bytes(self) -> int:
        """See the port."""
        folders = [self._own, *([self._plain] if self._plain else [])]
        return await _in_thread("preprocess", lambda: min(_free(_folder(f)) for f in folders))

    async def workplace(self, job: str) -> Workplace:
        """See the port."""
        return await _in_thread("preprocess", self._make_workplace, job)

    async def leftovers(self, job: str) -> tuple[Path, ...]:
        """See the port."""
        return await _in_thread("deliver", _files_below, self._work_folders(job))

    async def uncleared(self, name: str) -> tuple[bytes, ...]:
        """See the port."""
        return await _in_thread("deliver", self._uncleared, name)

    async def clear(self, job: str, *, lasting: bool = True) -> None:
        """See the port."""
        await _in_thread("deliver", self._clear, job, lasting=lasting)

    async def write(self, stage: str, file: Path, content: bytes) -> None:
        """See the port."""
        await _in_thread(stage, _write_whole, file, content)

    async def measure(self, file: Path) -> Measured:
        """See the port."""
        return await _in_thread("deliver", _measure, file)

    async def claim(self, job: str, choices: Iterable[Sequence[str]]) -> tuple[str, ...]:
        """See the port."""
        return await _in_thread("deliver", self._claim, job, choices)

    def final(self, name: str) -> Path:
        """See the port."""
        return self._destination / name

    async def deliver(self, job: str, staged: Sequence[tuple[Path, str]], manifest: bytes) -> None:
        """See the port."""
        await _in_thread("deliver", self._deliver, job, staged, manifest)

    async def manifest(self, job: str) -> bytes | None:
        """See the port."""
        return await _in_thread("deliver", _read, self.manifest_file(job))

    async def remove(self, files: Sequence[Path]) -> None:
        """See the port."""
        await _in_thread("deliver", _remove, files)

    async def prune(self, videos: Sequence[str], sounds: Sequence[str]) -> None:
        """See the port."""
        names = [(self._recordings, name) for name in videos]
        names += [(self._audio, name) for name in sounds]
        await _in_thread("deliver", _prune, names)

    def manifest_file(self, job: str) -> Path:
        """See the port."""
        return self._manifest_of(safe_user(job))

    def _manifest_of(self, folder: str) -> Path:
        """Of the job with that work folder."""
        return self._own / "manifests" / f"{folder}.manifest"

    def _work_folders(self, job: str) -> tuple[Path, ...]:
        roots = (self._own / "work", self._plain)
        return tuple(root / safe_user(job) for root in roots if root is not None)

    def _uncleared(self, name: str) -> tuple[bytes, ...]:
        root = self._plain or self._own / "work"
        finished = (one for one in sorted(root.glob("*")) if self._manifest_of(one.name).exists())
        found = (_read(folder / name) for folder in finished)
        return tuple(content for content in found if content is not None)

    def _make_workplace(self, job: str) -> Workplace:
        places = [Path(tempfile.mkdtemp(dir=_folder(f))) for f in self._work_folders(job)]
        return Workplace(plain=places[-1], staging=places[0], lasting=places[-1].parent)

    def _clear(self, job: str, *, lasting: bool) -> None:
        """Attempts are folders in that of the job; what outlives them are files."""
        for folder in self._work_folders(job):
            attempts = [one for one in folder.glob("*") if one.is_dir()]
            _remove_folders([folder] if lasting else attempts)

    def _claim(self, job: str, choices: Iterable[Sequence[str]]) -> tuple[str, ...]:
        for names in choices:
            free = all(self._is_free(job, name) for name in names)
            if free and all(self._take(job, name) for name in names):
                return tuple(names)
        raise JobFailed("deliver", "NAME_TAKEN", "no name for the result is free", permanent=True)

    def _is_free(self, job: str, name: str) -> bool:
        owner = _read(self._claim_path(name))
        if owner is None:
            return not os.path.lexists(self._destination / name)
        return owner == job.encode()

    def _take(self, job: str, name: str) -> bool:
        """Claims are made whole and exclusively; whoever is first keeps it."""
        path = self._claim_path(name)
        with contextlib.suppress(FileExistsError):
            _write_exclusively(path, job.encode())
        return _read(path) == job.encode()

    def _claim_path(self, name: str) -> Path:
        return self._own / "names" / hashlib.sha256(name.encode()).hexdigest()

    def _deliver(self, job: str, staged: Sequence[tuple[Path, str]], manifest: bytes) -> None:
        path = self.manifest_file(job)
        with _written(path, manifest) as sealed:
            for source, name in staged:
                target = self._destination / name
                _folder_below(self._destination, target.parent)
                source.chmod(_FILE_MODE)
                _sync(source)
                source.replace(target)
                _sync(target.parent)
            sealed.replace(path)
            _sync(path.parent)


async def _in_thread(
    stage: str, work: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
) -> Result:
    """Raises JobFailed for what the system refuses."""
    try:
        return await aside(work, *args, **kwargs)  # a disk that hangs keeps no worker from ending
    except OSError as exc:
        raise refused(stage, exc) from exc


def _raw(root: Path, filename: str) -> Path:
    """Walk down from the folder; nothing on the way may be a link or lead up."""
    parts = filename.lstrip("/").split("/")
    if "\0" in filename or any(part in ("", ".", "..") for part in parts):
        raise _unsafe(filename, "is no name below its folder")
    path = root
    for part in parts:
        path = path / part
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            detail = f"{filename} is not there"
            detail += "" if root.is_dir() else f": there is no folder {root}"
            raise JobFailed(
                "preprocess", "MISSING_FILE", detail, permanent=False, file=filename
            ) from None
        if stat.S_ISLNK(mode):
            raise _unsafe(filename, "leads over a link")
    if not stat.S_ISREG(mode):
        raise _unsafe(filename, "is not a plain file")
    return path


def _prune(names: Iterable[tuple[Path, str]]) -> None:
    for root, filename in names:
        _prune_above(root, filename)


def _prune_above(root: Path, filename: str) -> None:
    """From the inside out. Whoever has just put something there has it: ``rmdir`` sees to that."""
    folders = [root]
    for part in filename.lstrip("/").split("/")[:-1]:
        folders.append(folders[-1] / part)
        if "\0" in part or part in ("", ".", "..") or folders[-1].is_symlink():
            return
    for folder in reversed(folders[1:]):
        try:
            folder.rmdir()
        except FileNotFoundError:  # somebody was killed between this one and the next
            continue
        except OSError:  # it is not empty, or another's
            return


def _size(root: Path, filename: str) -> int:
    try:
        return _raw(root, filename).stat().st_size
    except JobFailed:
        return 0


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _unsafe(filename: str, why: str) -> JobFailed:
    detail = f"{filename!r} {why}"
    return JobFailed("preprocess", "UNSAFE_NAME", detail, permanent=True, file=filename)


def _folder(path: Path) -> Path:
    """Make it and what leads to it for our own user alone; what is there stays as it is."""
    for missing in reversed([path, *path.parents]):
        with contextlib.suppress(FileExistsError):
            missing.mkdir(mode=_FOLDER_MODE)
    return path


def _folder_below(root: Path, path: Path) -> None:
    """Make the folder of a result; a link in its place would lead somewhere else."""
    _folder(root)
    for part in path.relative_to(root).parts:
        root = root / part
        with contextlib.suppress(FileExistsError):
            root.mkdir(mode=_FOLDER_MODE)
            _sync(root.parent)
        if not stat.S_ISDIR(root.lstat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(root))


def _measure(file: Path) -> Measured:
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as reader:
        while chunk := reader.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return Measured(size, digest.hexdigest())


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _write_whole(path: Path, content: bytes) -> None:
    with _written(path, content) as written:
        written.replace(path)
        _sync(path.parent)


def _write_exclusively(path: Path, content: bytes) -> None:
    """The file appears whole or not at all. FileExistsError where one stands."""
    with _written(path, content) as written:
        os.link(written, path)
        _sync(path.parent)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """What the system refuses within is about that file; of a write it does not say."""
    try:
        yield
    except OSError as exc:
        exc.filename = exc.filename or str(path)
        raise


@contextmanager
def _written(path: Path, content: bytes) -> Iterator[Path]:
    """The content, durable under a name beside ``path`` that is gone afterwards."""
    number, name = tempfile.mkstemp(dir=_folder(path.parent))  # with mode 0600
    try:
        with _naming(path), os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _files_below(folders: Sequence[Path]) -> tuple[Path, ...]:
    found = (path for folder in folders for path in folder.rglob("*"))
    return tuple(sorted(path for path in found if path.is_file()))


def _remove_folders(folders: Sequence[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)


def _remove(files: Sequence[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
