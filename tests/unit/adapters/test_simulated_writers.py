"""Film, mix, journal and lines of the simulated plane, one by one and without a process."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sfu_wrapper.adapters.simulated import journal as journals
from sfu_wrapper.adapters.simulated.journal import Folders, Journal, salvage, sweep
from sfu_wrapper.adapters.simulated.messages import (
    ORDERS,
    Add,
    Lines,
    PositionedTrack,
    StartWriting,
    dump,
)
from sfu_wrapper.adapters.simulated.pattern import Pattern, StripData
from sfu_wrapper.adapters.simulated.writers import (
    RATE_HZ,
    TONES_HZ,
    Mix,
    VideoWriter,
    repair_lengths,
    tone_hz,
)
from sfu_wrapper.formats import wav
from sfu_wrapper.model.errors import Broken, Unavailable
from sfu_wrapper.model.media import RawFile, Stream
from tests.helpers.planes import BRIDGE, ROOM, VIDEO, camera
from tests.helpers.rawmedia import decoded_frames, samples, tones

START_US = 1_795_484_876_572_000
ALICE = Pattern(StripData("alice", "c0ffee01", False, 0), "room-1", 0, 320)


def video_file(folder: Path) -> VideoWriter:
    return VideoWriter(folder / "alice.mjr", ALICE, START_US, 15, 200_000)


def test_a_video_leaves_frames_out_when_it_comes_late(tmp_path: Path) -> None:
    one = video_file(tmp_path)
    for ms in (0, 10, 70, 1000, 1001):
        one.advance(START_US + ms * 1000)
    one.close()

    shown = decoded_frames(tmp_path / "alice.mjr")
    assert [round(frame.at_ms - START_US / 1000) for frame in shown] == [0, 67, 1000]
    assert all(p.strip is not None and abs(p.strip.clock_ms - p.at_ms) <= 1 for p in shown)


def test_a_video_says_when_its_next_frame_is_due(tmp_path: Path) -> None:
    one = video_file(tmp_path)

    due_us = one.advance(START_US)
    assert due_us == START_US + 66_667
    assert one.advance(due_us) == START_US + 133_334


def test_a_video_overwrites_nothing(tmp_path: Path) -> None:
    video_file(tmp_path).close()

    with pytest.raises(FileExistsError):
        video_file(tmp_path)


def mix_of(path: Path, *steps: tuple[int, frozenset[int]]) -> Mix:
    """A mix that reaches each moment (ms) with these seats heard up to it."""
    mix = Mix(path, START_US)
    for ms, positions in steps:
        mix.positions = positions
        mix.advance(START_US + ms * 1000)
    return mix


def test_a_mix_has_a_sample_for_every_moment(tmp_path: Path) -> None:
    mix = mix_of(
        tmp_path / "a.wav", (500, frozenset({0})), (1000, frozenset()), (2500, frozenset({1, 2}))
    )
    mix.seal()
    mix.close()

    audio = samples(tmp_path / "a.wav")
    assert len(audio) == 2.5 * RATE_HZ
    assert tones(audio[:8000]) == {440}
    assert not audio[8000:16000].any()
    assert tones(audio[16000:]) == {880, 1320}


def test_nine_voices_do_not_clip(tmp_path: Path) -> None:
    mix_of(tmp_path / "a.wav", (1000, frozenset(range(9)))).close()
    repair_lengths(tmp_path / "a.wav")

    audio = samples(tmp_path / "a.wav")
    assert np.abs(audio.astype(int)).max() < 32767
    assert tones(audio) == {440 * n for n in range(1, 10)}


def test_the_lengths_of_a_growing_mix_are_a_second_old_at_most(tmp_path: Path) -> None:
    mix_of(tmp_path / "a.wav", *((ms, frozenset()) for ms in range(50, 3551, 50)))

    assert len(samples(tmp_path / "a.wav")) >= 2.5 * RATE_HZ


def test_tones_are_all_different_and_below_the_limit_of_the_sampling() -> None:
    assert len(set(TONES_HZ)) == len(TONES_HZ)
    assert max(TONES_HZ) < RATE_HZ / 2
    assert tone_hz(len(TONES_HZ)) == tone_hz(0) == 440


@pytest.mark.parametrize("cut", [0, 1, 43, 44, 45, 1001, 32044])
def test_a_cut_mix_is_mended(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.wav"
    mix_of(path, (1000, frozenset({0}))).close()
    os.truncate(path, cut)

    seconds = repair_lengths(path)

    assert seconds == max(cut - 44, 0) // 2 / RATE_HZ
    parsed = wav.parse(path.read_bytes())
    assert parsed is not None
    assert parsed.truthful
    assert repair_lengths(path) == seconds


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "raw", tmp_path / "audio")


def raw(folders: Folders, name: str, content: bytes, at_s: int) -> RawFile:
    """An open file of a capture with its content, last written at ``at_s`` after its start."""
    file = RawFile(f"/{ROOM}/{name}", Stream.CAMERA, START_US // 1000, user=camera("a").user)
    path = folders.file(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(START_US * 1000 + at_s * 10**9,) * 2)
    return file


def test_what_a_crash_left_is_found_and_closed(folders: Folders) -> None:
    journal = Journal(folders, VIDEO)
    files = [raw(folders, "a.mjr", b"MJR00002....", 3), raw(folders, "b.mjr", b"MJR00002", 2)]
    journal.note(*files)
    journal.note(RawFile(f"/{ROOM}/never-opened.mjr", Stream.CAMERA, 1))
    journal.close()

    stopped_ms, found = salvage(folders, VIDEO)

    assert stopped_ms == START_US // 1000 + 3000
    assert [(file.filename, file.holds_media) for file in found] == [
        (files[0].filename, True),
        (files[1].filename, False),
    ]
    assert found[0].stopped_ms == stopped_ms
    assert salvage(folders, VIDEO) == (stopped_ms, found)


def test_a_line_cut_by_the_crash_is_left_out(folders: Folders) -> None:
    journal = Journal(folders, VIDEO)
    journal.note(raw(folders, "a.mjr", b"MJR00002....", 3))
    journal.close()
    with folders.journal(VIDEO).open("ab") as file:
        file.write(b'["RawFile",{"filename":"/room')

    _, found = salvage(folders, VIDEO)

    assert [file.filename for file in found] == [f"/{ROOM}/a.mjr"]


def test_files_that_only_the_caller_knows_are_looked_for(folders: Folders) -> None:
    known = raw(folders, "a.mjr", b"MJR00002....", 3)
    gone = RawFile(f"/{ROOM}/gone.mjr", Stream.CAMERA, 1)

    stopped_ms, found = salvage(folders, VIDEO, (known, gone))

    assert [file.filename for file in found] == [known.filename]
    assert stopped_ms == START_US // 1000 + 3000


def test_of_a_capture_without_any_trace_nothing_is_known(folders: Folders) -> None:
    assert salvage(folders, VIDEO) == (0, ())


def test_a_capture_without_files_was_written_as_long_as_it_was_alive(folders: Folders) -> None:
    Journal(folders, VIDEO).close()
    os.utime(folders.journal(VIDEO), ns=(START_US * 1000,) * 2)

    assert salvage(folders, VIDEO) == (START_US // 1000, ())


def test_nothing_is_salvaged_under_the_hands_of_a_writer(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "_LOCK_WAIT_S", 0.1)
    writer = Journal(folders, VIDEO)

    with pytest.raises(Unavailable):
        salvage(folders, VIDEO)
    writer.close()
    assert salvage(folders, VIDEO)[1] == ()


def test_old_journals_without_files_are_swept_away(folders: Folders) -> None:
    journal = Journal(folders, VIDEO)
    file = raw(folders, "a.mjr", b"MJR00002....", 3)
    journal.note(file)
    journal.close()
    path = folders.journal(VIDEO)
    os.utime(path, (0, 0))

    sweep(folders)
    assert path.exists()
    folders.file(file).unlink()
    sweep(folders)
    assert not path.exists()


def test_the_journal_of_a_capture_that_runs_stays_whatever_the_wall_clock_says(
    folders: Folders,
) -> None:
    journal = Journal(folders, VIDEO)
    os.utime(folders.journal(VIDEO), (0, 0))  # as if the clock had been set forward by years

    sweep(folders)
    assert folders.journal(VIDEO).exists()
    journal.close()
    sweep(folders)
    assert not folders.journal(VIDEO).exists()


def test_a_young_journal_stays(folders: Folders) -> None:
    Journal(folders, VIDEO).close()

    sweep(folders)

    assert folders.journal(VIDEO).exists()


@pytest.mark.parametrize(
    "order",
    [
        StartWriting(VIDEO, BRIDGE, (PositionedTrack(camera("alice"), 3),), lose_s=1.5),
        Add(ROOM, PositionedTrack(camera("alice"), 0)),
    ],
)
def test_a_line_reads_as_it_was_written(order: StartWriting | Add) -> None:
    assert ORDERS.load(dump(order)) == order


@dataclass(frozen=True, slots=True)
class Foreign:
    """No order."""

    name: str


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'["Add",{}]', dump(Foreign("x"))])
def test_any_other_line_is_our_own_bug(line: bytes) -> None:
    with pytest.raises(Broken, match="unreadable line"):
        ORDERS.load(line)


def test_a_reader_knows_its_own_kinds_alone() -> None:
    assert Lines((Foreign,)).load(dump(Foreign("x"))) == Foreign("x")
