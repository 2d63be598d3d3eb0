"""A real Janus is struck again and again while it records: each segment is told once, and truly."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from sfu_wrapper.formats.mjr import Reader
from tests.helpers.calls import files, mixes, report
from tests.helpers.janus import WS_PORT, JanusServer, running_janus
from tests.helpers.januscalls import RealCall, is_recording, real_call
from tests.helpers.wait import until
from tests.helpers.wire import Wire, wire

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

STRIKES = 25


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_recorded_meanwhile_is_reported_once(
    seed: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    dice = random.Random(seed)  # noqa: S311  # no secret
    with running_janus(tmp_path / "janus") as janus:
        async with (
            wire(WS_PORT) as between,
            real_call(janus, tmp_path, url=between.url, timeout_s=2) as real,
        ):
            await real.call.started()
            for _ in range(STRIKES):
                await asyncio.sleep(dice.uniform(0.2, 1.5))
                await strike(dice, janus, between, real)
                await until(lambda: runs(real))
            await asyncio.sleep(1)
            await real.call.stop()  # confirmed at once, or asked again until it is
            await until(lambda: is_over(real))
            segments = (await real.call.shown())["segments"]
            ran = [each["segment"] for each in segments if each["state"] == "stopped"]
            infos = await report(real.controller.broker, len(ran), real.call.room)
            assert await is_recording(janus, real.call.room) == [False, False]

    told = [info["segment"] for info in infos]
    record_property("strikes", STRIKES)
    record_property("segments", len(segments))
    record_property("incomplete", sum(info["incomplete"] for info in infos))
    assert sorted(told) == sorted(set(told))
    assert set(ran) <= set(told)
    names = [name for info in infos for name in (*files(info), *mixes(info))]
    assert len(set(names)) == len(names)
    for info in infos:
        for video in real.videos(info):
            assert list(Reader(video.read_bytes()).frames())
        for mix in mixes(info):
            assert (tmp_path / "audio" / mix).stat().st_size > 44
    assert infos[-1]["incomplete"] is False


async def strike(dice: random.Random, janus: JanusServer, between: Wire, real: RealCall) -> None:
    """Something goes wrong, and is over soon."""
    match dice.choice(("kill", "freeze", "cut", "cut for a while")):
        case "kill":
            janus.kill()
            await real.go()
            await asyncio.sleep(dice.uniform(0, 1))
            janus.start()
            await real.come("alice", "bob")
        case "freeze":
            janus.freeze()
            await asyncio.sleep(dice.uniform(0.1, 3))
            janus.thaw()
        case "cut":
            between.cut()
        case _:
            between.closed = True
            between.cut()
            await asyncio.sleep(dice.uniform(0.1, 3))
            between.closed = False


async def is_over(real: RealCall) -> bool:
    """Whether no segment is under way."""
    return set(await real.call.segments()) <= {"stopped", "failed"}


async def runs(real: RealCall) -> bool:
    """Whether something is being recorded, as far as clients are told."""
    return bool((await real.call.shown())["recording"]["active"])
