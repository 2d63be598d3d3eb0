"""SIGKILL at every open, rename, unlink, fsync and publish of a deletion, one after the other."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.deletionpoints import Deletion

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


async def test_wherever_a_worker_dies_the_recording_is_deleted_and_reported_once(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    there = Deletion(tmp_path / "here")
    await there.prepare()
    await there.reset()
    whole = there.files()
    points = there.points()
    kept = there.files()
    assert kept < whole

    struck = []
    for point in points:
        if await there.strike_deletion(point, whole, kept):
            struck.append(point)
            with capsys.disabled():
                print(f"\nstruck: {point}", end="", flush=True)

    await there.deliver_again()
    there.resume()
    assert there.files() == kept, "a repeated event brings nothing back"

    kinds = Counter(point.kind for point in struck)
    record_property("points", len(points))
    record_property("struck", dict(kinds))
    assert {"open", "rename", "unlink", "fsync", "publish"} <= kinds.keys()
    assert len(struck) >= 0.8 * len(points)  # the order of threads decides about the others
