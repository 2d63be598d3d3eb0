"""Time as it enters the core: read once by the shell, carried by events."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """One reading of both clocks.

    wall_ms: milliseconds since the Unix epoch, UTC; what people and files are told.
    mono_ms: milliseconds of the monotonic clock; what durations and deadlines are made of.
    """

    wall_ms: int
    mono_ms: int
