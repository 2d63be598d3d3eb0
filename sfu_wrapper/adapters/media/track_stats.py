"""The account of one converted track: when its frames are, what is missing, what to tell people.

Pure bookkeeping beside the writing; decides only what counts as a gap and how long a last frame is.
"""

from pathlib import Path

from sfu_wrapper.formats.assemble import Assembler
from sfu_wrapper.formats.mjr import Header, Reader
from sfu_wrapper.formats.stream import MediaStream
from sfu_wrapper.model.track import Gap, Resolution, Rotation, TrackFile, TrackKind

GAP_MS = 1_000
LAST_FRAME_MS = 100
"""Nobody knows how long a last picture was meant to stay: as long as the one before, at most so."""

_ONLY_FRAME_MS = 40


class Account:
    """Notes every frame that is written; ``ticks_a_ms`` is the unit of its times."""

    def __init__(self, ticks_a_ms: int) -> None:
        self._ticks_a_ms = ticks_a_ms
        self._longest_gap = GAP_MS * ticks_a_ms
        self._first = self._before = self._last = self._over = -1
        self.frames = 0
        self._keys_ms: list[int] = []
        self._resolutions: list[Resolution] = []
        self._gaps: list[Gap] = []

    def note(self, time: int, length: int = 0) -> None:
        """One frame. length: how long it lasts where that is known, in ticks."""
        if not self.frames:
            self._first = time
        elif time - self._over > self._longest_gap:
            self._gaps.append(Gap(self._ms(self._over), self._ms(time)))
        self._before, self._last, self._over = self._last, time, time + length
        self.frames += 1

    def note_key(self, time: int, size: tuple[int, int] | None) -> None:
        """That the frame is a key frame, and its size."""
        at_ms = self._ms(time)
        self._keys_ms.append(at_ms)
        known = self._resolutions[-1] if self._resolutions else None
        if size and (known is None or (known.width, known.height) != size):
            self._resolutions.append(Resolution(at_ms, *size))

    @property
    def end_ms(self) -> int:
        """When the last frame is over, so far."""
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
        """The whole account, once everything is written."""
        drift = stream.drift
        # Cut, not rounded: an .mp4 is finer than a millisecond, and no picture may be before its
        # turn.
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
            gaps=tuple(self._gaps),
            warnings=tuple(warnings),
        )

    def _ms(self, time: int) -> int:
        """Rounded as the times in a WebM file are."""
        return (time + self._ticks_a_ms // 2) // self._ticks_a_ms


def stream_warnings(reader: Reader, stream: MediaStream) -> list[str]:
    """What had to be survived on the way from the file to ordered packets."""
    found = [
        (reader.truncated, "the file ends within a packet"),
        (reader.skipped_bytes, f"{_count(reader.skipped_bytes, 'byte')} of garbage skipped"),
        (stream.lost, f"{_count(stream.lost, 'packet')} missing, {stream.received} received"),
        (stream.late, f"{_count(stream.late, 'packet')} doubled or too late"),
        (stream.foreign, f"{_count(stream.foreign, 'packet')} of another sender or unreadable"),
        (stream.restarts, f"{_count(stream.restarts, 'new beginning')} of the sender"),
        (stream.jumps, f"{_count(stream.jumps, 'jump')} of the timestamps corrected"),
    ]
    return [text for happened, text in found if happened]


def picture_warnings(assembler: Assembler) -> list[str]:
    """What had to be survived on the way from packets to pictures."""
    found = [
        (assembler.before_key, "left out before the first key frame"),
        (assembler.damaged, "left out that had lost packets"),
        (assembler.unreferenced, "left out that refer to lost ones"),
        (assembler.smeared, "kept though they refer to lost ones, as no key frame came"),
    ]
    return [f"{_count(number, 'picture')} {text}" for number, text in found if number]


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
