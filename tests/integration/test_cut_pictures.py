"""Frames that their sender cut, with no number missing, are left out and named as such."""

from pathlib import Path

import av
import numpy as np
import pytest

from tests.helpers.drawn import (
    Segment,
    encode,
    level,
    level_at,
    levels,
    packets,
    process_sample,
    renumbered,
)
from tests.helpers.samples import Received

CODECS = ("vp8", "vp9", "h264")
STEP_MS = 100


def cut(received: list[Received], at_ms: int, keep: int) -> list[Received]:
    """Drop all but the first packets of a frame, and number the rest on."""
    of_it = [one for one in received if one[0] == at_ms]
    assert len(of_it) > keep
    return renumbered([one for one in received if one not in of_it[keep:]])


def cut_call(folder: Path, codec: str, at_ms: int, keep: int) -> Segment:
    """A call of 6 s in which one frame is cut and a key frame follows half a second later."""
    times = range(0, 6000, STEP_MS)
    frames = encode(codec, times, keys_ms=(at_ms + 500,), rough=12)
    call = Segment(folder, 6)
    call.track(codec, cut(packets(codec, frames, mtu=300), at_ms, keep))
    return call


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("at_ms", "keep"), [(2000, 1), (3300, 2), (4000, 3)])
def test_the_frame_before_stays_until_the_key_frame(
    tmp_path: Path, codec: str, at_ms: int, keep: int
) -> None:
    done = cut_call(tmp_path, codec, at_ms, keep).process()

    shown = levels(done.video())
    before = level((at_ms - STEP_MS) / 1000)
    for at_s in (at_ms / 1000 + 0.06, at_ms / 1000 + 0.44):
        assert level_at(shown, at_s) == pytest.approx(before, abs=4)
    assert level_at(shown, 5.5) == pytest.approx(level(5), abs=4)
    assert "1 frame left out, cut by the sender" in done.notes
    assert "lost packets" not in done.notes


@pytest.mark.parametrize("codec", CODECS)
def test_a_split_video_lacks_the_cut_frame_alone(tmp_path: Path, codec: str) -> None:
    done = cut_call(tmp_path, codec, 2500, 1).process(split=True)

    times = [round(at_s * 1000) for at_s, _ in levels(done.video())]
    assert times == pytest.approx([t for t in range(0, 6000, 100) if not 2500 <= t < 3000], abs=1)
    assert "cut by the sender" in done.notes


@pytest.mark.parametrize("codec", CODECS)
def test_a_sender_that_never_marks_a_frame_has_all_of_its_frames_shown(
    tmp_path: Path, codec: str
) -> None:
    received = packets(codec, encode(codec, range(0, 3000, STEP_MS)))
    for _, packet in received:
        object.__setattr__(packet, "marker", False)
    call = Segment(tmp_path, 3)
    call.track(codec, received)

    done = call.process(split=True)

    assert len(levels(done.video())) == 29  # nobody knows if the last one is whole
    assert done.processed.warnings == ()


def test_a_real_browsers_cut_frames_leave_no_green(tmp_path: Path) -> None:
    done = process_sample("cut-pictures", tmp_path)

    with av.open(str(done.video())) as reader:
        shown = [frame.to_ndarray(format="rgb24").astype(int) for frame in reader.decode(video=0)]
    greens = [float(np.mean(rgb[..., 1] - rgb[..., [0, 2]].max(axis=2) > 60)) for rgb in shown]
    assert max(greens) < 0.02
    assert "2 frames left out, cut by the sender" in done.notes
