"""Screens that stand still are on screen for as long as they are shared, and nothing is missed."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from sfu_wrapper.core.plan import grid
from sfu_wrapper.model.media import Stream
from tests.helpers.drawn import (
    Segment,
    encode,
    level,
    level_at,
    levels,
    packets,
    process_sample,
)

CODECS = ("vp8", "vp9", "h264")


def chapters(path: Path) -> list[str]:
    """The titles of the chapters."""
    with av.open(str(path)) as reader:
        return [chapter["metadata"]["title"] for chapter in reader.chapters()]


def shared(folder: Path, codec: str, times_ms: list[int], seconds: float) -> Segment:
    """A call with one screen of which these frames were sent, published to the end."""
    call = Segment(folder, seconds)
    call.track(codec, packets(codec, encode(codec, times_ms)), stream=Stream.SCREEN)
    return call


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    ("times_ms", "seconds"), [([0, 2000, 9500], 14), ([0, 1000], 12), ([0], 8)]
)
def test_the_last_frame_stays_until_the_next_or_the_end(
    tmp_path: Path, codec: str, times_ms: list[int], seconds: float
) -> None:
    done = shared(tmp_path, codec, times_ms, seconds).process()

    shown = levels(done.video())
    for from_ms, until_ms in zip(times_ms, [*times_ms[1:], seconds * 1000], strict=True):
        for at_ms in (from_ms + 100, (from_ms + until_ms) / 2, until_ms - 80):
            assert level_at(shown, at_ms / 1000) == pytest.approx(level(from_ms / 1000), abs=3)
    assert chapters(done.video()) == ["alice (screen)"]
    assert done.processed.warnings == ()
    assert [one.gaps for one in done.processed.sync] == [0]


@pytest.mark.parametrize("codec", CODECS)
def test_a_split_screen_that_stood_still_has_its_frames_and_no_gap(
    tmp_path: Path, codec: str
) -> None:
    done = shared(tmp_path, codec, [0, 3000, 11_000, 11_500], 20).process(split=True)

    times = [round(at_s * 1000) for at_s, _ in levels(done.video())]
    assert times == [0, 3000, 11_000, 11_500]
    assert done.processed.warnings == ()


def test_a_screen_that_is_no_longer_shared_leaves(tmp_path: Path) -> None:
    call = Segment(tmp_path, 10)
    frames = packets("vp8", encode("vp8", [0, 1000, 2000]))
    call.track("vp8", frames, stream=Stream.SCREEN, stop_s=6)

    shown = levels(call.process().video())

    assert level_at(shown, 5.9) == pytest.approx(level(2), abs=3)
    assert level_at(shown, 6.1) == pytest.approx(16, abs=2)


def test_a_camera_that_sends_nothing_is_black_after_five_seconds(tmp_path: Path) -> None:
    call = Segment(tmp_path, 14)
    call.track("vp8", packets("vp8", encode("vp8", [0, 1000, 9000])))

    done = call.process()

    shown = levels(done.video())
    assert level_at(shown, 5.9) == pytest.approx(level(1), abs=3)
    assert level_at(shown, 6.1) == pytest.approx(16, abs=2)
    assert level_at(shown, 13.9) == pytest.approx(level(9), abs=3)
    assert "nothing came for more than a second, once" in done.notes


@pytest.mark.parametrize("stream", [Stream.CAMERA, Stream.SCREEN])
def test_one_frame_a_second_is_no_gap(tmp_path: Path, stream: Stream) -> None:
    call = Segment(tmp_path, 9.9)
    call.track("vp8", packets("vp8", encode("vp8", range(0, 9500, 1030))), stream=stream)

    done = call.process()

    assert level_at(levels(done.video()), 9.82) == pytest.approx(level(9.27), abs=3)
    assert len(chapters(done.video())) == 1
    assert done.processed.warnings == ()


def test_a_pause_in_which_packets_are_missing_is_a_gap(tmp_path: Path) -> None:
    call = Segment(tmp_path, 8)
    received = packets("vp8", encode("vp8", range(0, 8000, 200), keys_ms=(5000,)))
    kept = [one for one in received if not 2000 <= one[0] < 5000]
    call.track("vp8", kept, stream=Stream.SCREEN)

    done = call.process()

    assert [one.gaps for one in done.processed.sync] == [1]
    assert "nothing came for more than a second, once" in done.notes


def test_a_screen_of_which_nothing_came_at_first_is_noted(tmp_path: Path) -> None:
    call = shared(tmp_path, "vp8", [4100, 6000], 9)
    (screen,) = call.video
    call.video = [replace(screen, started_ms=call.at(4.1))]

    done = call.process()

    shown = levels(done.video())
    assert level_at(shown, 4) == pytest.approx(16, abs=2)
    assert level_at(shown, 8.9) == pytest.approx(level(6), abs=3)
    assert "0.mjr: published, but nothing came for the first 4.1 s" in done.processed.warnings


@pytest.mark.parametrize(
    ("name", "titles", "notes"),
    [
        ("still-tab", ["alice, alice (screen), bob"], 0),
        ("canvas-share", ["alice, bob", "bob shares a screen"], 1),
    ],
)
def test_a_real_browsers_still_screen_is_there_to_the_end(
    tmp_path: Path, name: str, titles: list[str], notes: int
) -> None:
    done = process_sample(name, tmp_path)

    assert chapters(done.video()) == titles
    assert len(done.processed.warnings) == notes
    with av.open(str(done.video())) as reader:
        *_, last = (np.asarray(frame.to_ndarray())[:480] for frame in reader.decode(video=0))
    for tile in grid(3, 640, 480):
        assert last[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width].mean() > 40


def test_the_board_that_was_painted_twice_shows_both_paintings(tmp_path: Path) -> None:
    done = process_sample("canvas-share", tmp_path)

    boards = []
    with av.open(str(done.video())) as reader:
        for frame in reader.decode(video=0):
            tile = np.asarray(frame.to_ndarray())[240:480, 0:320].astype(int)
            boards.append((float(frame.time or 0), tile))
    near = {at: next(tile for at_s, tile in boards if at_s >= at) for at in (2.5, 12.9, 13.5, 18)}
    assert np.abs(near[2.5] - near[12.9]).mean() < 4
    assert np.abs(near[13.5] - near[18]).mean() < 4
    assert np.abs(near[12.9] - near[13.5]).max() > 60
