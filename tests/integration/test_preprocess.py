"""Raw recordings become media files: real ones as they are, damaged ones as far as they reach."""

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu_wrapper.adapters.media.preprocess import convert, preprocess
from sfu_wrapper.formats import mjr, rtp
from sfu_wrapper.model.errors import JobFailed
from sfu_wrapper.model.media import EmptyTrack, Gap, TrackFile, TrackKind
from tests.helpers.samples import (
    ALICE,
    ALICE_AUDIO,
    BOB,
    CAROL,
    CHROMIUM_H264,
    CHROMIUM_VP8,
    CRASH_H264,
    CRASH_VP8,
    SAMPLES,
    Received,
    received,
    recorded,
    watch,
)


def converted(source: Path, target_dir: Path) -> TrackFile:
    track = convert(source, target_dir)
    assert isinstance(track, TrackFile)
    return track


def counters(path: Path) -> list[int]:
    return [seen.counter for seen in watch(path)]


@pytest.mark.parametrize(
    ("source", "suffix", "colour", "first", "frames", "last_ms", "warnings"),
    [
        (ALICE, ".webm", "red", 11, 109, 7200, ()),
        (BOB, ".webm", "green", 9, 79, 5200, ()),
        (CAROL, ".mp4", "blue", 0, 77, 5066, ()),
        (CRASH_VP8, ".webm", "red", 192, 87, 5733, ("the file ends within a packet",)),
        (CRASH_H264, ".mp4", "blue", 149, 78, 5133, ("the file ends within a packet",)),
    ],
)
def test_a_real_recording_shows_every_frame_at_its_time(
    tmp_path: Path,
    source: Path,
    suffix: str,
    colour: str,
    first: int,
    frames: int,
    last_ms: int,
    warnings: tuple[str, ...],
) -> None:
    track = converted(source, tmp_path)
    seen = watch(track.path)
    assert track.path == tmp_path / source.with_suffix(suffix).name
    assert [one.counter for one in seen] == list(range(first, first + frames))
    assert {one.colour for one in seen} == {colour}
    assert (seen[0].at_ms, int(seen[-1].at_ms)) == (0, last_ms)
    assert (track.frames, track.packets_lost, track.gaps) == (frames, 0, ())
    assert (track.width, track.height) == (320, 240)
    assert track.first_ms == 0
    assert track.duration_ms in range(last_ms + 60, last_ms + 70)
    assert track.warnings == warnings


@pytest.mark.parametrize(("source", "codec"), [(CHROMIUM_VP8, "vp8"), (CHROMIUM_H264, "h264")])
def test_a_browsers_recording_is_decodable_throughout(
    tmp_path: Path, source: Path, codec: str
) -> None:
    track = converted(source, tmp_path)
    with av.open(str(track.path)) as container:
        sizes = [(frame.width, frame.height) for frame in container.decode(video=0)]
    assert sizes == [(640, 480)] * track.frames
    assert (track.codec, track.frames, track.rotations) == (codec, 60, ())
    assert track.key_frames_ms == (0,)
    assert track.warnings == ()


