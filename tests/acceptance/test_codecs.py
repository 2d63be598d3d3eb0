"""Every video codec that people send is seen in the merged file, and in a file of its own.

Senders lose packets, cut frames into fragments and several slices, and change their size.
"""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from sfu_wrapper.adapters.simulated.pattern import StripData, read
from sfu_wrapper.model.codecs import VIDEO_INPUT
from tests.helpers.oracle import assert_true_to_script, judge
from tests.helpers.staged import MixRole, Role, Staged, merged, processed, stage

pytestmark = pytest.mark.timeout(150)

CODECS = tuple(VIDEO_INPUT)
TOLERANCE_MS = 2


def call_of(folder: Path, codec: str) -> Staged:
    roles = [
        Role("alice", 0, 6, codec=codec, fps=15, loss=0.03, key_every_s=0.4, wraps=True),
        Role("bob", 1, 5, codec=codec, widths=((0, 640), (2, 320))),
        Role("carol", 2, 6),
    ]
    return stage(folder, 6.0, roles, MixRole(0.0, 6.0))


def shown(path: Path) -> list[tuple[float, StripData | None]]:
    """Of each frame of a file: its time in ms, and what it says."""
    with av.open(path) as container:
        return [
            (float(frame.pts * Fraction(frame.time_base)) * 1000, read(luma(frame)))
            for frame in container.decode(video=0)
            if frame.pts is not None and frame.time_base is not None
        ]


def luma(frame: av.VideoFrame) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.asarray(frame.reformat(format="gray").to_ndarray(), np.uint8)


@pytest.mark.parametrize("codec", CODECS)
async def test_a_merged_file_shows_everybody_at_their_times(tmp_path: Path, codec: str) -> None:
    call = call_of(tmp_path, codec)
    assert call.tracks[0].lost > 0

    verdict = judge(await merged(call), call)

    assert_true_to_script(verdict)
    assert verdict.most == 3


@pytest.mark.parametrize("codec", CODECS)
async def test_a_split_file_shows_every_frame_at_its_time(tmp_path: Path, codec: str) -> None:
    call = call_of(tmp_path, codec)
    told, folder = await processed(call, split=True)

    assert all(text.startswith("0-alice") for text in told.warnings)
    for track in call.tracks:
        suffix = VIDEO_INPUT[track.role.codec].suffixes[0]
        (path,) = folder.glob(f"*-{track.role.user}-1{suffix}")
        seen = shown(path)
        clocks = [says.clock_ms for _, says in seen if says]
        assert clocks == [ms for ms in track.shown_ms if ms in set(clocks)]
        assert len(clocks) > 0.95 * len(track.shown_ms)
        assert {says.name for _, says in seen if says} == {track.role.user}
        begin_ms = track.shown_ms[0]
        assert [at_ms for at_ms, says in seen if says] == pytest.approx(
            [clock_ms - begin_ms for clock_ms in clocks], abs=TOLERANCE_MS
        )


async def test_h265_is_named_in_mp4_as_all_players_know_it(tmp_path: Path) -> None:
    call = stage(tmp_path, 2.0, [Role("alice", 0, 2, codec="h265")])
    _, folder = await processed(call, split=True)

    (path,) = folder.glob("*.mp4")
    with av.open(path) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"
