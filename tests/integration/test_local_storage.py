"""The recording service's folders on a real disk."""

import asyncio
import hashlib
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.adapters.storage import local as shelves
from sfu_wrapper.adapters.storage.local import HIDDEN, Folders, LocalStorage
from sfu_wrapper.model.errors import JobFailed


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    raw = tmp_path / "raw"
    (raw / "room").mkdir(parents=True)
    (raw / "room" / "a.mjr").write_bytes(b"MJR")
    (tmp_path / "secret").write_text("not ours")
    (raw / "link.mjr").symlink_to(tmp_path / "secret")
    (raw / "linked").symlink_to(tmp_path)
    os.mkfifo(raw / "pipe.mjr")
    return Folders(raw, raw, tmp_path / "new" / "out")


def plain(folder: Path, content: bytes = b"x") -> Path:
    file = folder / "made.webm"
    file.write_bytes(content)
    return file


def tree(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["room/a.mjr", "/room/a.mjr"])
async def test_a_raw_file_is_found_below_its_folder(folders: Folders, name: str) -> None:
    storage = LocalStorage(folders)

    assert await storage.raw_video(name) == folders.recordings / "room" / "a.mjr"
    assert await storage.raw_audio(name) == folders.audio / "room" / "a.mjr"


@pytest.mark.parametrize(
    "name",
    ["../secret", "room/../../secret", "link.mjr", "linked/secret", "pipe.mjr", "room", "", "a\0b",
     "room//a.mjr", "./room/a.mjr"],
)  # fmt: skip
async def test_no_name_leads_out_of_the_folder_or_to_a_device(folders: Folders, name: str) -> None:
    with pytest.raises(JobFailed) as caught:
        await LocalStorage(folders).raw_video(name)

    assert (caught.value.code, caught.value.permanent) == ("UNSAFE_NAME", True)


@pytest.mark.parametrize("name", ["room/b.mjr", "none/a.mjr", "room/a.mjr/x"])
async def test_a_missing_file_may_come_later(folders: Folders, name: str) -> None:
    with pytest.raises(JobFailed) as caught:
        await LocalStorage(folders).raw_video(name)

    assert (caught.value.code, caught.value.permanent) == ("MISSING_FILE", False)


async def test_a_delivered_file_is_whole_private_and_alone(folders: Folders) -> None:
    storage = LocalStorage(folders)
    place = await storage.workspace("job")
    made = plain(place.staging, b"pictures")
    (name,) = await storage.reserve_names("job", [["folder/rec.webm"]])

    await storage.deliver("job", [(made, name)], b"{}")
    await storage.clear("job")

    final = storage.final(name)
    assert final == folders.destination / "folder" / "rec.webm"
    assert final.read_bytes() == b"pictures"
    assert final.stat().st_mode & 0o777 == 0o600
    assert final.parent.stat().st_mode & 0o777 == 0o700
    assert folders.destination.parent.stat().st_mode & 0o777 == 0o700
    assert not await storage.leftovers("job")


async def test_a_name_taken_by_another_recording_is_left_alone(folders: Folders) -> None:
    storage = LocalStorage(folders)
    choices = [["rec.webm"], ["rec-uuid.webm"]]

    assert await storage.reserve_names("first", choices) == ("rec.webm",)
    assert await storage.reserve_names("second", choices) == ("rec-uuid.webm",)
    assert await storage.reserve_names("first", choices) == ("rec.webm",)  # again: its own
    with pytest.raises(JobFailed, match="every name"):
        await storage.reserve_names("third", choices)


async def test_a_file_that_nobody_claimed_is_left_alone_too(folders: Folders) -> None:
    folders.destination.mkdir(parents=True)
    plain(folders.destination)

    names = await LocalStorage(folders).reserve_names("job", [["made.webm"], ["made-uuid.webm"]])

    assert names == ("made-uuid.webm",)


async def test_of_many_that_want_a_name_at_once_one_gets_it(folders: Folders) -> None:
    storage = LocalStorage(folders)

    async def claim(job: str) -> str:
        (name,) = await storage.reserve_names(job, [[f"rec{n}.webm"] for n in range(10)])
        return name

    names = await asyncio.gather(*[claim(f"job {n}") for n in range(10)])

    assert sorted(names) == [f"rec{n}.webm" for n in range(10)]


async def test_a_manifest_stands_once_all_is_delivered(folders: Folders) -> None:
    storage = LocalStorage(folders)
    assert await storage.manifest("a/b:1") is None

    await storage.deliver("a/b:1", [], b"{}")

    assert await LocalStorage(folders).manifest("a/b:1") == b"{}"
    assert await storage.manifest("a/b:2") is None


