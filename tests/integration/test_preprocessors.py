"""Both preprocessors over the same recordings, real and damaged: where they agree, and where not.

Ours is what the other is held to: ``janus-pp-rec`` says nothing of what it leaves out or makes up.
"""

import asyncio
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import av
import pytest

from sfu_wrapper.adapters.media import janus_pp_rec
from sfu_wrapper.adapters.media.demux import reading
from sfu_wrapper.adapters.media.mux import copy_video
from sfu_wrapper.adapters.media.preprocess import preprocess
from sfu_wrapper.adapters.media.tools import MediaProcesses
from sfu_wrapper.app.worker import require_preprocessor
from sfu_wrapper.cli.doctor.settings import check_runtime
from sfu_wrapper.config.processing import Recording
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.formats import mjr, rtp
from sfu_wrapper.model.codecs import VIDEO_INPUT
from sfu_wrapper.model.errors import JobFailed, Misconfigured
from sfu_wrapper.ports.media_tools import PreparedVideo
from tests.helpers.packetizers import av1_payloads, av1_units, h265_payloads
from tests.helpers.processes import is_running
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
)
from tests.helpers.senders import FRAMES, NAMES, Cut, sent

pytestmark = pytest.mark.system

Preprocess = Callable[[Path, Path], PreparedVideo | None]
PREPROCESSORS: dict[str, Preprocess] = {
    "builtin": preprocess,
    janus_pp_rec.PROGRAM: janus_pp_rec.preprocess,
}
SECOND = 90_000

both = pytest.mark.parametrize("run", PREPROCESSORS.values(), ids=PREPROCESSORS)


def late(packet: rtp.Packet, seconds: int) -> rtp.Packet:
    return replace(packet, timestamp=(packet.timestamp + seconds * SECOND) % 2**32)


def wrapped(packets: list[Received]) -> list[Received]:
    numbers, times = 65_500 - packets[0][1].sequence, 2**32 - 9000 - packets[0][1].timestamp
    return [
        (ms, replace(p, sequence=(p.sequence + numbers) % 2**16,
                     timestamp=(p.timestamp + times) % 2**32))
        for ms, p in packets
    ]  # fmt: skip


def shuffled(packets: list[Received]) -> list[Received]:
    mixed = list(packets)
    for index in range(5, len(mixed) - 5, 7):
        mixed[index], mixed[index + 3] = mixed[index + 3], mixed[index]
        mixed.insert(index, mixed[index - 2])
    return mixed


def silent(packets: list[Received]) -> list[Received]:
    """Nothing for eight seconds."""
    return [(ms, p) if n < 50 else (ms + 8000, late(p, 8)) for n, (ms, p) in enumerate(packets)]


def headless(packets: list[Received]) -> list[Received]:
    """A second and more of frames that refer to one that was never recorded, then all of it."""
    begin_ms = packets[1][0]
    orphans = [
        (ms - begin_ms, replace(p, sequence=(p.sequence - 31) % 2**16)) for ms, p in packets[1:31]
    ]
    return orphans + [(ms + 3000 - begin_ms, late(p, 3)) for ms, p in packets]


def jumping(packets: list[Received]) -> list[Received]:
    """The sender's clock jumps by 40,000 s."""
    return [(ms, p) if n < 50 else (ms, late(p, 40_000)) for n, (ms, p) in enumerate(packets)]


def damaged(tmp_path: Path, how: Callable[[list[Received]], list[Received]]) -> Path:
    header, packets = received(ALICE)
    return recorded(tmp_path / f"{how.__name__}.mjr", header, how(packets))


def with_garbage(tmp_path: Path, at: int) -> Path:
    """Bytes that are nobody's, before that packet."""
    header, packets = received(ALICE)
    frames = [mjr.encode_frame(ms, rtp.encode(packet)) for ms, packet in packets]
    file = tmp_path / "garbage.mjr"
    garbage = random.Random(7).randbytes(200).replace(b"MEET", b"----")  # noqa: S311 - the same
    parts = (mjr.encode_header(header), *frames[:at], garbage, *frames[at:])
    file.write_bytes(b"".join(parts))
    return file


