"""SIGKILL where a worker touches its work, its results or its queue: at each rename, and elsewhere.

``scripts/soak`` strikes at every single point (``tests/soak/test_worker_killed_anywhere.py``).
"""

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.helpers.deathpoints import Installation, Point

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]


def chosen(points: Iterable[Point]) -> list[Point]:
    """All renames, and of each other kind the one in the middle."""
    kinds: dict[str, list[Point]] = {}
    for point in points:
        kinds.setdefault(point.kind, []).append(point)
    middle = [kind[len(kind) // 2] for name, kind in kinds.items() if name != "rename"]
    return kinds["rename"] + middle


async def test_wherever_a_worker_dies_the_same_is_delivered_and_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = Installation(tmp_path / "here")
    await there.reset()
    points = there.points()
    whole = there.delivered()
    assert {Path(name).suffix for name in whole} == {".webm", ".jpg"}

    struck = [point for point in chosen(points) if await there.strike(point, whole)]

    with capsys.disabled():
        print(f"\nof {len(points)} points struck: {'; '.join(map(str, struck))}")
    assert {point.kind for point in struck} == {"rename", "fsync", "open", "unlink", "publish"}
    assert len([point for point in struck if point.kind == "rename"]) >= 4
