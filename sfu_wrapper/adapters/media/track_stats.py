"""Statistics of one converted track: times of its frames, gaps, and warnings for the operator.

Pure bookkeeping during the conversion. It defines when an interruption counts as a gap, and the
duration of the last frame. A screen that does not change is sent once a second or less often, and
so is a disabled camera. So a short pause is a gap only where packets are missing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from sfu_wrapper.formats.assemble import Assembler
from sfu_wrapper.formats.mjr import Header, Reader
from sfu_wrapper.formats.stream import MediaStream
from sfu_wrapper.model.codecs import VIDEO_CLOCK_HZ, VIDEO_INPUT
from sfu_wrapper.model.media import Gap, Resolution, Rotation, TrackFile, TrackKind

GAP_MS = 1_000
"""Longest pause with missing packets that is no gap. In audio it applies to every pause."""

PAUSE_MS = 5_000
"""Longest pause without missing packets, in video, that is no gap."""

BEAT_MS = 500
"""Shortest pause that counts as the rhythm of a sender with little to show."""

LAST_FRAME_MS = 100
"""Limit of the last frame's duration, which is unknown: that of the frame before is assumed."""

_ONLY_FRAME_MS = 40


class TrackStats:
    """Statistics of the frames written so far; times are in ticks, ``ticks_a_ms`` per ms.

    Args:
        ticks_a_ms: ticks per ms.
        lost_at: returns the time of the latest loss; None: every pause is taken for a loss.

    Attributes:
        frames: number of frames.
        gaps: interruptions.
        still: number of gaps in which no packet is missing.
        beat_ms: longest pause in which no packet is missing; 0 where all are short.
    """

    def __init__(self, ticks_a_ms: int, lost_at: Callable[[], int] | None = None) -> None:
        self._ticks_a_ms = ticks_a_ms
        self._shortest_pause = BEAT_MS * ticks_a_ms
        self._lost_at = lost_at
        self._first = self._before = self._last = self._over = -1
        self.frames = 0
        self._keys_ms: list[int] = []
        self._resolutions: list[Resolution] = []
        self.gaps: list[Gap] = []
        self.still = self.beat_ms = self._silent_ms = 0

    def note(self, time: int, length: int = 0) -> None:
        """Add a frame; ``length`` is its duration in ticks, 0 where it is unknown."""
        if time <= self._last:
            self._note_earlier(time)
            return
        if not self.frames:
            self._first = time
        elif time - self._over > self._shortest_pause:
            self._pause(time)
        self._before, self._last, self._over = self._last, time, time + length
        self.frames += 1

    def _note_earlier(self, time: int) -> None:
        """Add a frame that is shown before the one that was sent before it."""
        self._first = min(self._first, time)
        self._before = max(self._before, time)
        self.frames += 1

    def _pause(self, time: int) -> None:
        gap = Gap(self._ms(self._over), self._ms(time))
        length_ms = (time - self._over) / self._ticks_a_ms
        self._silent_ms += max(round(length_ms) - GAP_MS, 0)  # as of ``MediaStream.active_ms``
        lost = self._lost_at is None or self._lost_at() > self._last
        if not lost:
            self.beat_ms = max(self.beat_ms, round(length_ms))
        if length_ms > (GAP_MS if lost else PAUSE_MS):
            self.gaps.append(gap)
            self.still += not lost

    def take_pauses(self, other: "TrackStats") -> None:
        """Take the pauses of another measurement of the same track, which knows what was lost."""
        self.gaps, self.still, self.beat_ms = other.gaps, other.still, other.beat_ms

    def note_key(self, time: int, size: tuple[int, int] | None) -> None:
        """Record that the frame added last is a key frame, and its size."""
        at_ms = self._ms(time)
        self._keys_ms.append(at_ms)
        known = self._resolutions[-1] if self._resolutions else None
        if size and (known is None or (known.width, known.height) != size):
            self._resolutions.append(Resolution(at_ms, *size))

    @property
    def end_ms(self) -> int:
        """The end of the last frame added, in ms."""
        if self._over > self._last:
            return self._ms(self._over)
        if self.frames == 1:
            return self._ms(self._last + _ONLY_FRAME_MS * self._ticks_a_ms)
        longest = LAST_FRAME_MS * self._ticks_a_ms
        return self._ms(self._last + min(self._last - self._before, longest))

    def track(
        self,
        path: Path,
        header: Header,
        stream: MediaStream,
        kind: TrackKind,
        rotations: list[tuple[int, int]],
        warnings: list[str],
    ) -> TrackFile:
        """Return the finished track with its statistics."""
        drift = stream.drift
        # Rounded down: an .mp4 is finer than a millisecond, and no frame may precede its rotation.
        turns = tuple(Rotation(time // self._ticks_a_ms, turn) for time, turn in rotations)
        return TrackFile(
            path=path,
            kind=kind,
            codec=header.codec,
            started_us=header.started_us,
            created_us=header.created_us,
            first_ms=self._ms(self._first),
            duration_ms=self.end_ms,
            frames=self.frames,
            key_frames_ms=tuple(self._keys_ms),
            resolutions=tuple(self._resolutions),
            rotations=turns,
            packets_received=stream.received,
            packets_lost=stream.lost,
            ahead_ms=drift.ahead_ms,
            drift_ppm=drift.ppm,
            gaps=tuple(self.gaps),
            still=self.still,
            beat_ms=self.beat_ms,
            left_out_ms=self._left_out_ms(stream),
            warnings=tuple(warnings),
        )

    def _left_out_ms(self, stream: MediaStream) -> int:
        """Return the time in which packets came, none was lost, and no frame could be kept."""
        held_ms = self.end_ms - self._ms(self._first) - self._silent_ms
        return stream.unused_ms + (0 if stream.lost else max(stream.active_ms - held_ms, 0))

    def _ms(self, time: int) -> int:
        """Convert ticks to ms, rounded as the times in a WebM file are."""
        return (time + self._ticks_a_ms // 2) // self._ticks_a_ms


def stream_warnings(reader: Reader, stream: MediaStream) -> list[str]:
    """Return a warning for each kind of damage met on the way from the file to ordered packets."""
    found = [
        (reader.truncated, "the file ends within a packet"),
        (reader.skipped_bytes, f"{_count(reader.skipped_bytes, 'byte')} of garbage skipped"),
        (stream.lost, f"{_count(stream.lost, 'packet')} missing, {stream.received} received"),
        (stream.late, f"{_count(stream.late, 'packet')} duplicate or too late"),
        (stream.foreign, f"{_count(stream.foreign, 'packet')} of another sender or unreadable"),
        (stream.restarts, f"{_count(stream.restarts, 'restart')} of the sender"),
        (stream.jumps, f"{_count(stream.jumps, 'jump')} of the timestamps corrected"),
    ]
    return [text for happened, text in found if happened]


def codec_warnings(
    changes: Iterable[tuple[int, int, str]], unknown: Mapping[int, int]
) -> Iterator[str]:
    """Return a warning for each change of the codec in mid-file; times are in ticks."""
    for time, payload_type, name in changes:
        title = VIDEO_INPUT[name].title
        yield f"changes to {title} (payload type {payload_type}) {time / VIDEO_CLOCK_HZ:.1f} s in"
    for payload_type, time in unknown.items():
        at_s = time / VIDEO_CLOCK_HZ
        yield f"changes to payload type {payload_type} {at_s:.1f} s in: left out, unknown codec"


def frame_warnings(assembler: Assembler) -> list[str]:
    """Return a warning for each kind of damage met on the way from packets to frames."""
    found = [
        (assembler.before_key, "left out before the first key frame"),
        (assembler.damaged, "left out because of lost packets"),
        (assembler.cut, "left out, cut by the sender"),
        (assembler.unreferenced, "left out because they refer to lost frames"),
        (assembler.smeared, "kept although they refer to lost frames, as no key frame came"),
    ]
    return [f"{_count(number, 'frame')} {text}" for number, text in found if number]


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