def decoded(path: Path) -> list[tuple[int, int]]:
    """Of every frame that can be decoded, when it shows in ms, and what it looks like."""
    found = []
    with reading(path) as container:
        for packet in container.demux(video=0):
            with suppress(av.error.InvalidDataError):
                for frame in packet.decode():
                    assert isinstance(frame, av.VideoFrame)
                    assert frame.time is not None
                    found.append((round(frame.time * 1000), hash(frame.to_ndarray().tobytes())))
    return found


def made(run: Preprocess, source: Path, target_dir: Path) -> PreparedVideo:
    found = run(source, target_dir)
    assert found is not None
    return found


def compare(source: Path, tmp_path: Path) -> tuple[PreparedVideo, PreparedVideo]:
    """What both make of it, which must look the same at the same times, and be told the same."""
    ours = made(preprocess, source, tmp_path / "ours")
    theirs = made(janus_pp_rec.preprocess, source, tmp_path / "theirs")
    shown, alike = decoded(ours.path), decoded(theirs.path)
    assert [look for _, look in shown] == [look for _, look in alike]
    assert max(abs(a - b) for (a, _), (b, _) in zip(shown, alike, strict=True)) <= 1
    assert max(abs(ours.first_us - theirs.first_us), abs(ours.end_us - theirs.end_us)) <= 1000
    same = {"path": theirs.path, "first_us": theirs.first_us, "end_us": theirs.end_us}
    assert replace(ours, notes=theirs.notes, **same) == theirs  # type: ignore[arg-type]  # mixed
    return ours, theirs


REAL = [ALICE, BOB, CAROL, CHROMIUM_VP8, CHROMIUM_H264, CRASH_VP8, CRASH_H264,
        SAMPLES / "truncated-9000-bytes.mjr"]  # fmt: skip


@pytest.mark.parametrize("source", REAL, ids=lambda path: path.stem[-30:])
def test_of_a_real_recording_both_make_the_same(tmp_path: Path, source: Path) -> None:
    ours, theirs = compare(source, tmp_path)

    assert ours.path.name == theirs.path.name
    assert ours.notes == theirs.notes
    assert [path.name for path in theirs.path.parent.iterdir()] == [theirs.path.name]
    assert theirs.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("how", [wrapped, shuffled, silent])
def test_of_what_a_network_does_both_make_the_same(
    tmp_path: Path, how: Callable[[list[Received]], list[Received]]
) -> None:
    ours, theirs = compare(damaged(tmp_path, how), tmp_path)

    assert ours.notes == theirs.notes
    assert ours.gaps == (1 if how is silent else 0)


def test_garbage_at_the_end_is_left_out_by_both(tmp_path: Path) -> None:
    _, packets = received(ALICE)

    compare(with_garbage(tmp_path, len(packets)), tmp_path)


def test_what_comes_before_the_first_key_frame_shows_in_neither(tmp_path: Path) -> None:
    source = damaged(tmp_path, headless)
    ours, theirs = (made(run, source, tmp_path / name) for name, run in PREPROCESSORS.items())

    assert abs(ours.first_us - theirs.first_us) <= 10_000  # ours follows the recorder's clock too
    assert ours.first_us in range(2_900_000, 3_100_000)
    assert [look for _, look in decoded(ours.path)] == [look for _, look in decoded(theirs.path)]


def av1_counted(data: bytes, _number: int, key: bool) -> list[bytes]:
    return av1_payloads(av1_units(data), key=key)


def av1_sized(data: bytes, _number: int, key: bool) -> list[bytes]:
    return av1_payloads(av1_units(data), key=key, counted=False)


def h265_single(data: bytes, _number: int, _key: bool) -> list[bytes]:
    return h265_payloads(data)


def h265_shared(data: bytes, _number: int, _key: bool) -> list[bytes]:
    return h265_payloads(data, aggregate=True)


def published(tmp_path: Path, encoder: str, cut: Cut) -> Path:
    header = mjr.Header(mjr.Kind.VIDEO, NAMES[encoder], 1, 2)
    return recorded(tmp_path / "made.mjr", header, sent(encoder, cut=cut))