@pytest.mark.parametrize("name", ["é" * 125 + "x.mjr", ".mjr"])  # the longest and the shortest
def test_a_recording_may_have_any_name_that_a_file_can_have(tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    source.write_bytes(BOB.read_bytes())

    track = converted(source, tmp_path / "made")

    assert track.frames == 79
    assert [track.path] == list((tmp_path / "made").iterdir())


def test_the_times_of_the_header_are_handed_on(tmp_path: Path) -> None:
    track = converted(ALICE, tmp_path)
    assert (track.started_us, track.created_us) == (1795484876612821, 1795484876572729)


def test_a_truncated_recording_is_kept_up_to_the_cut(tmp_path: Path) -> None:
    track = converted(SAMPLES / "truncated-9000-bytes.mjr", tmp_path)
    assert counters(track.path) == list(range(11, 42))
    assert track.warnings == ("the file ends within a packet",)


@pytest.mark.parametrize("name", ["empty.mjr", "magic-only.mjr"])
def test_a_recording_of_nothing_gives_no_file_but_the_reason(tmp_path: Path, name: str) -> None:
    assert convert(SAMPLES / name, tmp_path) == EmptyTrack(
        SAMPLES / name, "the file ends before its first packet"
    )
    assert preprocess(SAMPLES / name, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_audio_becomes_opus_of_the_same_length(tmp_path: Path) -> None:
    track = converted(ALICE_AUDIO, tmp_path)
    assert (track.path.suffix, track.kind, track.frames) == (".opus", TrackKind.AUDIO, 363)
    with av.open(str(track.path)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert track.duration_ms == 7260
    assert abs(samples / 48 - 7260) < 10  # the sender's encoder delay is dropped


def test_the_port_is_told_of_video_alone(tmp_path: Path) -> None:
    prepared = preprocess(ALICE, tmp_path)
    assert prepared is not None
    assert (prepared.codec, prepared.first_us) == ("vp8", 0)
    assert 0 <= 1795484876612821 - prepared.zero_us < 5_000  # its first packet was a little late
    assert prepared.end_us in range(7_260_000, 7_270_000)
    assert preprocess(ALICE_AUDIO, tmp_path) is None


def test_what_arrives_shuffled_doubled_and_wrapped_looks_the_same(tmp_path: Path) -> None:
    header, packets = received(ALICE)
    offset = 65_500 - packets[0][1].sequence
    turn = 2**32 - 9000 - packets[0][1].timestamp
    shifted = [
        (
            ms,
            replace(
                packet,
                sequence=(packet.sequence + offset) % 65536,
                timestamp=(packet.timestamp + turn) % 2**32,
            ),
        )
        for ms, packet in packets
    ]
    for index in range(5, len(shifted) - 5, 7):
        shifted[index], shifted[index + 3] = shifted[index + 3], shifted[index]
        shifted.insert(index, shifted[index - 2])
    track = converted(recorded(tmp_path / "shuffled.mjr", header, shifted), tmp_path)
    assert watch(track.path) == watch(converted(ALICE, tmp_path).path)
    assert track.packets_lost == 0


def test_what_comes_before_the_first_key_frame_is_a_hole_at_the_beginning(tmp_path: Path) -> None:
    header, packets = received(ALICE)
    late = [(ms + 2500, replace(p, timestamp=p.timestamp + 225_000)) for ms, p in packets]
    before = [
        (ms, replace(p, sequence=(p.sequence - 31) % 65536)) for ms, p in packets[1:31]
    ]  # they refer to frames that were never recorded
    track = converted(recorded(tmp_path / "late.mjr", header, before + late), tmp_path)
    seen = watch(track.path)
    assert seen[0].counter == 11
    assert track.first_ms == round(seen[0].at_ms)
    assert track.first_ms in range(2430, 2520)
    assert "30 frames left out before the first key frame" in track.warnings


def test_a_recording_without_a_key_frame_gives_the_reason(tmp_path: Path) -> None:
    header, packets = received(ALICE)
    source = recorded(tmp_path / "delta.mjr", header, packets[1:])
    assert convert(source, tmp_path / "out") == EmptyTrack(source, "it holds no key frame")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_header_without_packets_gives_the_reason(tmp_path: Path) -> None:
    header, _ = received(ALICE)
    source = recorded(tmp_path / "none.mjr", header, [])
    assert convert(source, tmp_path) == EmptyTrack(source, "it holds no packet")


def test_a_long_silence_is_a_gap_of_its_length(tmp_path: Path) -> None:
    header, packets = received(ALICE)
    paused = [
        (ms + (8000 if n >= 50 else 0), replace(p, timestamp=p.timestamp + 720_000 * (n >= 50)))
        for n, (ms, p) in enumerate(packets)
    ]
    track = converted(recorded(tmp_path / "paused.mjr", header, paused), tmp_path)
    times = [seen.at_ms for seen in watch(track.path)]
    whole = [seen.at_ms for seen in watch(converted(ALICE, tmp_path).path)]
    assert times == [at + (8000 if n >= 50 else 0) for n, at in enumerate(whole)]
    assert track.gaps == (Gap(int(times[49]), int(times[50])),)


def test_a_jump_of_the_timestamps_does_not_move_the_frames(tmp_path: Path) -> None:
    header, packets = received(ALICE)
    jumped = [
        (ms, replace(p, timestamp=(p.timestamp + (3_600_000_000 if n >= 50 else 0)) % 2**32))
        for n, (ms, p) in enumerate(packets)
    ]
    track = converted(recorded(tmp_path / "jumped.mjr", header, jumped), tmp_path)
    seen, whole = watch(track.path), watch(converted(ALICE, tmp_path).path)
    assert [one.counter for one in seen] == [one.counter for one in whole]
    assert max(abs(a.at_ms - b.at_ms) for a, b in zip(seen, whole, strict=True)) < 40
    assert "1 jump of the timestamps corrected" in track.warnings


def test_garbage_and_other_senders_leave_no_trace(tmp_path: Path) -> None:
    header, packets = received(ALICE)
    foreign = rtp.Packet(b"\x10\x00", 1, 2, ssrc=3, payload_type=96)
    data = mjr.encode_header(header)
    for number, (ms, packet) in enumerate(packets):
        data += mjr.encode_frame(ms, rtp.encode(packet))
        if number % 10 == 0:
            data += b"junk" + mjr.encode_frame(ms, rtp.encode(replace(foreign, sequence=number)))
    source = tmp_path / "noisy.mjr"
    source.write_bytes(data + os.urandom(200).replace(b"MEET", b"----"))
    track = converted(source, tmp_path)
    assert watch(track.path) == watch(converted(ALICE, tmp_path).path)
    assert "11 packets of another sender or unreadable" in track.warnings


def test_the_older_form_is_read_too(tmp_path: Path) -> None:
    header, packets = received(ALICE)
    data = mjr.encode_header(header).replace(b"MJR00002", b"MJR00001")
    for _, packet in packets:
        raw = rtp.encode(packet)
        data += b"MEETECHO" + len(raw).to_bytes(2, "big") + raw
    source = tmp_path / "older.mjr"
    source.write_bytes(data)
    assert watch(converted(source, tmp_path).path) == watch(converted(ALICE, tmp_path).path)


def test_a_turned_phone_is_told(tmp_path: Path) -> None:
    header, packets = received(ALICE)
    header = replace(header, extensions=((3, rtp.VIDEO_ORIENTATION),))
    turns = {0: b"\0", 40: b"\1", 80: b"\0"}
    turned: list[Received] = [
        (ms, replace(p, extensions=((3, turns[n]),) if n in turns else ()))
        for n, (ms, p) in enumerate(packets)
    ]
    track = converted(recorded(tmp_path / "turned.mjr", header, turned), tmp_path)
    times = [int(seen.at_ms) for seen in watch(track.path)]
    assert [rotation.degrees for rotation in track.rotations] == [90, 0]
    assert times[40] - 1 <= track.rotations[0].at_ms <= times[40]


@pytest.mark.parametrize("source", [ALICE, CAROL], ids=["vp8", "h264"])
def test_a_frame_is_turned_as_it_says_itself(tmp_path: Path, source: Path) -> None:
    header, packets = received(source)
    header = replace(header, extensions=((3, rtp.VIDEO_ORIENTATION),))
    each = itertools.cycle((b"\1", b"\0"))
    turned: list[Received] = [
        (ms, replace(p, extensions=((3, next(each)),) if p.marker else ())) for ms, p in packets
    ]
    track = converted(recorded(tmp_path / "turned.mjr", header, turned), tmp_path)

    turns = [one for one in track.rotations if one.at_ms >= track.first_ms]
    assert len(turns) == track.frames
    for seen, turn in zip(watch(track.path), turns, strict=True):
        assert turn.at_ms <= seen.at_ms < turn.at_ms + 1.01


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"encrypted": True}, "ENCRYPTED_MJR"),
        ({"codec": "h266"}, "UNSUPPORTED_CODEC"),
        ({"kind": mjr.Kind.AUDIO}, "UNSUPPORTED_CODEC"),
        ({"kind": mjr.Kind.DATA, "codec": "text"}, "UNSUPPORTED_CODEC"),
    ],
)
def test_what_nobody_can_read_fails_for_good(
    tmp_path: Path, change: dict[str, str | bool], code: str
) -> None:
    header, packets = received(ALICE)
    source = recorded(tmp_path / "odd.mjr", replace(header, **change), packets)  # type: ignore[arg-type]
    with pytest.raises(JobFailed) as failed:
        convert(source, tmp_path)
    assert (failed.value.code, failed.value.permanent) == (code, True)


