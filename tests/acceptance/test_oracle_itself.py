"""The oracle must see what it is there to see: one file, held against scripts that it belies."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.model.media import Stream
from tests.helpers.oracle import FRAME_MS, assert_true_to_script, judge
from tests.helpers.staged import MixRole, Role, Staged, Track, merged, stage

ROLES = (Role("alice", 0, 3), Role("bob", 0.6, 2.4), Role("bob", 1, 3, Stream.SCREEN))


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Staged:
    """Three tracks for three seconds."""
    return stage(tmp_path_factory.mktemp("call"), 3.0, ROLES, MixRole(0.0, 3.0))


@pytest.fixture(scope="module")
def file(call: Staged) -> Path:
    """What became of them."""
    return asyncio.run(merged(call))


def later(track: Track, ms: int) -> Track:
    """As if its frames had been taken at other times."""
    return replace(track, shown_ms=tuple(at_ms + ms for at_ms in track.shown_ms))


def played(track: Track, role: Role) -> Track:
    """As if it had been another role."""
    return replace(track, role=role)


def test_it_approves_of_what_is_right(call: Staged, file: Path) -> None:
    assert_true_to_script(judge(file, call))


@pytest.mark.parametrize(
    "belied",
    [
        pytest.param(lambda track: later(track, 100), id="shown early"),
        pytest.param(lambda track: later(track, -100), id="shown late"),
        pytest.param(lambda t: played(t, replace(t.role, user="mallory")), id="somebody else"),
        pytest.param(lambda t: played(t, replace(t.role, stream=Stream.SCREEN)), id="a screen"),
        pytest.param(lambda t: played(t, replace(t.role, start_s=-1.0)), id="another tile"),
        pytest.param(lambda t: replace(t, shown_ms=t.shown_ms[:-2]), id="shown too long"),
        pytest.param(lambda t: replace(t, shown_ms=t.shown_ms[2:]), id="shown too soon"),
        pytest.param(lambda t: replace(t, shown_ms=t.shown_ms[::2]), id="not to be decoded"),
    ],
)
def test_it_notices(call: Staged, file: Path, belied: Callable[[Track], Track]) -> None:
    alice, bob, screen = call.tracks

    verdict = judge(file, replace(call, tracks=(alice, belied(bob), screen)))

    assert len(verdict.complaints) >= 2


def test_it_notices_who_is_on_screen_and_should_not_be(call: Staged, file: Path) -> None:
    verdict = judge(file, replace(call, tracks=call.tracks[:2]))

    assert len(verdict.complaints) > 40


async def test_it_notices_that_audio_lags_and_that_it_is_another_seconds(tmp_path: Path) -> None:
    call = stage(tmp_path, 3.0, ROLES[:1], MixRole(0.0, 3.0, lag_s=1.09))
    untold = replace(call.info.audio[0], delay_ms=0)
    file = await merged(replace(call, info=replace(call.info, audio=(untold,))))

    verdict = judge(file, call)

    assert verdict.apart_ms > 2 * FRAME_MS
    assert "1 s: 600 Hz instead of 800 Hz" in verdict.complaints
