"""A file below a folder is opened by no other way than down, and is what it was checked to be."""

import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sfu_wrapper.adapters.os import beneath
from sfu_wrapper.adapters.os.beneath import (
    UnsafeFile,
    open_file,
    opened_beneath,
    opened_folder,
    size_of,
)


@pytest.fixture(params=["openat2", "walk", "filtered"])
def root(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder, seen by a kernel that has openat2, by an older one, and within a system filter."""
    number = {"walk": errno.ENOSYS, "filtered": errno.EPERM}.get(request.param)
    if number is not None:
        monkeypatch.setattr(beneath, "_openat2", lambda *_: -1)
        monkeypatch.setattr(ctypes, "get_errno", lambda: number)
    folder = tmp_path / "raw"
    (folder / "room").mkdir(parents=True)
    (folder / "room" / "a.mjr").write_bytes(b"MJR")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.mjr").write_bytes(b"secret")
    return folder


@pytest.fixture
def opened(root: Path) -> Iterator[int]:
    with opened_folder(root) as number:
        yield number


def content(folder: int, name: str) -> bytes:
    number = open_file(folder, name)
    with os.fdopen(number, "rb") as file:
        return file.read()


def test_a_file_is_opened_and_measured_by_its_name(opened: int) -> None:
    assert content(opened, "room/a.mjr") == b"MJR"
    assert size_of(opened, "room/a.mjr") == 3


@pytest.mark.parametrize("name", ["", ".", "..", "/room/a.mjr", "room//a.mjr", "room/../x", "a\0b"])
def test_a_name_that_does_not_lead_down_is_refused(opened: int, name: str) -> None:
    with pytest.raises(UnsafeFile, match="not a name below"):
        open_file(opened, name)


@pytest.mark.parametrize("place", ["room", "room/a.mjr", "room/b.mjr"])
def test_no_link_is_followed_wherever_it_leads(root: Path, opened: int, place: str) -> None:
    link = root / place
    if link.exists():
        link.rename(root / "moved")
    link.symlink_to(root / "moved" if link.name == "room" else root.parent / "outside" / "a.mjr")

    for look in (open_file, size_of):
        with pytest.raises(UnsafeFile, match="over a link"):
            look(opened, place if link.name != "room" else "room/a.mjr")


@pytest.mark.parametrize("name", ["room/none.mjr", "none/a.mjr", "room/a.mjr/x"])
def test_what_is_missing_is_said_to_be_missing(opened: int, name: str) -> None:
    with pytest.raises((FileNotFoundError, NotADirectoryError)):
        open_file(opened, name)


def test_neither_a_folder_nor_a_pipe_nor_a_device_is_read(root: Path, opened: int) -> None:
    os.mkfifo(root / "pipe")
    for name in ("room", "pipe"):
        with pytest.raises(UnsafeFile, match="not a regular file"):
            open_file(opened, name)
    with opened_folder(Path("/dev")) as devices, pytest.raises(UnsafeFile, match="not a regular"):
        open_file(devices, "null")


def test_a_file_with_two_names_is_refused_unless_it_is_ours(root: Path, opened: int) -> None:
    os.link(root.parent / "outside" / "a.mjr", root / "b.mjr")

    for look in (open_file, size_of):
        with pytest.raises(UnsafeFile, match="hard link"):
            look(opened, "b.mjr")
    os.close(open_file(opened, "b.mjr", single=False))


def test_a_file_exchanged_after_it_was_opened_is_read_as_it_was(root: Path, opened: int) -> None:
    number = open_file(opened, "room/a.mjr")
    (root / "room" / "a.mjr").unlink()
    (root / "room" / "a.mjr").symlink_to(root.parent / "outside" / "a.mjr")

    with os.fdopen(number, "rb") as file:
        assert file.read() == b"MJR"


def test_folders_are_made_for_our_own_user_and_none_behind_a_link(root: Path, opened: int) -> None:
    with opened_beneath(opened, ["new", "folder"], make=True):
        pass
    (root / "linked").symlink_to(root.parent / "outside")

    with pytest.raises(UnsafeFile), opened_beneath(opened, ["linked", "new"], make=True):
        pass

    assert (root / "new" / "folder").stat().st_mode & 0o777 == 0o700
    assert not (root.parent / "outside" / "new").exists()


def test_a_rename_at_the_same_time_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel says EAGAIN then: nothing was opened, and it may be asked again."""
    (tmp_path / "a.mjr").write_bytes(b"MJR")
    answers = [-1, -1]
    real = beneath._openat2
    monkeypatch.setattr(ctypes, "get_errno", lambda: errno.EAGAIN)
    monkeypatch.setattr(
        beneath, "_openat2", lambda *args: answers.pop() if answers else real(*args)
    )

    with opened_folder(tmp_path) as folder:
        assert content(folder, "a.mjr") == b"MJR"
    assert not answers
