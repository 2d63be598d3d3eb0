"""Progress of one attempt at a segment through its stages, reported to a callback."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from sfu_wrapper.core.estimate import Estimate, Pace, Standing, side_by_side_s
from sfu_wrapper.ports.clock import Clock

Progress = Callable[[Standing], None]
Piece = TypeVar("Piece")
Work = Callable[[], Awaitable[Piece]]


class ProgressTracker:
    """Progress of one attempt, which starts when the object is made.

    Args:
        clock: measures the time taken.
        pace: model of this machine's throughput.
        foreseen: expected duration of each stage in seconds.
        progress: called with each step.
        at_once: number of pieces of a stage processed in parallel.
    """

    def __init__(
        self,
        clock: Clock,
        pace: Pace,
        foreseen: Mapping[str, float],
        progress: Progress,
        at_once: int = 1,
    ) -> None:
        self._clock = clock
        self._progress = progress
        self._at_once = at_once
        self._estimate = Estimate(pace, clock.now().mono_ms, foreseen)

    def expect(self, stage: str, seconds: float) -> None:
        """Replace the expected duration of a stage; 0 where the attempt skips the stage."""
        self._estimate.expect(stage, seconds)

    def reached(self, stage: str, percent: float) -> None:
        """Report that ``percent`` of a stage is done."""
        share = min(max(percent / 100, 0.0), 1.0)
        self._progress(self._estimate.reached(stage, share, self._clock.now().mono_ms))

    def through(self, stage: str, pieces: Iterable[tuple[Piece, float]]) -> Iterator[Piece]:
        """Yield the pieces of a stage one after another, and report each.

        Args:
            stage: name of the stage.
            pieces: the pieces with their expected durations in seconds.
        """
        listed = list(pieces)
        self.expect(stage, total_s := sum(seconds for _, seconds in listed))
        done_s = 0.0
        for piece, seconds in listed:
            self.reached(stage, 100 * done_s / total_s)
            yield piece
            done_s += seconds

    async def side_by_side(
        self, stage: str, pieces: Iterable[tuple[Work[Piece], float]]
    ) -> list[Piece]:
        """Run the pieces of a stage in parallel and return their results in order.

        If a piece fails, the others are cancelled and its error is raised.

        Args:
            stage: name of the stage.
            pieces: functions to call, with their expected durations in seconds.
        """
        listed = list(pieces)
        each_s = [seconds for _, seconds in listed]
        total_s, done_s = sum(each_s), 0.0
        self.expect(stage, side_by_side_s(each_s, self._at_once))
        gate = asyncio.Semaphore(self._at_once)

        async def done(work: Work[Piece], seconds: float) -> Piece:
            nonlocal done_s
            await gate.acquire()
            self.reached(stage, 100 * done_s / total_s)
            made = await work()
            done_s += seconds
            gate.release()  # kept after a failure, so that no further piece starts
            return made

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(done(*each)) for each in listed]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

    def over(self) -> None:
        """Record the end of the last stage."""
        self._estimate.stage_done(self._clock.now().mono_ms)
