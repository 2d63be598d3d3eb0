"""Follows one try of a segment through its stages, and tells whoever listens how far it is."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from sfu_wrapper.core.estimate import Estimate, Pace, Standing
from sfu_wrapper.ports.clock import Clock

Progress = Callable[[Standing], None]
Piece = TypeVar("Piece")


class Course:
    """One try, from now on. foreseen: what each stage should take; progress: hears every step."""

    def __init__(
        self, clock: Clock, pace: Pace, foreseen: Mapping[str, float], progress: Progress
    ) -> None:
        self._clock = clock
        self._progress = progress
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

    def over(self) -> None:
        """All of it is done."""
        self._estimate.stage_done(self._clock.now().mono_ms)
