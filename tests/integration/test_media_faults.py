"""Media tools when things go wrong: processes that die, results that are not as they should be."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from weakref import ref

import av
import numpy as np
import pytest

from sfu_wrapper.adapters.media import tools
from sfu_wrapper.adapters.media.audio import audio_us, timeline, write_audio
from sfu_wrapper.adapters.media.demux import prefetch
from sfu_wrapper.adapters.media.encoder import AUDIO_RATE, FRAME_TIME_BASE, MergedWriter
from sfu_wrapper.adapters.media.frames import Canvas
from sfu_wrapper.adapters.media.mux import copy_video, write_video
from sfu_wrapper.adapters.media.preprocess import preprocess
from sfu_wrapper.adapters.media.tools import MediaProcesses
from sfu_wrapper.adapters.media.verify import Expected, verify
from sfu_wrapper.core.plan import AudioSource
from sfu_wrapper.formats import wav
from sfu_wrapper.formats.assemble import TimedFrame
from sfu_wrapper.formats.frame import CodedFrame
from sfu_wrapper.model.codecs import VIDEO_INPUT
from sfu_wrapper.model.errors import JobFailed, Malformed, Stage
from tests.helpers.forks import server_of
from tests.helpers.shared_media import shared_media

SAMPLES = Path(__file__).parents[1] / "samples"
BOB = next((SAMPLES / "seg-1").glob("*bob*video*.mjr"))
MIX = SAMPLES / "seg-1" / "mix.wav"


@pytest.fixture(scope="module")
def bob(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prepared = preprocess(BOB, tmp_path_factory.mktemp("bob"))
    assert prepared is not None
    return prepared.path


AS_BOB = Expected(5_266_000, 100_000, "vp8", None)


def test_a_good_file_passes(bob: Path) -> None:
    verify(Stage.SPLIT, bob, AS_BOB)


@pytest.mark.parametrize(
    ("expected", "complaint"),
    [
        (Expected(6_000_000, 100_000, "vp8", None), "lasts 5.266 s instead of 6.000 s"),
        (Expected(5_266_000, 100_000, "vp9", None), "holds video"),
        (Expected(5_266_000, 100_000, "vp8", "opus"), "holds audio"),
        (Expected(5_266_000, 100_000, None, None), "expected None"),
    ],
)
def test_a_file_of_the_wrong_kind_or_length_does_not(
    bob: Path, expected: Expected, complaint: str
) -> None:
    with pytest.raises(JobFailed, match=complaint) as caught:
        verify(Stage.COMPOSE, bob, expected)

    assert (caught.value.stage, caught.value.code) == ("compose", "BAD_RESULT")


@pytest.mark.parametrize(("coded", "seconds"), [(25, 2), (50, 1)])
def test_a_file_whose_audio_or_video_ends_early_does_not(
    tmp_path: Path, coded: int, seconds: int
) -> None:
    file = tmp_path / "merged.webm"
    canvas = Canvas(640, 480)
    with MergedWriter(file, "vp8", 225_000, audio=True, chapters=()) as writer:
        for number in range(coded):
            writer.add_frame(canvas.frame(number, FRAME_TIME_BASE))
        for _ in range(seconds):
            writer.add_audio(np.zeros(AUDIO_RATE, np.int16))

    with pytest.raises(JobFailed, match=r"that lasts 1\.\d+ s instead of 2\.000 s"):
        verify(Stage.COMPOSE, file, Expected(2_000_000, 100_000, "vp8", "opus"))


def test_a_cut_file_does_not(bob: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.webm"
    cut.write_bytes(bob.read_bytes()[:9000])

    with pytest.raises(JobFailed):
        verify(Stage.SPLIT, cut, AS_BOB)


@pytest.mark.parametrize("content", [b"", b"no media at all"])
def test_what_is_no_media_does_not(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.webm"
    file.write_bytes(content)

    with pytest.raises(JobFailed, match="cannot be read back"):
        verify(Stage.SPLIT, file, AS_BOB)


@pytest.mark.parametrize("copied", [False, True])
def test_frames_that_cannot_be_decoded_do_not(bob: Path, tmp_path: Path, copied: bool) -> None:
    spoilt = bytearray(bob.read_bytes())
    at = spoilt.find(b"\x9d\x01\x2a")  # the start code of each VP8 key frame
    while at > 0:
        spoilt[at - 3 : at + 40] = b"\xff" * 43
        at = spoilt.find(b"\x9d\x01\x2a")
    file = tmp_path / "spoilt.webm"
    file.write_bytes(spoilt)

    with pytest.raises(JobFailed):
        verify(Stage.SPLIT, file, Expected(5_266_000, 100_000, "vp8", None, copied=copied))


@pytest.mark.parametrize(
    "work",
    [
        "import os; os.abort()",
        "raise SystemExit(3)",
        "print('junk')",
        'print(\'{"result": {"path": 1}}\')',
        "print('{\"result\": [1]}')",
        "print('x' * (2 << 20))",
    ],
)
async def test_a_media_process_that_dies_or_babbles_is_a_failure_worth_another_try(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, work: str
) -> None:
    monkeypatch.setattr(tools, "_COMMAND", server_of(work))

    with MediaProcesses() as media, pytest.raises(JobFailed) as caught:
        await media.preprocess(BOB, tmp_path, timeout_s=20)

    assert (caught.value.stage, caught.value.code) == ("preprocess", "MEDIA_CRASH")
    assert not caught.value.permanent


async def test_a_file_that_is_no_recording_fails_for_good(tmp_path: Path) -> None:
    file = tmp_path / "a.mjr"
    file.write_bytes(b"something else entirely")

    with shared_media() as media, pytest.raises(JobFailed) as caught:
        await media.preprocess(file, tmp_path, timeout_s=20)

    assert (caught.value.code, caught.value.permanent) == ("UNREADABLE_MJR", True)


async def test_an_empty_recording_holds_no_frame(tmp_path: Path) -> None:
    with shared_media() as media:
        for name in ("empty.mjr", "magic-only.mjr"):
            assert await media.preprocess(SAMPLES / name, tmp_path, timeout_s=20) is None


async def test_a_mix_that_is_no_wav_is_refused_for_good(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(b"something else entirely")

    with shared_media() as media, pytest.raises(JobFailed) as caught:
        await media.audio_us(file, timeout_s=20)

    assert (caught.value.code, caught.value.permanent) == ("UNREADABLE_INPUT", True)


@pytest.mark.parametrize("size", [0, 20, 44])
def test_a_mix_cut_before_its_first_sample_holds_none(tmp_path: Path, size: int) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(MIX.read_bytes()[:size])

    assert not audio_us(file)
    assert not size or not any(
        block.any() for block in timeline([AudioSource(str(file), 0)], 10, 8000)
    )


def test_a_mix_in_a_format_that_we_do_not_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(wav.header(36, rate=8000, channels=9, bits=16) + bytes(36))

    with pytest.raises(Malformed, match="9 x 16 bits"):
        audio_us(file)


def test_an_odd_number_of_samples_ends_on_an_even_byte(tmp_path: Path) -> None:
    target = tmp_path / "out.wav"

    write_audio([AudioSource(str(MIX), 0)], 187_437, target)

    parsed = wav.parse(target.read_bytes())
    assert parsed is not None
    assert parsed.data_bytes % 2 == 1
    assert target.stat().st_size % 2 == 0


def test_a_copy_has_the_same_packets(bob: Path, tmp_path: Path) -> None:
    copy_video(bob, tmp_path / "copy.webm", VIDEO_INPUT["vp8"])

    verify(Stage.SPLIT, tmp_path / "copy.webm", AS_BOB)


def copied_ms(folder: Path, shown_ms: list[int], pace: float) -> list[float]:
    """When the copy's frames are shown, of a file whose frames come at these times."""
    source, target = folder / "in.webm", folder / "out.webm"
    coded = (CodedFrame(b"%d" % at_ms, key=at_ms == shown_ms[0]) for at_ms in shown_ms)
    timed_frames = (TimedFrame(at_ms * 90, one) for at_ms, one in zip(shown_ms, coded, strict=True))
    write_video(source, VIDEO_INPUT["vp8"], (32, 32), timed_frames)
    copy_video(source, target, VIDEO_INPUT["vp8"], pace)
    with av.open(str(target)) as reader:
        packets = reader.demux(reader.streams.video[0])
        return [float(p.pts * p.time_base * 1000) for p in packets if p.pts is not None]


