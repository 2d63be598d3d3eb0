"""What a merged file says by itself: who is on screen when, how fresh, in time with the sound?

Calls are staged to the picture and to the second (``helpers.staged``); the oracle
(``helpers.oracle``) knows nothing but the script and the file. A minute of media in all; an hour of
it is in ``tests/soak``.
"""

from pathlib import Path

import pytest

from sfu_wrapper.core.plan import Codec
from sfu_wrapper.model.media import Stream
from tests.helpers.oracle import assert_true_to_script, judge
from tests.helpers.staged import MixRole, Role, merged, spoil_lengths, stage

pytestmark = pytest.mark.timeout(150)


@pytest.mark.parametrize(("codec", "seconds"), [("vp8", 10.0), ("vp9", 6.0)])
async def test_one_to_nine_people_come_and_go_in_their_tiles(
    tmp_path: Path, codec: Codec, seconds: float
) -> None:
    step = seconds / 20
    roles = [Role(f"user{n}", step * n, seconds - step * n) for n in range(9)]
    call = stage(tmp_path, seconds, roles, MixRole(0.0, seconds))

    verdict = judge(await merged(call, codec), call)

    assert_true_to_script(verdict)
    assert verdict.most == 9


async def test_whatever_befalls_the_tracks_their_pictures_stay_in_time(tmp_path: Path) -> None:
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


async def test_sound_and_picture_stay_together_though_the_mix_starts_early_and_lies(
    tmp_path: Path,
) -> None:
    roles = [Role("alice", 0, 30), Role("bob", 4.02, 27.98, fps=30, widths=((0, 640),))]
    call = stage(tmp_path, 30.0, roles, MixRole(-0.45, 29.5, lag_s=-0.06))
    spoil_lengths(tmp_path / "mix.wav", declared=160_000)

    verdict = judge(await merged(call), call)

    assert_true_to_script(verdict)
    assert len(verdict.beeps_ms) == 30
