"""An hour of media through the recording service: true to the script, in memory that stays.

What is looked at is the file alone (``helpers.oracle``), and what the media processes occupy.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from sfu_wrapper.adapters.media.tools import MediaProcesses
from sfu_wrapper.core.plan import Composition
from sfu_wrapper.model.media import Stream
from sfu_wrapper.ports.media_tools import Progress
from tests.helpers.oracle import assert_true_to_script, judge
from tests.helpers.staged import MixRole, Role, processed, stage

pytestmark = pytest.mark.soak

HOUR_S = 3600.0
MAX_MB = 500
MAX_MB_A_MINUTE = 0.5

Record = Callable[[str, object], None]


@dataclass
class Memory:
    """What our child processes occupy as the composition advances."""

    seconds: float
    samples: list[tuple[float, float]] = field(default_factory=list)  # minute of media, MB

    def look(self, percent: float) -> None:
        """Called with every second of media that is done."""
        minute = percent / 100 * self.seconds / 60
        self.samples.append((minute, sum(map(_resident_mb, _children()))))

    @property
    def most_mb(self) -> float:
        """At its highest."""
        return max(mb for _, mb in self.samples)

    def mb_a_minute(self, first: float, last: float) -> float:
        """The slope between two minutes of media."""
        inside = [(minute, mb) for minute, mb in self.samples if first <= minute <= last]
        minutes, mbs = np.array(inside).T
        return float(np.polyfit(minutes, mbs, 1)[0])


class Watched(MediaProcesses):
    """The real ones, with an eye on their memory while they compose."""

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self._memory = memory

    async def compose(
        self,
        plan: Composition,
        target: Path,
        progress: Progress,
        *,
        poster: Path | None = None,
        timeout_s: float,
    ) -> tuple[int, ...]:
        """See the port."""

        def look(percent: float) -> None:
            self._memory.look(percent)
            progress(percent)

        return await super().compose(plan, target, look, poster=poster, timeout_s=timeout_s)


def _children() -> Iterator[int]:
    """All processes below our own."""
    parents = dict(_parents())
    for pid in parents:
        above = pid
        while (above := parents.get(above, 0)) not in (0, os.getpid()):
            pass
        if above == os.getpid():
            yield pid


def _parents() -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "stat").read_text()
        except OSError:
            continue
        yield int(folder.name), int(text.rpartition(")")[2].split()[1])


def _resident_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.timeout(7200)
async def test_an_hour_of_clocks_that_drift_is_in_time_to_its_end(
    tmp_path: Path, record_property: Record
) -> None:
    roles = [
        Role("alice", 0, HOUR_S, fps=5, clock_ppm=200, jitter_s=0.03, wraps=True),
        Role("bob", 600, 3000, fps=5, clock_ppm=-150, loss=0.002, key_every_s=1, wraps=True),
        Role("bob", 3100.04, 3500, fps=5, codec="vp9", widths=((0, 320), (200, 640))),
        Role("carol", 1800, 2400, fps=5, codec="h264", stream=Stream.SCREEN),
    ]
    mix = MixRole(0.5, HOUR_S, lag_s=0.122, clock_ppm=-180)
    call = stage(tmp_path, HOUR_S, roles, mix)

    told, file = await processed(call)
    verdict = judge(file, call)

    lags = [verdict.lags_ms[second] for second in sorted(verdict.lags_ms)]
    record_property("pictures read", verdict.read)
    record_property("sound against picture at worst", f"{verdict.apart_ms:.0f} ms")
    record_property("pictures late by", f"{min(lags):.0f} to {max(lags):.0f} ms")
    record_property(
        "drift told, ppm", [one.drift_ppm and round(one.drift_ppm) for one in told.sync]
    )
    assert_true_to_script(verdict)
    assert len(verdict.beeps_ms) > HOUR_S - 5
    by_file = {one.filename: one for one in told.sync}
    for track in call.tracks:
        found = by_file[track.file.filename].drift_ppm
        assert found == pytest.approx(track.role.clock_ppm, rel=0.1, abs=10)
    assert by_file["mix.wav"].drift_ppm == pytest.approx(-180, rel=0.1)


@pytest.mark.timeout(3600)
async def test_nine_people_take_no_more_memory_after_eight_minutes_than_after_two(
    tmp_path: Path, record_property: Record
) -> None:
    seconds = 9 * 60.0
    widths = (640, 640, *[320] * 7)
    roles = [Role(f"user{n}", 0, seconds, fps=5, widths=((0, w),)) for n, w in enumerate(widths)]
    call = stage(tmp_path, seconds, roles, MixRole(0.0, seconds))
    memory = Memory(seconds)

    await processed(call, tools=Watched(memory))

    slope = memory.mb_a_minute(2, 8)
    record_property("most", f"{memory.most_mb:.0f} MB")
    record_property("slope from minute 2 to 8", f"{slope:.2f} MB a minute")
    assert memory.most_mb < MAX_MB
    assert slope < MAX_MB_A_MINUTE
