"""Frames that were sent before others that are shown earlier appear in order, at their times."""

from itertools import pairwise
from pathlib import Path

import av
import pytest

from tests.helpers.drawn import Result, Segment, encode, level, levels, packets

X264 = {"bf": "3", "b_strategy": "0", "sc_threshold": "0"}


def recorded(
    folder: Path, step_ms: int, codec: str, options: dict[str, str], *, delay_ms: int = 0
) -> Segment:
    """A call of 6 s of one camera that sends B-frames."""
    times = range(0, 6000, step_ms)
    frames = encode(codec, times, keys_ms=(3000,), rough=3, options=options)
    sent = [frame.at_ms for frame in frames]
    assert sent != sorted(sent)
    call = Segment(folder, 6)
    call.track(codec, packets(codec, frames, delay_ms=delay_ms))
    return call


def times_ms(done: Result) -> list[int]:
    return [round(at_s * 1000) for at_s, _ in levels(done.video())]


VARIANTS = [
    (40, "h264", X264),
    (33, "h264", {**X264, "bf": "1"}),
    (50, "h264", {**X264, "bf": "5", "b_pyramid": "normal", "refs": "5"}),
    (100, "h264", {**X264, "b_strategy": "2"}),  # as many as these fields allow
    (40, "h265", {"x265-params": "bframes=3:b-adapt=0:repeat-headers=1:log-level=none"}),
]


@pytest.mark.parametrize(("step_ms", "codec", "options"), VARIANTS)
def test_a_split_video_has_every_frame_at_its_time(
    tmp_path: Path, step_ms: int, codec: str, options: dict[str, str]
) -> None:
    done = recorded(tmp_path, step_ms, codec, options).process(split=True)

    shown = levels(done.video())
    assert [round(at_s * 1000) for at_s, _ in shown] == pytest.approx(
        list(range(0, 6000, step_ms)), abs=1
    )
    assert all(abs(seen - level(at_s + 0.001)) < 4.5 for at_s, seen in shown)
    assert done.processed.warnings == ()


@pytest.mark.parametrize(("step_ms", "codec", "options"), VARIANTS)
def test_a_merged_video_shows_them_in_order_and_evenly(
    tmp_path: Path, step_ms: int, codec: str, options: dict[str, str]
) -> None:
    done = recorded(tmp_path, step_ms, codec, options).process()

    shown = levels(done.video())
    wrong = [(at_s, seen) for at_s, seen in shown if abs(seen - level(at_s - step_ms / 1000)) > 4.5]
    assert [at_s for at_s, seen in wrong if abs(seen - level(at_s + 0.021)) > 4.5] == []
    assert all(later[1] > earlier[1] - 3 for earlier, later in pairwise(shown))
    assert done.processed.warnings == ()


def test_frames_are_decoded_before_they_are_shown_and_the_key_frames_can_be_sought(
    tmp_path: Path,
) -> None:
    done = recorded(tmp_path, 40, "h264", X264).process(split=True)

    with av.open(str(done.video())) as reader:
        found = [
            (p.dts, p.pts) for p in reader.demux(video=0) if p.pts is not None and p.dts is not None
        ]
        reader.seek(4_000_000)
        first = next(reader.decode(video=0))
    assert all(decoded <= shown for decoded, shown in found)
    assert [decoded for decoded, _ in found] == sorted({decoded for decoded, _ in found})
    assert round(float(first.time or 0), 2) == 3.0


def test_frames_that_come_late_because_others_were_sent_before_do_not_move_the_video(
    tmp_path: Path,
) -> None:
    call = recorded(tmp_path, 40, "h264", X264, delay_ms=80)

    shown = levels(call.process().video())

    change = next(at_s for at_s, seen in shown if seen > level(2) - 5)
    assert change == pytest.approx(2.0, abs=0.13)


def test_lost_packets_of_them_leave_a_hole_up_to_the_key_frame(tmp_path: Path) -> None:
    frames = encode("h264", range(0, 6000, 40), keys_ms=(3000,), rough=3, options=X264)
    received = packets("h264", frames)
    lost = next(index for index, (ms, _) in enumerate(received) if ms >= 2400)
    call = Segment(tmp_path, 6)
    call.track("h264", received[:lost] + received[lost + 1 :])

    done = call.process(split=True)

    times = times_ms(done)
    assert times == sorted(times)
    assert set(range(3000, 6000, 40)) <= set(times)
    assert not [ms for ms in times if 2560 < ms < 3000]
