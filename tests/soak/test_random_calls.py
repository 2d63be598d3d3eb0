"""Calls made up at random, held against their scripts by the oracle."""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.model.codecs import MergedCodec
from sfu_wrapper.model.media import Stream
from tests.helpers.oracle import assert_true_to_script, judge
from tests.helpers.staged import MixRole, Role, merged, stage

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

SECONDS = 600.0
MOST_TRACKS = 9


def made_up(chance: random.Random) -> tuple[float, list[Role], MixRole]:
    """How long, who, and the mix."""
    seconds = chance.randint(4, 9) + chance.choice((0.0, 0.5))
    # Somebody is there throughout and loses nothing, so that audio can be compared with video.
    roles = [replace(track(chance, "host", 0.0, seconds), loss=0.0)]
    roles += [
        role
        for number in range(chance.randint(0, MOST_TRACKS - 1))
        for role in appearances(chance, f"user{number}", seconds)
    ]
    mix = MixRole(
        chance.choice((-0.5, 0.0, 0.8)), seconds - chance.choice((0.0, 0.7)),
        lag_s=chance.choice((-0.06, 0.0, 0.122)),
    )  # fmt: skip
    return seconds, roles[:MOST_TRACKS], mix


def appearances(chance: random.Random, user: str, seconds: float) -> list[Role]:
    """A camera, or the same one twice, perhaps with a screen beside it."""
    edges = sorted(round(chance.uniform(0, seconds), 3) for _ in range(4))
    spans = chance.choice(([(0.0, seconds)], [(edges[0], seconds)], [edges[:2], edges[2:]]))
    roles = [track(chance, user, *span) for span in spans if span[1] - span[0] > 0.7]
    if chance.random() < 0.2 and edges[2] - edges[1] > 0.7:
        roles.append(track(chance, user, edges[1], edges[2], Stream.SCREEN))
    return roles


def track(
    chance: random.Random, user: str, start_s: float, stop_s: float, stream: Stream = Stream.CAMERA
) -> Role:
    """Of any codec, size and pace, on any network; on a bad one small and with many key frames."""
    loss = chance.choice((0.0, 0.0, 0.02))
    widths = [(0.0, 320 if loss else chance.choice((320, 480, 640)))]
    if chance.random() < 0.3 and not loss:
        widths.append((round((stop_s - start_s) / 2, 2), chance.choice((320, 640))))
    return Role(
        user, start_s, stop_s, stream,
        codec=chance.choice(("vp8", "vp8", "vp9", "h264")),
        fps=chance.choice((5, 10, 15, 25, 30)),
        key_every_s=0.5,
        widths=tuple(widths),
        loss=loss,
        jitter_s=chance.choice((0.0, 0.02)),
        clock_ppm=chance.choice((0.0, 150.0, -150.0)),
        wraps=chance.random() < 0.5,
    )  # fmt: skip


async def test_calls_made_up_at_random_are_true_to_their_scripts(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    end, seed, frames, worst_ms = time.monotonic() + SECONDS, 0, 0, 0.0
    while time.monotonic() < end:
        seed += 1
        chance = random.Random(seed)  # noqa: S311 - nothing secret in a test
        codec: MergedCodec = chance.choice(("vp8", "vp9"))
        call = stage(tmp_path / str(seed), *made_up(chance))

        verdict = judge(await merged(call, codec), call)

        assert verdict.complaints == [], f"seed {seed}"
        assert_true_to_script(verdict)
        frames += verdict.read
        worst_ms = max(worst_ms, verdict.apart_ms, key=abs)
    record_property("calls", seed)
    record_property("pictures read", frames)
    record_property("sound against picture at worst", f"{worst_ms:.0f} ms")