def test_of_av1_both_make_the_same(tmp_path: Path) -> None:
    _, theirs = compare(published(tmp_path, "libsvtav1", av1_counted), tmp_path)
    copy = tmp_path / "copy.mp4"
    copy_video(theirs.path, copy, VIDEO_INPUT["av1"])

    assert theirs.path.suffix == ".mp4"
    assert decoded(copy) == decoded(theirs.path)


@both
@pytest.mark.parametrize("name", ["empty.mjr", "magic-only.mjr"])
def test_where_nothing_is_recorded_neither_makes_anything(
    tmp_path: Path, run: Preprocess, name: str
) -> None:
    assert run(SAMPLES / name, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@both
def test_where_no_frame_can_be_shown_neither_makes_anything(
    tmp_path: Path, run: Preprocess
) -> None:
    header, packets = received(ALICE)

    assert run(recorded(tmp_path / "delta.mjr", header, packets[1:]), tmp_path / "out") is None
    assert run(recorded(tmp_path / "none.mjr", header, []), tmp_path / "out") is None
    assert list((tmp_path / "out").iterdir()) == []


@both
def test_of_a_recording_of_audio_neither_makes_a_video(tmp_path: Path, run: Preprocess) -> None:
    assert run(ALICE_AUDIO, tmp_path) is None


def fails(run: Preprocess, source: Path, target_dir: Path) -> JobFailed:
    with pytest.raises(JobFailed) as caught:
        run(source, target_dir)
    assert caught.value.stage == "preprocess"
    assert not target_dir.exists() or not list(target_dir.iterdir())
    return caught.value


@both
def test_what_nobody_can_read_both_refuse_for_good(tmp_path: Path, run: Preprocess) -> None:
    header, packets = received(ALICE)
    other = recorded(tmp_path / "other.mjr", replace(header, codec="h266"), packets)
    sealed = recorded(tmp_path / "e2e.mjr", replace(header, encrypted=True), packets)
    junk = tmp_path / "junk.mjr"
    junk.write_bytes(b"ffconcat version 1.0\nfile /etc/passwd\n")

    failures = [fails(run, source, tmp_path / "out") for source in (other, sealed, junk)]

    assert [failure.code for failure in failures] == [
        "UNSUPPORTED_CODEC", "ENCRYPTED_MJR", "UNREADABLE_MJR",
    ]  # fmt: skip
    assert all(failure.permanent for failure in failures)


@both
def test_a_missing_file_may_yet_appear_for_both(tmp_path: Path, run: Preprocess) -> None:
    failure = fails(run, tmp_path / "gone.mjr", tmp_path / "out")

    assert (failure.code, failure.permanent) == ("MISSING_FILE", False)


# Where janus-pp-rec differs: what it makes is worse, and it is told.


def test_of_lost_packets_theirs_shows_damaged_frames_and_says_so(tmp_path: Path) -> None:
    header, packets = received(CHROMIUM_VP8)
    within = next(n for n in range(90, 180) if not packets[n - 1][1].marker)
    source = recorded(tmp_path / "lossy.mjr", header, packets[:within] + packets[within + 1 :])
    ours, theirs = (made(run, source, tmp_path / name) for name, run in PREPROCESSORS.items())

    assert ours.packets_lost == theirs.packets_lost == 1
    assert len(decoded(ours.path)) == 29  # no key frame comes after it
    assert len(decoded(theirs.path)) == 60
    assert "janus-pp-rec wrote 60 frames, the recording holds 29" in theirs.notes


def test_after_garbage_theirs_reads_no_further_and_says_so(tmp_path: Path) -> None:
    source = with_garbage(tmp_path, 50)
    ours, theirs = (made(run, source, tmp_path / name) for name, run in PREPROCESSORS.items())

    assert len(decoded(ours.path)) == 109
    assert len(decoded(theirs.path)) == 50
    assert "janus-pp-rec left out the last 3.9" in " ".join(theirs.notes)


def test_a_jump_of_the_clock_is_nothing_that_theirs_can_be_trusted_with(tmp_path: Path) -> None:
    failure = fails(janus_pp_rec.preprocess, damaged(tmp_path, jumping), tmp_path / "out")

    assert failure.code == "PREPROCESSOR_FAILED"
    assert "instead of 7.2" in failure.detail
    assert "preprocessor = builtin" in failure.detail


@pytest.mark.parametrize(
    ("encoder", "cut"),
    [("libsvtav1", av1_sized), ("libx265", h265_single), ("libx265", h265_shared)],
)
def test_a_file_of_theirs_that_lacks_bytes_or_cannot_be_read_is_a_failure(
    tmp_path: Path, encoder: str, cut: Cut
) -> None:
    source = published(tmp_path, encoder, cut)
    failure = fails(janus_pp_rec.preprocess, source, tmp_path / "out")

    assert (failure.code, failure.permanent) == ("PREPROCESSOR_FAILED", False)
    assert "preprocessor = builtin" in failure.detail
    assert len(decoded(made(preprocess, source, tmp_path / "ours").path)) == FRAMES


# What a program may do instead of its work.


def stub(tmp_path: Path, script: str) -> str:
    """A program that does that; $# - 1 is the recording, the last argument the file to write."""
    program = tmp_path / "janus-pp-rec"
    program.write_text(f"#!/bin/bash\nout=${{@: -1}}\nin=${{@: -2:1}}\n{script}\n")
    program.chmod(0o700)
    return str(program)


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("exit 0", "wrote no frame"),
        ("echo first; echo 'what went wrong'; exit 1", "what went wrong"),
        ("kill -9 $$", "wrote no frame"),
        ('rm "$out"', "No such file"),
        ('echo "ffconcat version 1.0" > "$out"; echo "file /etc/passwd" >> "$out"', "Invalid data"),
        ('head -c 3000 /dev/urandom > "$out"', "Invalid data"),
    ],
)
def test_a_program_that_does_not_do_its_work_fails_whatever_it_returns(
    tmp_path: Path, script: str, complaint: str
) -> None:
    program = stub(tmp_path, script)

    failure = fails(lambda a, b: janus_pp_rec.preprocess(a, b, program), ALICE, tmp_path / "out")

    assert complaint in failure.detail
    assert not failure.permanent


