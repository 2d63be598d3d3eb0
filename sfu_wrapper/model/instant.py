"""Time as it enters the core: read once by the shell, carried by events."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """Reading of both clocks at one instant.

    Attributes:
        wall_ms: milliseconds since the Unix epoch, UTC; for messages and files.
        mono_ms: milliseconds of the monotonic clock; for durations and deadlines.
    """

    wall_ms: int
    mono_ms: int
