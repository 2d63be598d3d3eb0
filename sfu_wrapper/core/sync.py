"""How the raw files of a segment lie in time: what is put right and what is worth a warning.

Pure. Everything here is measured on the files; the event is only what they are held against.

Times of one segment while the wall clock is set by somebody. Pure.

The monotonic clock says how long a segment has lasted. Where the wall clock disagrees by more than
``TOLERANCE_MS`` it was set meanwhile, and times that it told after that are moved back by as much:
the segment keeps its length and its place, and so do files and stays in it. Between two readings
nothing tells when the clock was set. A time that fits without being moved is taken as it is, so
that a leap shorter than the segment may misplace what follows it by as much as the leap.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import Instant, SegmentInfo, TrackSync

OFFSET_LIMIT_MS = 40
DRIFT_LIMIT_PPM = 100.0
LOSS_LIMIT_PERCENT = 2.0

CREDIBLE_PPM = 1_000.0
"""No oscillator is further off; what seems to be is a sender that counts wrongly, or a hole."""

MIX_LONG_ENOUGH_MS = 600_000
"""Of a mix only begin, end and length are known; in less than this they say little of its clock."""

MIX_VAGUE_MS = 100
"""So much may be missing because its begin and its end are told a moment early or late."""


def pace(drift_ppm: float | None) -> float:
    """How long a second of a clock that runs fast by that much really lasts."""
    if drift_ppm is None or abs(drift_ppm) > CREDIBLE_PPM:
        return 1.0
    return 1 / (1 + drift_ppm / 1_000_000)


def mix_sync(info: SegmentInfo, file: RawFile, audio_us: int) -> TrackSync:
    """How a piece of the mix that holds so much sound lies in the segment.

    What is missing or too much of a long one, and little, is taken for a clock that was off;
    else for an offset, as nobody can tell where it belongs.
    """
    stopped_ms = info.completed_ms if file.stopped_ms is None else file.stopped_ms
    reported_ms, length_ms = stopped_ms - file.started_ms, round(audio_us / 1000)
    reported_ms += _before_ms(info, file, length_ms - reported_ms)
    drift_ppm: float | None = None
    if reported_ms >= MIX_LONG_ENOUGH_MS:
        off_ppm = (audio_us / 1000 - reported_ms) / reported_ms * 1_000_000
        drift_ppm = off_ppm if abs(off_ppm) <= CREDIBLE_PPM else None
    return TrackSync(
        filename=file.filename,
        stream=Stream.AUDIO,
        user=None,
        start_ms=file.started_ms - file.delay_ms - info.started_ms,
        length_ms=length_ms,
        offset_ms=reported_ms - length_ms if drift_ppm is None else 0,
        drift_ppm=drift_ppm,
    )


def _before_ms(info: SegmentInfo, file: RawFile, surplus_ms: int) -> int:
    """How much of what a mix holds beyond its times lies before the segment.

    One that began earlier is told to begin with the segment and to lag by so much more: by how
    much of ``delay_ms``, its length alone can tell.
    """
    begins_with_it = file.started_ms == info.started_ms
    return surplus_ms if begins_with_it and 0 < surplus_ms <= file.delay_ms else 0


def mix_pace(sync: TrackSync) -> float:
    """How long a second of that mix really lasts; what the vagueness of its ends explains stays."""
    missing_ms = (sync.drift_ppm or 0.0) / 1_000_000 * sync.length_ms
    return pace(sync.drift_ppm) if abs(missing_ms) > MIX_VAGUE_MS else 1.0


def notes(sync: TrackSync) -> Iterator[str]:
    """A sentence for each limit that is passed."""
    if abs(sync.offset_ms) > OFFSET_LIMIT_MS:
        yield _offset_note(sync)
    drift_ppm = sync.drift_ppm or 0.0
    if abs(drift_ppm) > DRIFT_LIMIT_PPM:
        stretched = mix_pace(sync) if sync.stream is Stream.AUDIO else pace(drift_ppm)
        speed = "fast" if drift_ppm > 0 else "slow"
        what = "left as it is" if stretched == 1 else "put right"
        yield f"its clock runs {abs(drift_ppm):.0f} ppm {speed}: {what}"
    if sync.loss_percent > LOSS_LIMIT_PERCENT:
        yield f"{sync.loss_percent:.1f} % of its packets never came"
    if sync.gaps:
        times = "once" if sync.gaps == 1 else f"{sync.gaps} times"
        yield f"nothing came for more than a second, {times}"


def _offset_note(sync: TrackSync) -> str:
    by_s = abs(sync.offset_ms) / 1000
    if sync.stream is Stream.AUDIO:
        amount = "less" if sync.offset_ms > 0 else "more"
        return f"holds {by_s:.3f} s {amount} sound than its times say; it cannot be told where"
    when = "later" if sync.offset_ms > 0 else "earlier"
    return f"begins {by_s:.3f} s {when} than the event says: its own time was taken"


TOLERANCE_MS: Final = 1_000
LEAD_LIMIT_MS: Final = 30_000  # no start takes longer: what seems to was told by another clock


@dataclass(frozen=True, slots=True)
class Timeline:
    """The stretch from ``began`` to ``now``, on the wall clock as it was at ``began``."""

    began: Instant
    now: Instant

    @property
    def leap_ms(self) -> int:
        """By how much the wall clock was set forward meanwhile; negative: back; 0: not at all."""
        passed_ms = self.now.mono_ms - self.began.mono_ms
        leap_ms = self.now.wall_ms - self.began.wall_ms - passed_ms
        return leap_ms if abs(leap_ms) > TOLERANCE_MS else 0

    @property
    def end_ms(self) -> int:
        """Now, epoch ms; never before ``began``."""
        return max(self.now.wall_ms - self.leap_ms, self.began.wall_ms)

    def place(self, reported_ms: int) -> int:
        """Return when something was whose time was read off a wall clock; epoch ms."""
        leap_ms = self.leap_ms
        too_late = leap_ms > 0 and reported_ms > self.end_ms + TOLERANCE_MS
        too_early = leap_ms < 0 and reported_ms < self.began.wall_ms - LEAD_LIMIT_MS
        return reported_ms - leap_ms if too_late or too_early else reported_ms
