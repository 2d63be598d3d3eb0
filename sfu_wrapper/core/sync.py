"""Synchronisation: clock drift and offset of raw files, and wall clocks that were set. Pure.

``mix_sync`` and ``notes`` compare measurements on the files with the event, for corrections and
warnings.

``Timeline`` corrects times of a segment. The monotonic clock measures its length. If the wall clock
differs by more than ``TOLERANCE_MS``, it was set meanwhile, and times read after that are moved
back by the difference: the segment, its files and its presences keep length and place. The moment
of the change is unknown. A time that fits without correction stays, so that a leap shorter than
the segment may misplace later times by up to the leap.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import Instant, SegmentInfo, TrackSync

OFFSET_LIMIT_MS = 40
DRIFT_LIMIT_PPM = 100.0
LOSS_LIMIT_PERCENT = 2.0

CREDIBLE_PPM = 1_000.0
"""Largest drift of an oscillator; a larger one is a wrong counter at the sender, or a gap."""

MIX_LONG_ENOUGH_MS = 600_000
"""Shortest mix whose begin, end and length allow an estimate of its clock."""

MIX_VAGUE_MS = 100
"""Difference in length that inexact times of begin and end explain."""


def pace(drift_ppm: float | None) -> float:
    """Return the real seconds that one second of a clock with this drift lasts."""
    if drift_ppm is None or abs(drift_ppm) > CREDIBLE_PPM:
        return 1.0
    return 1 / (1 + drift_ppm / 1_000_000)


def mix_sync(info: SegmentInfo, file: RawFile, audio_us: int) -> TrackSync:
    """Return the position in the segment of a piece of the mix that holds ``audio_us``.

    A small difference in a long piece is a drift of its clock. Any other difference is an
    offset, as its place in the piece is unknown.
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
    """Return the part of a mix's surplus that lies before the segment, in ms.

    The controller reports a mix that began earlier with the start of the segment and a larger
    ``delay_ms``. Only the length of the mix shows how much of the delay that is.
    """
    begins_with_it = file.started_ms == info.started_ms
    return surplus_ms if begins_with_it and 0 < surplus_ms <= file.delay_ms else 0


USED_ENOUGH = 0.95
"""A raw file stays where the result holds a smaller part of its media."""


def with_use(sync: TrackSync, duration_ms: int, left_out_ms: int, *, whole: bool) -> TrackSync:
    """Return the report with the time in which the file has media, and what is used of it.

    Args:
        sync: position of the file in the segment.
        duration_ms: length of the segment.
        left_out_ms: media that the converted file lacks.
        whole: True where the result holds the converted file, also what lies beyond the segment.
    """
    within_ms = min(sync.start_ms + sync.length_ms, duration_ms) - max(sync.start_ms, 0)
    return replace(
        sync,
        media_ms=sync.length_ms + left_out_ms,
        used_ms=sync.length_ms if whole else max(within_ms, 0),
    )


NOTHING_USED = "the result has nothing of it"


def why_kept(sync: TrackSync, duration_ms: int) -> str | None:
    """Return why a raw file with this report has to stay; None where it can be removed.

    Args:
        sync: position of the file in the segment, and its use.
        duration_ms: length of the segment.
    """
    media_ms, used_ms = sync.media_ms, sync.used_ms
    if media_ms is None or used_ms is None:
        return None if sync.lies_within(duration_ms) else NOTHING_USED
    if used_ms >= USED_ENOUGH * media_ms:
        return None
    if used_ms == 0:
        return NOTHING_USED
    return f"the result has {used_ms / 1000:.1f} s of its {media_ms / 1000:.1f} s"


def mix_pace(sync: TrackSync) -> float:
    """Return the pace correction of the mix; 1.0 when the drift is within measurement error."""
    missing_ms = (sync.drift_ppm or 0.0) / 1_000_000 * sync.length_ms
    return pace(sync.drift_ppm) if abs(missing_ms) > MIX_VAGUE_MS else 1.0


def notes(sync: TrackSync) -> Iterator[str]:
    """Yield a warning for each exceeded limit."""
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
LEAD_LIMIT_MS: Final = 30_000  # no start takes longer; a longer lead comes from another clock


@dataclass(frozen=True, slots=True)
class Timeline:
    """Time from ``began`` to ``now``, on the wall clock as it was at ``began``."""

    began: Instant
    now: Instant

    @property
    def leap_ms(self) -> int:
        """Milliseconds by which the wall clock was set forward meanwhile; negative: back."""
        passed_ms = self.now.mono_ms - self.began.mono_ms
        leap_ms = self.now.wall_ms - self.began.wall_ms - passed_ms
        return leap_ms if abs(leap_ms) > TOLERANCE_MS else 0

    @property
    def end_ms(self) -> int:
        """Corrected time of ``now``, epoch ms; never before ``began``."""
        return max(self.now.wall_ms - self.leap_ms, self.began.wall_ms)

    def place(self, reported_ms: int) -> int:
        """Return the corrected time of a wall clock reading, epoch ms."""
        leap_ms = self.leap_ms
        too_late = leap_ms > 0 and reported_ms > self.end_ms + TOLERANCE_MS
        too_early = leap_ms < 0 and reported_ms < self.began.wall_ms - LEAD_LIMIT_MS
        return reported_ms - leap_ms if too_late or too_early else reported_ms