def test_a_copy_begins_with_its_first_frame(tmp_path: Path) -> None:
    assert copied_ms(tmp_path, [700, 740, 800], 1) == [0, 40, 100]


def test_a_copy_is_stretched_as_the_senders_clock_was_off(tmp_path: Path) -> None:
    assert copied_ms(tmp_path, [700, 10_700, 1_000_700], 1.0002) == [0, 10_002, 1_000_200]


def test_times_of_a_copy_rise_however_close_its_frames_are(tmp_path: Path) -> None:
    """Of a fast sender a thousand milliseconds become 999."""
    times = copied_ms(tmp_path, list(range(2000)), 0.999)

    assert times == sorted(set(times))
    assert len(times) == 2000


def counted(made: list[int], fail_at: int) -> Iterator[int]:
    for number in range(100):
        if number == fail_at:
            raise ValueError("broken")
        made.append(number)
        yield number


def test_what_is_made_ahead_comes_in_order() -> None:
    with ThreadPoolExecutor(2) as pool:
        assert list(prefetch(counted([], -1), pool, 7)) == list(range(100))


def test_the_first_batch_may_be_of_another_size() -> None:
    made: list[int] = []

    with ThreadPoolExecutor(2) as pool:
        numbers = prefetch(counted(made, -1), pool, 7, 3)
        assert [next(numbers) for _ in range(4)] == list(range(4))

    assert made == list(range(17))


def test_an_error_in_the_making_takes_the_place_of_its_batch() -> None:
    got: list[int] = []

    with ThreadPoolExecutor(2) as pool, pytest.raises(ValueError, match="broken"):
        got.extend(prefetch(counted([], 50), pool, 7))

    assert got == list(range(49))


def test_no_more_than_one_batch_is_made_ahead() -> None:
    made: list[int] = []

    with ThreadPoolExecutor(2) as pool:
        numbers = prefetch(counted(made, -1), pool, 7)
        assert [next(numbers) for _ in range(8)] == list(range(8))

    assert made == list(range(21))  # the third batch, while the second is handed out


def test_what_has_been_handed_out_is_not_kept_though_nobody_asks_for_more() -> None:
    """Nobody asks for what follows a track's last frame once it has left."""
    made = [np.zeros(1) for _ in range(7)]
    alive = [ref(one) for one in made]
    coded = (made.pop(0) for _ in range(7))

    with ThreadPoolExecutor(2) as pool:
        handed_out = prefetch(coded, pool, 7)
        for _ in range(7):
            next(handed_out)

    assert [one() for one in alive] == [None] * 7
