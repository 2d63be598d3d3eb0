"""A track that changes its payload type or codec in mid-file is used where it can be decoded."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.helpers.drawn import Segment, encode, level, level_at, levels, packets
from tests.helpers.samples import Received

STEP_MS = 100
TYPES = {"vp8": 96, "vp9": 101, "h264": 107, "h265": 108}


def sent(codec: str, from_ms: int, until_ms: int, before: list[Received]) -> list[Received]:
    """The packets of a stretch, whose numbers follow those of the packets before."""
    frames = encode(codec, range(from_ms, until_ms, STEP_MS), rough=2)
    first = 1_000 + len(before)
    return packets(codec, frames, sequence=first, payload_type=TYPES[codec])


def changing(folder: Path, *stretches: tuple[str, int], seconds: float = 6) -> Segment:
    """A call of one camera, of which each stretch has a codec and a begin, ms."""
    received: list[Received] = []
    ends = [*(begin for _, begin in stretches[1:]), round(seconds * 1000)]
    for (codec, begin), end in zip(stretches, ends, strict=True):
        received += sent(codec, begin, end, received)
    call = Segment(folder, seconds)
    call.track(stretches[0][0], received)
    return call


CHANGES = [
    (("vp8", 0), ("h264", 2500)),
    (("h264", 0), ("vp8", 3000)),
    (("vp9", 0), ("vp8", 1200)),
    (("vp8", 0), ("vp9", 4100)),
    (("h264", 0), ("h265", 3000)),
    (("vp8", 0), ("h264", 2000), ("vp8", 4000)),
]


@pytest.mark.parametrize("stretches", CHANGES)
def test_a_merged_video_shows_all_stretches(
    tmp_path: Path, stretches: tuple[tuple[str, int], ...]
) -> None:
    done = changing(tmp_path, *stretches).process()

    shown = levels(done.video())
    for at_ms in range(330, 6000, 250):
        assert level_at(shown, at_ms / 1000) == pytest.approx(level(at_ms / 1000), abs=4)
    for _, begin in stretches[1:]:
        assert f" {begin / 1000:.1f} s in" in done.notes
    assert len(done.processed.warnings) == len(stretches) - 1
    sync = done.processed.sync
    assert sum(one.used_ms or 0 for one in sync) >= 0.95 * sum(one.media_ms or 0 for one in sync)


@pytest.mark.parametrize("stretches", CHANGES)
def test_a_split_recording_has_a_file_for_each_stretch(
    tmp_path: Path, stretches: tuple[tuple[str, int], ...]
) -> None:
    done = changing(tmp_path, *stretches).process(split=True)

    edges = [*(begin for _, begin in stretches), 6000]
    for number, (begin, end) in enumerate(pairwise(edges)):
        shown = levels(done.video(number))
        times = [round(at_s * 1000) + begin for at_s, _ in shown]
        assert times == pytest.approx(list(range(begin, end, STEP_MS)), abs=1)
        for at_s, seen in shown:
            assert seen == pytest.approx(level(at_s + begin / 1000 + 0.001), abs=4)
    assert sum(one.kind == "video" for one in done.processed.files) == len(stretches)
    assert [one.start_ms for one in done.processed.sync] == pytest.approx(edges[:-1], abs=2)


@pytest.mark.parametrize("codec", ["vp8", "vp9", "h264"])
def test_another_payload_type_of_the_same_codec_changes_nothing(tmp_path: Path, codec: str) -> None:
    received = packets(codec, encode(codec, range(0, 6000, STEP_MS)))
    for ms, packet in received:
        if ms >= 2300:
            object.__setattr__(packet, "payload_type", 120)
    call = Segment(tmp_path, 6)
    call.track(codec, received)

    done = call.process(split=True)

    times = [round(at_s * 1000) for at_s, _ in levels(done.video())]
    assert times == list(range(0, 6000, STEP_MS))
    assert done.processed.warnings == ()


def test_a_codec_that_is_not_known_is_named_and_the_rest_is_used(tmp_path: Path) -> None:
    received = packets("vp8", encode("vp8", range(0, 6000, STEP_MS)))
    for ms, packet in received:
        if ms >= 4000:
            object.__setattr__(packet, "payload_type", 121)
            object.__setattr__(packet, "payload", b"\x07\x00\x01\x02" * 20)
    call = Segment(tmp_path, 6)
    call.track("vp8", received)

    done = call.process()

    assert level_at(levels(done.video()), 3.95) == pytest.approx(level(3), abs=4)
    assert "0.mjr: changes to payload type 121 4.0 s in: left out, unknown codec" in done.notes
    assert "lost" not in done.notes
    (sync,) = done.processed.sync
    assert (sync.used_ms or 0) < 0.8 * (sync.media_ms or 0)
