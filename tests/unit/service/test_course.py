"""The pieces of a stage are done side by side, as many as may be, and each is told of."""

import asyncio

import pytest

from sfu_wrapper.adapters.os.clock import ManualClock
from sfu_wrapper.core.estimate import STAGES, ProgressSnapshot, ThroughputModel
from sfu_wrapper.model.errors import JobCode, JobFailed, Stage
from sfu_wrapper.service.worker.progress import ProgressTracker

FAILED = JobFailed(Stage.PREPROCESS, JobCode.IO_ERROR, "no luck", permanent=False)


class Bench:
    """Work that ends when it is told to, and notes how much of it goes on at once."""

    def __init__(self) -> None:
        self.running: set[int] = set()
        self.begun: list[int] = []
        self.most = 0
        self.given_up: list[int] = []
        self.go = asyncio.Event()

    async def work(self, number: int, error: Exception | None = None) -> int:
        self.begun.append(number)
        self.running.add(number)
        self.most = max(self.most, len(self.running))
        try:
            await (self.go.wait() if error is None else asyncio.sleep(0))
            if error is not None:
                raise error
        except asyncio.CancelledError:
            self.given_up.append(number)
            raise
        finally:
            self.running.remove(number)
        return number


def course(at_once: int, heard: list[ProgressSnapshot]) -> ProgressTracker:
    return ProgressTracker(
        ManualClock(), ThroughputModel(), dict.fromkeys(STAGES, 1.0), heard.append, at_once
    )


@pytest.mark.parametrize("at_once", [1, 2, 5])
async def test_results_come_in_the_order_of_the_pieces(at_once: int) -> None:
    bench = Bench()
    pieces = [(lambda n=n: bench.work(n), 1.0) for n in range(5)]

    making = asyncio.create_task(course(at_once, []).side_by_side(Stage.PREPROCESS, pieces))
    while len(bench.running) < at_once:  # noqa: ASYNC110  # what is waited for has no event
        await asyncio.sleep(0)
    bench.go.set()
    made = await making

    assert made == [0, 1, 2, 3, 4]
    assert bench.most == at_once


async def test_the_first_failure_gives_up_the_others_and_is_raised() -> None:
    bench = Bench()
    pieces = [(lambda: bench.work(0), 1.0), (lambda: bench.work(1, FAILED), 1.0)]

    with pytest.raises(JobFailed, match="no luck"):
        await course(2, []).side_by_side(Stage.PREPROCESS, pieces)

    assert bench.given_up == [0]
    assert not bench.running


async def test_nothing_is_begun_after_a_failure() -> None:
    bench = Bench()
    pieces = [(lambda: bench.work(0, FAILED), 1.0), (lambda: bench.work(1), 1.0)]

    with pytest.raises(JobFailed, match="no luck"):
        await course(1, []).side_by_side(Stage.PREPROCESS, pieces)

    assert bench.begun == [0]


async def test_a_stage_without_pieces_is_over_at_once() -> None:
    heard: list[ProgressSnapshot] = []

    assert await course(2, heard).side_by_side(Stage.PREPROCESS, []) == []
    assert heard == []
