"""What a merged file says by itself: who is on screen when, how fresh, in time with the audio?

Calls are staged to the frame and to the second (``helpers.staged``); the oracle
(``helpers.oracle``) knows nothing but the script and the file. A minute of media in all; an hour of
it is in ``tests/soak``.
"""

from pathlib import Path
from statistics import median

import pytest

from sfu_wrapper.model.codecs import MergedCodec
from sfu_wrapper.model.media import Stream
from tests.helpers.oracle import assert_true_to_script, judge
from tests.helpers.staged import MixRole, Role, merged, processed, spoil_lengths, stage

pytestmark = pytest.mark.timeout(150)


@pytest.mark.parametrize(("codec", "seconds"), [("vp8", 8.0), ("vp9", 4.0)])
async def test_one_to_nine_people_come_and_go_in_their_tiles(
    tmp_path: Path, codec: MergedCodec, seconds: float
) -> None:
    step = seconds / 20
    roles = [Role(f"user{n}", step * n, seconds - step * n) for n in range(9)]
    call = stage(tmp_path, seconds, roles, MixRole(0.0, seconds))

    verdict = judge(await merged(call, codec), call)

    assert_true_to_script(verdict)
    assert verdict.most == 9


async def test_whatever_befalls_the_tracks_their_frames_stay_in_time(tmp_path: Path) -> None:
    roles = [
        Role("alice", 0, 14, fps=15, loss=0.03, key_every_s=1, jitter_s=0.03, wraps=True),
        Role("bob", 1, 5, codec="h264", widths=((0, 320), (2, 640))),
        Role("bob", 7.5, 13, codec="h264", fps=25, loss=0.02, key_every_s=0.5, wraps=True),
        Role("carol", 2, 14, codec="vp9", widths=((0, 640), (4, 320), (8, 480)), wraps=True),
        Role("alice", 6, 10, Stream.SCREEN, fps=5, widths=((0, 640),)),
    ]
    call = stage(tmp_path, 14.0, roles, MixRole(0.7, 14.0, lag_s=0.122))
    assert all(track.lost > 3 for track in call.tracks if track.role.loss)

    verdict = judge(await merged(call), call)

    assert_true_to_script(verdict)
    assert verdict.most == 4


async def test_audio_and_video_stay_together_though_clocks_are_off_and_the_mix_lies(
    tmp_path: Path,
) -> None:
    alice = Role("alice", 0, 34, fps=30, clock_ppm=950)  # comes to 32 ms
    bob = Role("bob", 4.02, 33.98, widths=((0, 640),))
    call = stage(tmp_path, 34.0, [alice, bob], MixRole(-0.45, 33.5, lag_s=-0.06))
    spoil_lengths(tmp_path / "mix.wav", declared=160_000)

    told, file = await processed(call)
    verdict = judge(file, call)

    assert_true_to_script(verdict)
    assert len(verdict.beeps_ms) == 34
    for lags_ms in (verdict.lags_ms, verdict.beeps_ms):
        early, late = (median(lags_ms[n] for n in part) for part in (range(1, 6), range(28, 33)))
        assert late == pytest.approx(early, abs=12)
    assert [one.frames_repeated for one in told.sync[:2]] == [
        pytest.approx(verdict.repeats[track], abs=5) for track in call.tracks
    ]
