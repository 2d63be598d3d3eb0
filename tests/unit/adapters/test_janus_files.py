"""Recordings in the folders of Janus: publisher, start and end of each file."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sfu_wrapper.adapters.janus import files as module
from sfu_wrapper.adapters.janus.files import (
    Publishing,
    clock_ahead_ms,
    finish_names,
    has_mix,
    is_closed,
    mix_files,
    publishers_in,
    remove_audio,
    repair_headers,
    video_files,
)
from sfu_wrapper.formats import wav
from sfu_wrapper.formats.mjr import Header, Kind, encode_frame, encode_header
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.model.media import RawFile, Stream

ROOM = RoomUuid("room-user-1")
OPENED_US = 1_795_484_368_561_726
FIRST_US = OPENED_US + 40_000


def recording_file(
    folder: Path, publisher: str, content: bytes, *, opened_us: int = OPENED_US
) -> Path:
    path = folder / f"videoroom-{ROOM}-user-{publisher}-{opened_us}-video-1.mjr"
    path.write_bytes(content)
    return path


def written(*offsets_ms: int) -> bytes:
    head = encode_header(Header(Kind.VIDEO, "vp8", OPENED_US, FIRST_US))
    return head + b"".join(encode_frame(ms, bytes(40)) for ms in offsets_ms)


def read(folder: Path, *still_open: str) -> tuple[RawFile, ...]:
    return video_files(folder, ROOM, "/below", Publishing(open=frozenset(still_open)))


def test_a_closed_file_runs_from_its_first_to_its_last_packet(tmp_path: Path) -> None:
    path = recording_file(tmp_path, "p-alice", written(0, 33, 2_000))
    (file,) = read(tmp_path)

    assert file == RawFile(
        f"/below/{path.name}",
        Stream.CAMERA,
        FIRST_US // 1000,
        FIRST_US // 1000 + 2_000,
        user=file.user,
    )
    assert file.user == "alice"


def test_the_last_file_of_an_active_publisher_is_open(tmp_path: Path) -> None:
    recording_file(tmp_path, "p-alice", written(0), opened_us=OPENED_US)
    recording_file(tmp_path, "p-alice", b"", opened_us=OPENED_US + 5_000_000)
    recording_file(tmp_path, "s-alice", written(0), opened_us=OPENED_US + 1)
    files = read(tmp_path, "p-alice")

    assert [(f.stream, f.stopped_ms is None) for f in files] == [
        (Stream.CAMERA, False),
        (Stream.SCREEN, False),
        (Stream.CAMERA, True),
    ]


@pytest.mark.parametrize(
    "content", [b"", b"MJR00002", written()], ids=["nothing", "the magic alone", "no packet"]
)
def test_a_file_without_packets_holds_no_media(content: bytes, tmp_path: Path) -> None:
    recording_file(tmp_path, "p-alice", content)
    (file,) = read(tmp_path)

    assert not file.holds_media
    assert file.started_ms == file.stopped_ms == OPENED_US // 1000


def test_a_damaged_file_is_reported_for_the_recording_service_to_check(tmp_path: Path) -> None:
    recording_file(tmp_path, "p-alice", b"no recording at all")
    (file,) = read(tmp_path)

    assert file.holds_media


def test_a_file_truncated_by_a_crash_ends_with_its_last_complete_packet(tmp_path: Path) -> None:
    recording_file(tmp_path, "p-alice", written(0, 500, 900)[:-7])
    (file,) = read(tmp_path)

    assert file.stopped_ms == FIRST_US // 1000 + 500


def test_the_end_of_a_long_file_is_found_without_reading_it_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TAIL_BYTES", 150)
    recording_file(tmp_path, "p-alice", written(*range(0, 100_000, 33)))
    (file,) = read(tmp_path)

    assert file.stopped_ms == FIRST_US // 1000 + 99_990


def ends(folder: Path, publishing: Publishing) -> list[int | None]:
    """When the files end, in ms after their first packet."""
    found = video_files(folder, ROOM, "", publishing)
    return [file.stopped_ms and file.stopped_ms - FIRST_US // 1000 for file in found]


def test_a_track_ends_when_it_was_unpublished_however_long_it_sent_nothing(tmp_path: Path) -> None:
    recording_file(tmp_path, "s-alice", written(0, 500, 900))
    at = FIRST_US // 1000

    unpublished = {"s-alice": [at - 5_000, at + 200_000, at + 300_000]}
    assert ends(tmp_path, Publishing(ended_ms=unpublished)) == [200_000]
    assert ends(tmp_path, Publishing(ended_ms={"s-bob": [at + 5_000]})) == [900]
    assert ends(tmp_path, Publishing(ended_ms={"s-alice": [at + 850]})) == [900]


def test_a_track_that_was_published_at_the_stop_ends_with_the_segment(tmp_path: Path) -> None:
    recording_file(tmp_path, "s-alice", written(0, 900))
    recording_file(tmp_path, "p-bob", written(0, 900))

    assert ends(tmp_path, Publishing(stopped=frozenset({"s-alice"}))) == [900, None]


def test_a_track_ends_at_the_latest_when_the_next_file_of_its_publisher_begins(
    tmp_path: Path,
) -> None:
    at = FIRST_US // 1000
    recording_file(tmp_path, "s-alice", written(0, 900))
    recording_file(tmp_path, "s-alice", written(0, 20_000), opened_us=OPENED_US + 5_000_000)
    unpublished = {"s-alice": [at + 9_000]}

    publishing = Publishing(stopped=frozenset({"s-alice"}), ended_ms=unpublished)
    assert ends(tmp_path, publishing) == [4_960, None]


def test_a_published_track_without_a_packet_holds_nothing(tmp_path: Path) -> None:
    recording_file(tmp_path, "s-alice", b"MJR00002")
    (file,) = video_files(tmp_path, ROOM, "", Publishing(stopped=frozenset({"s-alice"})))

    assert not file.holds_media


def test_files_of_other_rooms_and_unknown_publishers_are_ignored(tmp_path: Path) -> None:
    recording_file(tmp_path, "p-al-ice.-1-2", written(0))
    recording_file(tmp_path, "somebody", written(0))
    (tmp_path / f"videoroom-other-user-p-bob-{OPENED_US}-video-1.mjr").touch()
    (tmp_path / f"videoroom-{ROOM}-user-p-bob-{OPENED_US}-audio-0.mjr").touch()
    (tmp_path / "notes.txt").touch()

    assert [file.user for file in read(tmp_path)] == ["al-ice.-1-2"]
    assert publishers_in(tmp_path, ROOM) == {"p-al-ice.-1-2"}


def test_a_missing_folder_counts_as_empty(tmp_path: Path) -> None:
    assert video_files(tmp_path / "later", ROOM, "", Publishing()) == ()
    assert mix_files(tmp_path / "later", "", 0, running=False) == ()
    assert is_closed(tmp_path / "later")


def test_audio_files_are_removed_and_video_files_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    video = recording_file(tmp_path, "p-alice", written(0))
    audio = tmp_path / f"videoroom-{ROOM}-user-p-alice-{OPENED_US}-audio-0.mjr"
    audio.touch()
    with monkeypatch.context() as strict, caplog.at_level(logging.WARNING):
        strict.setattr(Path, "unlink", refused)
        remove_audio(tmp_path, ROOM)
    assert [record.message for record in caplog.records] == ["janus.audioFileNotRemoved"]
    remove_audio(tmp_path, ROOM)

    assert list(tmp_path.iterdir()) == [video]


def refused(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")


# the mix

AT_MS = 1_795_484_368_561


def mix(folder: Path, declared: int, audio_bytes: int = 32_000, at_ms: int = AT_MS) -> Path:
    path = folder / f"recording-bridge-1-1-{at_ms}.wav"
    path.write_bytes(wav.header(declared, rate=16_000) + bytes(audio_bytes))
    return path


def test_a_mix_lasts_as_long_as_its_audio(tmp_path: Path) -> None:
    mix(tmp_path, 0)
    (file,) = mix_files(tmp_path, "below", 120, running=False)

    assert (file.started_ms, file.stopped_ms) == (AT_MS, AT_MS + 1_000)
    assert (file.filename, file.mixer) == (f"below/recording-bridge-1-1-{AT_MS}.wav", "audiobridge")
    assert file.delay_ms == 120


def test_the_last_mix_of_a_running_capture_is_open(tmp_path: Path) -> None:
    mix(tmp_path, 0)
    mix(tmp_path, 0, at_ms=AT_MS + 5_000)
    files = mix_files(tmp_path, "", 0, running=True)

    assert [file.stopped_ms is None for file in files] == [False, True]


@pytest.mark.parametrize(
    ("declared", "audio_bytes", "closed"),
    [
        (0, 32_000, False),  # as it was begun
        (20_000, 32_000, False),  # as it was after five seconds
        (32_044, 32_000, True),  # as Janus leaves it
        (32_000, 32_000, True),  # mended
        (0, 0, False),
        (44, 0, True),
    ],
)
def test_a_mix_is_closed_once_janus_has_written_the_header(
    declared: int, audio_bytes: int, closed: bool, tmp_path: Path
) -> None:
    mix(tmp_path, declared, audio_bytes)

    assert is_closed(tmp_path) is closed


def test_a_mix_left_by_a_crash_counts_as_closed(tmp_path: Path) -> None:
    mix(tmp_path, 0)
    mix(tmp_path, 32_044, at_ms=AT_MS + 5_000)

    assert is_closed(tmp_path)


def test_a_mix_without_a_header_is_not_closed(tmp_path: Path) -> None:
    mix(tmp_path, 0).write_bytes(b"")

    assert not is_closed(tmp_path)
    assert mix_files(tmp_path, "", 0, running=False)[0].holds_media is False


def test_wrong_lengths_in_a_header_are_repaired(tmp_path: Path) -> None:
    path = mix(tmp_path, 32_044)
    empty = mix(tmp_path, 44, 0, at_ms=AT_MS + 1)
    repair_headers(tmp_path)
    mended = wav.parse(path.read_bytes())

    assert mended is not None
    assert mended.truthful
    assert mended.data_bytes == 32_000
    assert empty.read_bytes() == wav.header(44, rate=16_000)


def test_a_mix_with_a_damaged_header_is_not_changed(tmp_path: Path) -> None:
    path = mix(tmp_path, 32_044)
    damaged = bytearray(path.read_bytes())
    damaged[24:28] = b"\xff" * 4  # its rate
    path.write_bytes(damaged)
    repair_headers(tmp_path)

    assert path.read_bytes() == damaged


def test_a_file_that_is_no_mix_is_reported_and_not_changed(tmp_path: Path) -> None:
    mix(tmp_path, 0).write_bytes(b"no sound at all, and none to come")
    repair_headers(tmp_path)

    assert is_closed(tmp_path)
    assert mix_files(tmp_path, "", 0, running=False)[0].holds_media


@pytest.mark.parametrize("make", [os.symlink, os.link])
def test_a_link_to_a_foreign_file_is_neither_read_nor_repaired(
    tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    (tmp_path / "room").mkdir()
    foreign = mix(tmp_path, 32_044)
    before = foreign.read_bytes()
    make(foreign, tmp_path / "room" / f"recording-bridge-1-1-{AT_MS}.wav")
    make(foreign, tmp_path / "room" / f"videoroom-{ROOM}-user-p-alice-{OPENED_US}-video-1.mjr")

    repair_headers(tmp_path / "room")
    (audio,) = mix_files(tmp_path / "room", "below", 0, running=False)
    (video,) = read(tmp_path / "room")

    assert foreign.read_bytes() == before
    assert (audio.started_ms, audio.stopped_ms) == (AT_MS, AT_MS)
    assert video.stopped_ms == video.started_ms


def test_a_pipe_among_the_files_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / f"recording-bridge-1-1-{AT_MS}.wav")
    os.mkfifo(tmp_path / f"videoroom-{ROOM}-user-p-alice-{OPENED_US}-video-1.mjr")

    assert is_closed(tmp_path)
    assert mix_files(tmp_path, "below", 0, running=False)[0].stopped_ms == AT_MS
    assert read(tmp_path)[0].stopped_ms == OPENED_US // 1000


def test_the_extension_of_an_open_file_is_not_in_its_name(tmp_path: Path) -> None:
    path = recording_file(tmp_path, "p-alice", written(0))
    path.rename(path.with_name(f"{path.name}.part"))
    mix = tmp_path / "recording-bridge-1-1795484368561.wav"
    mix.with_name(f"{mix.name}.part").write_bytes(b"")

    (video,) = read(tmp_path, "p-alice")
    (audio,) = mix_files(tmp_path, "below", 0, running=True)

    assert (video.filename, video.stopped_ms) == (f"/below/{path.name}", None)
    assert publishers_in(tmp_path, ROOM) == {"p-alice"}
    assert audio.filename == f"below/{mix.name}"
    assert has_mix(tmp_path, mix.name)
    assert not is_closed(tmp_path), "Janus renames it when it closes it"


def test_what_a_janus_that_died_left_open_gets_its_name(tmp_path: Path) -> None:
    path = recording_file(tmp_path, "p-alice", written(0, 400))
    path.rename(path.with_name(f"{path.name}.part"))
    mix = tmp_path / "recording-bridge-1-1795484368561.wav"
    mix.with_name(f"{mix.name}.part").write_bytes(wav.header(1600, rate=16_000) + bytes(1600))

    (video,) = read(tmp_path)
    (audio,) = mix_files(tmp_path, "below", 0, running=False)

    assert (video.filename, audio.filename) == (f"/below/{path.name}", f"below/{mix.name}")
    assert path.exists()
    assert mix.exists()


def test_a_file_that_cannot_be_renamed_keeps_the_name_that_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recording_file(tmp_path, "p-alice", written(0, 400))
    path.rename(path.with_name(f"{path.name}.part"))
    monkeypatch.setattr(Path, "rename", refuse)
    finish_names(tmp_path)

    (video,) = video_files(tmp_path, ROOM, "/below", Publishing(over=True))

    assert video.filename == f"/below/{path.name}.part"


def refuse(*_: object) -> None:
    raise PermissionError


@pytest.mark.parametrize("ahead_ms", [-3_600_000, -2_500, 2_500, 86_400_000])
def test_the_clock_of_janus_shows_in_the_files_that_it_opens_at_the_begin(
    tmp_path: Path, ahead_ms: int
) -> None:
    began_ms = OPENED_US // 1000 - ahead_ms
    recording_file(tmp_path, "p-alice", written(0, 2_000))
    recording_file(tmp_path, "p-bob", written(0), opened_us=OPENED_US + 9_000_000)  # came later
    recording_file(tmp_path, "p-carol", b"", opened_us=OPENED_US - 60_000_000)
    recording_file(tmp_path, "p-carol", b"", opened_us=OPENED_US - 1_000)

    found_ms = clock_ahead_ms(tmp_path, ROOM, {"p-alice", "p-carol"}, began_ms)

    assert found_ms == ahead_ms
    first = video_files(tmp_path, ROOM, "/below", Publishing(ahead_ms=found_ms))[2]
    assert first.user == "alice"
    assert first.started_ms == began_ms + 40
    assert first.stopped_ms == began_ms + 2_040


@pytest.mark.parametrize("late_ms", [-1_900, 0, 900])
def test_files_that_are_opened_a_moment_later_show_no_other_clock(
    tmp_path: Path, late_ms: int
) -> None:
    recording_file(tmp_path, "p-alice", written(0))

    assert clock_ahead_ms(tmp_path, ROOM, {"p-alice"}, OPENED_US // 1000 - late_ms) == 0
    assert clock_ahead_ms(tmp_path, ROOM, set(), OPENED_US // 1000 - 50_000) == 0


def test_the_track_of_an_open_file_begins_by_our_clock(tmp_path: Path) -> None:
    recording_file(tmp_path, "p-alice", b"")
    publishing = Publishing(open=frozenset({"p-alice"}), ahead_ms=5_000)

    (file,) = video_files(tmp_path, ROOM, "/below", publishing)

    assert file.started_ms == OPENED_US // 1000 - 5_000