async def test_a_program_that_hangs_is_ended_with_everything_it_started(tmp_path: Path) -> None:
    program = stub(tmp_path, f'sleep 60 & echo $! > "{tmp_path}/out/pid"; wait')

    pid = tmp_path / "out" / "pid"
    for timeout_s in (2, 5, 20):  # before it the program may not have begun
        with MediaProcesses(program) as media, pytest.raises(JobFailed) as caught:
            await media.preprocess(ALICE, tmp_path / "out", timeout_s=timeout_s)
        assert caught.value.code == "TIMEOUT"
        if pid.exists() and pid.read_text().strip():
            break

    sleeping = int(pid.read_text())
    async with asyncio.timeout(20):
        while is_running(sleeping):  # noqa: ASYNC110 not ours to wait for
            await asyncio.sleep(0.02)


async def test_a_program_that_works_is_used_as_ours_would_be(tmp_path: Path) -> None:
    found = shutil.which(janus_pp_rec.PROGRAM)
    assert found is not None
    program = stub(tmp_path, f'touch "{tmp_path}/out/used"; exec {found} "$@"')

    with MediaProcesses(program) as media:
        made = await media.preprocess(CAROL, tmp_path / "out", timeout_s=20)

    assert made is not None
    assert (tmp_path / "out" / "used").exists()
    assert made.codec == "h264"


def test_without_the_program_it_fails_for_good(tmp_path: Path) -> None:
    failure = fails(
        lambda a, b: janus_pp_rec.preprocess(a, b, "no-such-program"), ALICE, tmp_path / "out"
    )

    assert (failure.code, failure.permanent) == ("NO_PREPROCESSOR", True)


def test_nothing_begins_without_the_program_that_is_configured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    require_preprocessor(Recording(preprocessor="builtin"))

    with pytest.raises(Misconfigured, match="janus-pp-rec is not installed"):
        require_preprocessor(Recording(preprocessor="janus-pp-rec"))


async def test_doctor_looks_for_the_program_that_is_configured() -> None:
    settings = Settings(recording=Recording(preprocessor="janus-pp-rec"))

    said = [finding.text async for finding in check_runtime(settings)]

    assert f"janus-pp-rec: {shutil.which('janus-pp-rec')}" in said
