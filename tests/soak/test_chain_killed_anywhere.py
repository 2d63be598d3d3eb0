"""SIGKILL of controller and worker before and after every durable call, one after the other."""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.helpers.chain import Chain, Death, bucket_of
from tests.helpers.receivers import receiver
from tests.helpers.s3 import s3_server

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]


@pytest.mark.parametrize("stored", ["disk", "objects"])
async def test_wherever_one_dies_a_recording_arrives_and_goes_and_is_reported_once(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
    stored: str,
) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(s3_server()) if stored == "objects" else None
        async with receiver() as there:
            chain = Chain(tmp_path / "here", there, *bucket_of(server))
            await chain.prepare()
            _, calls = await chain.run()

            struck: Counter[str] = Counter()
            points = 0
            for process, names in calls.items():
                for number, name in enumerate(names, 1):
                    for when in ("before", "after"):
                        points += 1
                        died, _ = await chain.run(Death(process, str(number), when))
                        struck[process] += died
                        with capsys.disabled():
                            text = f"{process}, {when} {name} (call {number})"
                            print(f"\n{'struck' if died else 'missed'}: {text}", end="", flush=True)

    record_property("points", points)
    record_property("struck", dict(struck))
    assert struck.total() >= 0.9 * points  # the last calls may come after the comparison
