"""Files and folders that somebody exchanges while a segment is worked on redirect nothing."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.storage.local import HIDDEN, Folders, LocalStorage
from sfu_wrapper.app.worker import processor
from sfu_wrapper.config.processing import Recording
from sfu_wrapper.model.errors import JobFailed
from sfu_wrapper.service.worker.processor import ProcessedSegment
from sfu_wrapper.wire.recording_info import parse_event
from tests.helpers.samples import SAMPLES

EVENT = (SAMPLES / "seg-1" / "recordingInfo.json").read_bytes()
LONG = "seg-1"


@dataclass(frozen=True, slots=True)
class Place:
    """A segment in the folder ``raw/seg-1``; ``outside`` holds files of the same names."""

    raw: Path
    out: Path
    outside: Path

    def storage(self) -> LocalStorage:
        return LocalStorage(Folders(self.raw, self.raw, self.out))

    async def processed(self) -> ProcessedSegment:
        recording = Recording(
            recordings_path=self.raw, audio_path=self.raw, destination_path=self.out
        )
        with processor(recording, SystemClock()) as worker:
            return await worker.process(parse_event(EVENT))

    def exchange(self, folder: Path) -> None:
        """Put a link to ``outside`` in the place of a folder."""
        folder.rename(folder.with_name("moved"))
        folder.symlink_to(self.outside)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    raw, outside = tmp_path / "raw", tmp_path / "outside"
    shutil.copytree(SAMPLES / LONG, raw / LONG)
    shutil.copytree(SAMPLES / LONG, outside)
    yield Place(raw, tmp_path / "out", outside)
    assert {path.name for path in outside.iterdir()} == set(os.listdir(SAMPLES / LONG))  # noqa: PTH208


def exchanging(
    place: Place, monkeypatch: pytest.MonkeyPatch, method: str, act: Callable[[], None]
) -> None:
    """Do it once a file has been looked at and before it is read."""
    real = getattr(LocalStorage, method)
    pending = [act]

    async def looked_at(storage: LocalStorage, name: str) -> Path:
        found: Path = await real(storage, name)
        while pending:
            pending.pop()()
        return found

    monkeypatch.setattr(LocalStorage, method, looked_at)


@pytest.mark.parametrize("method", ["raw_video", "raw_audio"])
async def test_a_raw_folder_exchanged_for_a_link_between_look_and_use_is_not_read(
    place: Place, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    exchanging(place, monkeypatch, method, lambda: place.exchange(place.raw / LONG))

    with pytest.raises(JobFailed) as caught:
        await place.processed()

    assert (caught.value.code, caught.value.permanent) == ("UNSAFE_NAME", True)


@pytest.mark.parametrize("make", [os.symlink, os.link])
async def test_a_mix_exchanged_for_another_name_of_a_file_outside_is_not_read(
    place: Place, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path, Path], None]
) -> None:
    def exchange() -> None:
        (place.raw / LONG / "mix.wav").unlink()
        make(place.outside / "mix.wav", place.raw / LONG / "mix.wav")

    exchanging(place, monkeypatch, "raw_audio", exchange)

    with pytest.raises(JobFailed) as caught:
        await place.processed()

    assert (caught.value.code, caught.value.permanent) == ("UNSAFE_NAME", True)


async def test_a_raw_file_with_a_further_name_is_refused_at_once(place: Place) -> None:
    os.link(place.raw / LONG / "mix.wav", place.raw / "other.wav")

    with pytest.raises(JobFailed, match="hard link") as caught:
        await place.storage().raw_audio("other.wav")

    assert (caught.value.code, caught.value.permanent) == ("UNSAFE_NAME", True)
    (place.raw / LONG / "mix.wav").unlink()
    assert await place.storage().raw_audio("other.wav")


async def test_a_raw_folder_exchanged_for_a_link_has_nothing_removed(place: Place) -> None:
    storage = place.storage()
    path = await storage.raw_audio(f"{LONG}/mix.wav")
    place.exchange(place.raw / LONG)

    with pytest.raises(JobFailed, match="over a link"):
        await storage.remove([path])

    assert (place.outside / "mix.wav").exists()


async def test_a_work_folder_exchanged_for_a_link_has_nothing_removed(place: Place) -> None:
    storage = place.storage()
    await storage.workspace("job")
    work = place.out / HIDDEN / "work"
    (place.outside.parent / "else" / "job").mkdir(parents=True)
    work.rename(work.with_name("moved"))
    work.symlink_to(place.outside.parent / "else")

    with pytest.raises(JobFailed, match="over a link"):
        await storage.clear("job")

    assert (place.outside.parent / "else" / "job").is_dir()


async def test_a_result_folder_exchanged_for_a_link_at_the_last_moment_gets_the_file_still(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = place.storage()
    staged = (await storage.workspace("job")).staging / "made.webm"
    staged.write_bytes(b"frames")
    final, fsync = place.out / "call", os.fsync

    def exchange_first(number: int) -> None:
        if final.is_dir() and not final.is_symlink() and "made.webm" in _path_of(number):
            place.exchange(final)
        fsync(number)

    monkeypatch.setattr(os, "fsync", exchange_first)
    await storage.deliver("job", [(staged, "call/rec.webm")], b"{}")

    assert final.is_symlink()
    assert (place.out / "moved" / "rec.webm").read_bytes() == b"frames"


@pytest.mark.parametrize("make", [os.symlink, os.link])
async def test_another_name_of_a_foreign_file_is_neither_measured_nor_delivered(
    place: Place, make: Callable[[Path, Path], None]
) -> None:
    """What a media process left in its work folder may be anything, if it was taken over."""
    storage = place.storage()
    staged = (await storage.workspace("job")).staging / "made.webm"
    make(place.outside / "mix.wav", staged)

    with pytest.raises(JobFailed):
        await storage.measure(staged)
    with pytest.raises(JobFailed):
        await storage.deliver("job", [(staged, "rec.webm")], b"{}")

    assert not (place.out / "rec.webm").exists()
    assert await storage.manifest("job") is None


async def test_a_file_exchanged_while_it_is_moved_seals_no_segment(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = place.storage()
    staged = (await storage.workspace("job")).staging / "made.webm"
    staged.write_bytes(b"frames")
    fsync = os.fsync

    def exchange_first(number: int) -> None:
        fsync(number)
        if "made.webm" in _path_of(number):
            staged.unlink()
            staged.write_bytes(b"something else")

    monkeypatch.setattr(os, "fsync", exchange_first)
    with pytest.raises(JobFailed, match="replaced while it was moved"):
        await storage.deliver("job", [(staged, "rec.webm")], b"{}")

    assert await storage.manifest("job") is None


def _path_of(number: int) -> str:
    return os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115 - a link of the kernel's
