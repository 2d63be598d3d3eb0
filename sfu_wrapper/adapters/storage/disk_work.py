"""Disk work that the adapters of storage share: threads, errors with their paths, folders.

What the system refuses becomes a ``JobFailed`` that names the file.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from sfu_wrapper.adapters.os.beneath import FOLDER_MODE, opened_beneath, opened_folder, parts_of
from sfu_wrapper.adapters.os.files import refused
from sfu_wrapper.adapters.os.threads import run_in_daemon_thread
from sfu_wrapper.model.errors import Stage

ABSENT: Final = (FileNotFoundError, NotADirectoryError)

Params = ParamSpec("Params")
Result = TypeVar("Result")


async def run_disk_work(
    stage: Stage, work: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
) -> Result:
    """Run disk work in a thread. Raises JobFailed for what the system refuses."""
    try:
        # A hung disk must not delay the end of the worker.
        return await run_in_daemon_thread(work, *args, **kwargs)
    except OSError as exc:
        raise refused(stage, exc) from exc


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put ``path`` into every OSError of the block: with descriptors the system names no path."""
    try:
        yield
    except OSError as exc:
        if exc.filename is None or not Path(exc.filename).is_absolute():
            exc.filename = str(path)
            exc.filename2 = None
        raise


def files_below(folder: int) -> Iterator[str]:
    """Yield the names of all plain files in a folder and below it; no link is followed."""
    for place, _, names, number in os.fwalk(".", dir_fd=folder):
        for name in names:
            if stat.S_ISREG(os.stat(name, dir_fd=number, follow_symlinks=False).st_mode):
                yield f"{place}/{name}"


def remove_folder(parent: int, name: str) -> None:
    """Remove a folder and all in it; a file of that name stays."""
    with suppress(*ABSENT):
        if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            shutil.rmtree(name, dir_fd=parent)


def remove_empty_folders(names: Iterable[tuple[Path, str]]) -> None:
    for root, filename in names:
        with suppress(OSError), opened_folder(root) as top:
            remove_empty_above(top, parts_of(filename.lstrip("/"))[:-1])


def remove_empty_above(top: int, parts: Sequence[str]) -> None:
    """Remove empty folders, innermost first; ``rmdir`` refuses those that hold anything."""
    for depth in range(len(parts) - 1, -1, -1):
        try:
            with opened_beneath(top, parts[:depth]) as folder:
                os.rmdir(parts[depth], dir_fd=folder)
        except FileNotFoundError:  # an earlier run removed this one and was then killed
            continue
        except OSError:  # not empty, or not ours to remove
            return


def make_private(path: Path) -> None:
    """Make a folder and its missing parents with mode 0700; existing ones keep their mode."""
    for missing in reversed([path, *path.parents]):
        with suppress(FileExistsError):
            missing.mkdir(mode=FOLDER_MODE)
