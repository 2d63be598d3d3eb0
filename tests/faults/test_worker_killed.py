"""SIGKILL where a worker touches its work, its results or its queue: at each rename, and elsewhere.

``scripts/soak`` strikes at every single point (``tests/soak/test_worker_killed_anywhere.py``).
"""

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.helpers.deathpoints import Installation, Point

TRIES = 6  # which thread does what decides whether a point is met again
pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]


def by_kind(points: Iterable[Point]) -> dict[str, list[Point]]:
    """Those of each kind, the ones in the middle of the work first."""
    kinds: dict[str, list[Point]] = {}
    for point in points:
        kinds.setdefault(point.kind, []).append(point)
    return {
        name: sorted(kind, key=lambda point: abs(kind.index(point) - len(kind) // 2))
        for name, kind in kinds.items()
    }


async def test_wherever_a_worker_dies_the_same_is_delivered_and_reported_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = Installation(tmp_path / "here")
    await there.reset()
    points = there.points()
    whole = there.delivered()
    assert {Path(name).suffix for name in whole} == {".webm", ".jpg"}

    struck: list[Point] = []
    for name, kind in by_kind(points).items():
        for point in kind if name == "rename" else kind[:TRIES]:
            if await there.strike(point, whole):
                struck.append(point)
                if name != "rename":
                    break

    with capsys.disabled():
        print(f"\nof {len(points)} points struck: {'; '.join(map(str, struck))}")
    assert {point.kind for point in struck} == {"rename", "fsync", "open", "unlink", "publish"}
    assert len([point for point in struck if point.kind == "rename"]) >= 4
