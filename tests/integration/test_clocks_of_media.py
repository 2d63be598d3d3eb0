"""Clocks and numbers that disagree: each frame shows when it was received, and none is lost."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest

from tests.helpers import merged
from tests.helpers.drawn import Result, Segment, encode, level, levels, packets
from tests.helpers.samples import Received

STEP_MS = 66
FRAME_S = 0.04  # of a merged file
SPLIT = pytest.mark.parametrize("split", [False, True], ids=["merged", "split"])


@cache
def sent(codec: str, seconds: float, *keys_s: float) -> tuple[Received, ...]:
    """Packets of a camera as received, with key frames at these seconds and each fourth."""
    times = range(0, round(seconds * 1000), STEP_MS)
    wanted = [*keys_s, *range(0, round(seconds), 4)]
    keys = [next(at for at in times if at >= key_s * 1000) for key_s in wanted]
    return tuple(packets(codec, encode(codec, times, keys_ms=keys)))


def numbered(received: Sequence[Received], from_ms: int, by: int) -> list[Received]:
    """Return the packets with other numbers from a time on."""
    return [
        (ms, replace(one, sequence=(one.sequence + by) % 65_536) if ms >= from_ms else one)
        for ms, one in received
    ]


def clocked(received: Sequence[Received], from_ms: int, by_ms: float) -> list[Received]:
    """Return the packets with other timestamps from a time on."""
    ticks = round(by_ms * 90)
    return [
        (ms, replace(one, timestamp=(one.timestamp + ticks) % 2**32) if ms >= from_ms else one)
        for ms, one in received
    ]


def wrong(
    result: Result, until_s: float, from_s: float = 0, held: tuple[float, float] = (0, 0)
) -> list[float]:
    """Return the times at which a file does not show the field of that second.

    Args:
        result: the processed segment.
        until_s: end of the media, in seconds of the segment.
        from_s: its begin.
        held: span without frames, in which the one before stays.
    """
    (sync,) = [one for one in result.processed.sync if one.user]
    zero_s = sync.start_ms / 1000 if result.processed.output == "split" else 0.0
    shown = [(at_s + zero_s, seen) for at_s, seen in levels(result.video())]
    return list(_wrong(shown, until_s, from_s, held))


def _wrong(
    shown: Sequence[tuple[float, float]], until_s: float, from_s: float, held: tuple[float, float]
) -> Iterator[float]:
    seen_s = [at_s for at_s, _ in shown]
    if min(seen_s) > from_s + 0.07 or max(seen_s) < until_s - 0.15:
        yield -1.0
    for at_s, seen in shown:
        if held[0] <= at_s < held[1] or not from_s + 0.07 <= at_s < until_s:
            continue
        possible = {level(max(at_s - late_s, 0)) for late_s in (-0.01, 0.05, 0.12)}
        if min(abs(seen - one) for one in possible) > 4:
            yield round(at_s, 3)


class Call:
    """A call whose only camera sends these packets, with a mix of one tone beside it."""

    def __init__(self, folder: Path, codec: str, seconds: float) -> None:
        self.segment = Segment(folder, seconds)
        self.codec, self.seconds = codec, seconds

    def process(self, received: Sequence[Received], *, split: bool) -> Result:
        self.segment.track(self.codec, received)
        self.segment.tone()
        result = self.segment.process(split=split)
        if not split:
            heard = merged.decode_audio(result.video())
            for second in range(int(self.seconds)):
                part = heard[second * 48_000 : (second + 1) * 48_000]
                assert merged.loudness(part, 440) > 0.1
        return result


def row(result: Result) -> tuple[int, int]:
    """Return (packets received, packets lost) of the camera."""
    (sync,) = [one for one in result.processed.sync if one.user]
    return sync.packets_received, sync.packets_lost


@SPLIT
@pytest.mark.parametrize(
    ("codec", "pause_s", "stopped_s"),
    [("vp8", 5, 5), ("vp9", 2, 2), ("h264", 7, 7), ("vp8", 4, 2.5)],
)
def test_a_clock_that_stops_in_a_pause(
    tmp_path: Path, codec: str, pause_s: float, stopped_s: float, split: bool
) -> None:
    """The sender is interrupted after 3 s, and its clock does not go on, or only in part."""
    after_ms = 3_000 + pause_s * 1000
    played = sent(codec, after_ms / 1000 + 4, after_ms / 1000)
    kept = [one for one in played if not 3_000 <= one[0] < after_ms]
    number = {one.sequence: n for n, (_, one) in enumerate(kept)}
    kept = [(ms, replace(one, sequence=number[one.sequence])) for ms, one in kept]
    call = Call(tmp_path, codec, after_ms / 1000 + 4)

    result = call.process(clocked(kept, round(after_ms), -stopped_s * 1000), split=split)

    held = (3.0, after_ms / 1000 + 0.07)
    assert wrong(result, call.seconds, held=held) == []
    assert row(result) == (len(kept), 0)
    assert "1 jump of the timestamps corrected" in result.notes


@SPLIT
@pytest.mark.parametrize(
    ("codec", "leap_ms"),
    [("vp8", 2_500), ("h264", -2_500), ("vp9", -700), ("vp8", 30_000)],
)
def test_a_clock_that_leaps_without_a_pause(
    tmp_path: Path, codec: str, leap_ms: int, split: bool
) -> None:
    call = Call(tmp_path, codec, 8)

    result = call.process(clocked(sent(codec, 8), 4_000, leap_ms), split=split)

    assert wrong(result, 8) == []
    assert "1 jump of the timestamps corrected" in result.notes


@SPLIT
@pytest.mark.parametrize(
    ("codec", "back", "clock_ms"),
    [
        ("vp8", 89, -3_000),
        ("vp8", 30, 987_654),
        ("vp9", 1_500, 0),
        ("h264", 20_000, 0),
    ],
)
def test_numbering_that_restarts(
    tmp_path: Path, codec: str, back: int, clock_ms: int, split: bool
) -> None:
    """A sender begins its numbers again, with timestamps that do too, are others, or go on."""
    received = sent(codec, 8, 3)
    restarted = clocked(numbered(received, 3_000, -back), 3_000, clock_ms)
    call = Call(tmp_path, codec, 8)

    result = call.process(restarted, split=split)

    assert wrong(result, 8) == []
    assert row(result) == (len(received), 0)
    assert "1 restart of the sender" in result.notes
    assert len(levels(result.video())) >= len({one.timestamp for _, one in restarted})


@SPLIT
@pytest.mark.parametrize("codec", ["vp8", "vp9", "h264"])
def test_numbering_that_restarts_between_key_frames_with_a_clock_that_goes_on(
    tmp_path: Path, codec: str, split: bool
) -> None:
    received = sent(codec, 8)
    call = Call(tmp_path, codec, 8)

    result = call.process(numbered(received, 5_000, -60), split=split)

    assert wrong(result, 8) == []
    assert row(result) == (len(received), 0)
    assert "left out" not in result.notes


@SPLIT
@pytest.mark.parametrize(
    ("codec", "jump", "clock_ms"),
    [("vp8", 20_000, 44_388_955), ("vp9", 3_000, 0), ("h264", 40_000, -90_000), ("vp8", 500, 0)],
)
def test_numbers_that_leap_are_no_loss(
    tmp_path: Path, codec: str, jump: int, clock_ms: int, split: bool
) -> None:
    received = sent(codec, 8, 3)
    leapt = clocked(numbered(received, 3_000, jump), 3_000, clock_ms)
    call = Call(tmp_path, codec, 8)

    result = call.process(leapt, split=split)

    assert wrong(result, 8) == []
    assert row(result) == (len(received), 0)
    assert "never came" not in result.notes


@SPLIT
@pytest.mark.parametrize(("codec", "muted_s"), [("vp8", 2), ("vp9", 1.2), ("h264", 4)])
def test_a_mute_by_a_moderator_is_a_pause(
    tmp_path: Path, codec: str, muted_s: float, split: bool
) -> None:
    """The SFU drops what the sender numbers meanwhile; a key frame follows."""
    after_s = 2 + muted_s
    received = sent(codec, 7, after_s)
    kept = [one for one in received if not 2_000 <= one[0] < after_s * 1000]
    call = Call(tmp_path, codec, 7)

    result = call.process(kept, split=split)

    assert wrong(result, 7, held=(2.0, after_s + 0.07)) == []
    assert row(result) == (len(kept), 0)
    assert "never came" not in result.notes


@SPLIT
@pytest.mark.parametrize("ahead_s", [-7_200, -5, 5, 15])
def test_an_sfu_whose_clock_is_off_and_a_camera_that_really_starts_late(
    tmp_path: Path, ahead_s: float, split: bool
) -> None:
    segment = Segment(tmp_path, 8)
    received = sent("vp8", 8)
    segment.track("vp8", received, ahead_s=ahead_s)
    late = [(ms - 3_000, one) for ms, one in sent("h264", 8, 3) if ms >= 3_000]
    segment.track("h264", late, user="bob", ahead_s=ahead_s, late_s=3)
    segment.tone()

    result = segment.process(split=split)

    rows = {str(one.user): one for one in result.processed.sync if one.user}
    assert abs(rows["alice"].start_ms) < 45
    assert abs(rows["bob"].start_ms - 3_000) < 110
    assert f"its clock differs by {ahead_s:.3f} s" in result.notes
    if split:
        assert _shown_by(result, 0, rows["alice"].start_ms) == []
        assert _shown_by(result, 1, rows["bob"].start_ms) == []
    else:
        assert wrong_tiles(result.video()) == []


def _shown_by(result: Result, number: int, start_ms: int) -> list[float]:
    shown = [(at + start_ms / 1000, seen) for at, seen in levels(result.video(number))]
    return list(_wrong(shown, 8, start_ms / 1000, (0, 0)))


def wrong_tiles(file: Path) -> list[float]:
    """Return when alice on the left, or bob on the right from 3 s on, is not what it should be."""
    found = []
    with av.open(str(file)) as reader:
        for frame in reader.decode(video=0):
            at_s = float(frame.time or 0)
            luma = np.asarray(frame.to_ndarray())[: frame.height]
            if 0.07 < at_s < 2.95:
                tiles = [luma[200:280, 280:360]]
            elif 3.15 < at_s < 7.9:
                tiles = [luma[200:280, 140:180], luma[200:280, 460:500]]
            else:
                continue
            possible = {level(at_s - late_s) for late_s in (-0.01, 0.05, 0.12)}
            if any(min(abs(tile.mean() - one) for one in possible) > 4 for tile in tiles):
                found.append(round(at_s, 2))
    return found