@pytest.mark.parametrize("data", [b"RIFF....WAVE", b"MJR00002\0\2{}", bytes(100)])
def test_what_is_no_recording_fails_for_good(tmp_path: Path, data: bytes) -> None:
    source = tmp_path / "bad.mjr"
    source.write_bytes(data)
    with pytest.raises(JobFailed) as failed:
        convert(source, tmp_path)
    error = failed.value
    assert (error.stage, error.code, error.permanent) == ("preprocess", "UNREADABLE_MJR", True)
    assert error.file == "bad.mjr"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mjr")
    with pytest.raises(JobFailed, match="not a regular file"):
        convert(tmp_path / "pipe.mjr", tmp_path)


def test_a_missing_file_may_yet_appear(tmp_path: Path) -> None:
    with pytest.raises(JobFailed) as failed:
        convert(tmp_path / "none.mjr", tmp_path)
    assert (failed.value.code, failed.value.permanent) == ("MISSING_FILE", False)


def test_a_folder_that_cannot_be_written_to_may_be_mended(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(JobFailed) as failed:
        convert(ALICE, tmp_path / "out")
    assert (failed.value.code, failed.value.permanent) == ("IO_ERROR", False)


def test_a_name_taken_by_a_folder_fails_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / ALICE.with_suffix(".webm").name).mkdir()
    with pytest.raises(JobFailed):
        convert(ALICE, tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == [ALICE.with_suffix(".webm").name]


_SMALL_DISK = """
import resource, sys
from pathlib import Path
from sfu_wrapper.adapters.media.preprocess import convert
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
convert(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("source", [ALICE, CAROL, ALICE_AUDIO])
def test_a_file_that_cannot_be_written_to_its_end_fails_and_leaves_nothing_behind(
    tmp_path: Path, source: Path
) -> None:
    command = [sys.executable, "-B", "-c", _SMALL_DISK, str(source), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert (
        "JobFailed: the work on this input exceeds the limit of the length of a file"
        in ended.stderr
    )
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([ALICE, CAROL, ALICE_AUDIO]),
    st.lists(st.tuples(st.integers(0, 8000), st.binary(min_size=1, max_size=40)), max_size=6),
    st.integers(0, 12_000),
)
def test_whatever_is_broken_in_a_file_gives_a_file_or_a_reason(
    source: Path, patches: list[tuple[int, bytes]], length: int
) -> None:
    data = bytearray(source.read_bytes()[:length])
    for at, patch in patches:
        data[at : at + len(patch)] = patch
    with TemporaryDirectory() as folder:
        broken = Path(folder) / "broken.mjr"
        broken.write_bytes(data)
        try:
            track = convert(broken, Path(folder))
        except JobFailed as failed:
            assert failed.permanent  # noqa: PT017 - failing so is one of the right answers
            return
        if isinstance(track, TrackFile):
            with av.open(str(track.path)) as container:
                packets = [packet for packet in container.demux() if packet.size]
            assert len(packets) == track.frames


def test_the_same_recording_gives_the_same_bytes_for_its_owner_alone(tmp_path: Path) -> None:
    first, second = (converted(ALICE, tmp_path / name).path for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_mode & 0o777 == 0o600
    assert converted(ALICE, tmp_path / "a").path == first


def test_a_key_frame_can_be_sought(tmp_path: Path) -> None:
    track = converted(CAROL, tmp_path)
    data = track.path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert track.key_frames_ms == (0, 67)
    with av.open(str(track.path)) as container:
        container.seek(3_000_000)
        packet = next(container.demux(video=0))
    assert packet.is_keyframe
