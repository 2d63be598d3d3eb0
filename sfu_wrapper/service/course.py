"""Follows one try of a segment through its stages, and tells whoever listens how far it is."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from sfu_wrapper.core.estimate import Estimate, Pace, Standing, side_by_side_s
from sfu_wrapper.ports.clock import Clock

Progress = Callable[[Standing], None]
Piece = TypeVar("Piece")
Work = Callable[[], Awaitable[Piece]]


class Course:
    """One try, from now on. foreseen: what each stage should take; progress: hears every step.

    at_once: how many pieces may be worked on at the same time.
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
        """What a stage should take, now that it is known better; 0 where it is not gone through."""
        self._estimate.expect(stage, seconds)

    def reached(self, stage: str, percent: float) -> None:
        """So much of that stage is done."""
        share = min(max(percent / 100, 0.0), 1.0)
        self._progress(self._estimate.reached(stage, share, self._clock.now().mono_ms))

    def through(self, stage: str, pieces: Iterable[tuple[Piece, float]]) -> Iterator[Piece]:
        """The pieces of a stage, one after the other, each given with what it should take."""
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
        """Do the pieces of a stage, each given with what it should take; what comes of them.

        Where one fails those that run are given up, and its error is raised.
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
            gate.release()  # not where it has failed: nothing is begun any more
            return made

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(done(*each)) for each in listed]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

    def over(self) -> None:
        """All of it is done."""
        self._estimate.stage_done(self._clock.now().mono_ms)
