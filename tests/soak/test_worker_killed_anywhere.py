"""SIGKILL at every open, rename, unlink, fsync and publish of a worker, one after the other."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.deathpoints import Installation
from tests.helpers.owners import Owner, owner

__all__ = ["owner"]

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


MAIL = "recordings@example.org"


@pytest.mark.parametrize("output", ["merged", "split", "encrypted"])
async def test_wherever_a_worker_dies_the_same_is_delivered_and_reported_once(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
    owner: Owner,
    output: str,
) -> None:
    there = Installation(tmp_path / "here", SPLIT_RECORDING_OUTPUT=str(output == "split").lower())
    if output == "encrypted":
        owner.make(MAIL)
        key = str(owner.public(tmp_path / "key.asc"))
        there = Installation(
            tmp_path / "here",
            owner,
            SHOULD_ENCRYPT="true",
            ENCRYPTION_KEY=key,
            ENCRYPTION_MAIL=MAIL,
        )
    await there.reset()
    points = there.points()
    whole = there.delivered()

    struck = []
    for point in points:
        if await there.strike(point, whole):
            struck.append(point)
            with capsys.disabled():
                print(f"\nstruck: {point}", end="", flush=True)

    kinds = Counter(point.kind for point in struck)
    record_property("points", len(points))
    record_property("struck", dict(kinds))
    assert len(struck) >= 0.8 * len(points)  # the order of threads decides about the others