async def test_what_will_be_encrypted_is_worked_on_outside_of_the_destination(
    folders: Folders, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    storage = LocalStorage(
        Folders(folders.recordings, folders.audio, folders.destination, elsewhere)
    )

    place = await storage.workspace("job")
    kept = plain(place.plain)

    assert not tree(folders.destination)
    assert place.staging.is_relative_to(folders.destination / HIDDEN)
    assert place.plain.stat().st_mode & 0o777 == 0o700
    assert await storage.leftovers("job") == (kept,)
    await storage.clear("job")
    assert not tree(elsewhere)


async def test_a_link_in_place_of_a_results_folder_is_not_followed(
    folders: Folders, tmp_path: Path
) -> None:
    storage = LocalStorage(folders)
    made = plain((await storage.workspace("job")).staging)
    (folders.destination / "folder").symlink_to(tmp_path)

    with pytest.raises(JobFailed) as caught:
        await storage.deliver("job", [(made, "folder/rec.webm")], b"{}")

    assert caught.value.code == "IO_ERROR"
    assert "rec.webm" not in tree(tmp_path)


async def test_a_file_is_measured_from_end_to_end(folders: Folders, tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000

    measured = await LocalStorage(folders).measure(plain(tmp_path, content))

    assert (measured.size_bytes, measured.sha256) == (
        len(content),
        hashlib.sha256(content).hexdigest(),
    )


async def test_the_space_that_is_left_and_what_the_raw_files_take_can_be_asked(
    folders: Folders,
) -> None:
    storage = LocalStorage(replace(folders, plain=folders.recordings / "plain"))
    (folders.recordings / "long.mjr").write_bytes(bytes(1000))
    (folders.audio / "long.wav").write_bytes(bytes(200))

    assert await storage.raw_bytes(["long.mjr", "gone.mjr", "../x"], ["long.wav"]) == 1200
    assert 0 < await storage.free_bytes() <= shutil.disk_usage(folders.recordings).total


def test_a_disk_that_hangs_does_not_keep_a_worker_from_ending(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    ended = threading.Event()

    def hang(_: int) -> None:
        answers.wait(30)
        ended.set()

    monkeypatch.setattr(shelves, "_measure", hang)

    async def given_up() -> None:
        async with asyncio.timeout(0.05):
            await LocalStorage(folders).measure(folders.recordings / "room" / "a.mjr")

    with pytest.raises(TimeoutError):
        asyncio.run(given_up())
    assert not ended.is_set()
    answers.set()


async def test_removing_what_has_gone_already_is_fine(folders: Folders) -> None:
    storage = LocalStorage(folders)
    path = await storage.raw_video("room/a.mjr")

    await storage.remove([path, path])
    await storage.clear("nothing")

    assert "room/a.mjr" not in tree(folders.recordings)


async def test_emptied_folders_go_and_their_root_stays(folders: Folders) -> None:
    storage, raw = LocalStorage(folders), folders.recordings
    for segment in ("1", "2"):
        (raw / "call" / segment).mkdir(parents=True)
    (raw / "call" / "2" / "b.mjr").write_bytes(b"MJR")
    used = ["/call/1/a.mjr", "/call/1/b.mjr", "a.mjr"]

    await storage.remove_empty_folders(used, ["call/1/mix.wav"])
    assert not (raw / "call" / "1").exists()
    assert (raw / "call" / "2" / "b.mjr").exists(), "another segment is being written"

    (raw / "call" / "2" / "b.mjr").unlink()
    await storage.remove_empty_folders(["/call/2/b.mjr"], [])
    assert not (raw / "call").exists()
    assert raw.is_dir()


async def test_who_was_killed_between_two_folders_leaves_none(folders: Folders) -> None:
    (folders.recordings / "call").mkdir()
    await LocalStorage(folders).remove_empty_folders(["/call/1/a.mjr"], [])

    assert not (folders.recordings / "call").exists()


@pytest.mark.parametrize(
    "name",
    ["linked/empty/a.mjr", "../empty/a.mjr", "room/../../empty/a.mjr", "link.mjr/x/a.mjr", "a\0/b"],
)
async def test_no_folder_outside_is_removed(folders: Folders, name: str) -> None:
    empty = folders.recordings.parent / "empty"
    empty.mkdir()
    await LocalStorage(folders).remove_empty_folders([name], [name])

    assert empty.is_dir()
    assert (folders.recordings / "linked").is_symlink()


async def test_a_file_that_arrives_meanwhile_stays_with_its_folder(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last look is the system's own: between ours and the removal anything may happen."""
    late, rmdir = folders.recordings / "call" / "1" / "late.mjr", os.rmdir
    late.parent.mkdir(parents=True)

    def after_a_write(name: str, *, dir_fd: int) -> None:
        late.write_bytes(b"MJR")
        rmdir(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", after_a_write)
    await LocalStorage(folders).remove_empty_folders(["/call/1/a.mjr"], [])

    assert late.read_bytes() == b"MJR"
