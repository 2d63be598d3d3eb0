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
        self._first = self._last = self._end = -1
        self.frames = 0
        self._keys_ms: list[int] = []
        self._resolutions: list[Resolution] = []
        self._gaps: list[Gap] = []

    def note(self, time: int, length: int = 0) -> None:
        """One frame. length: how long it lasts where that is known, in ticks."""
        if self.frames == 0:
            self._first = time
            self._end = time + _ONLY_FRAME_MS * self._ticks_a_ms
        else:
            if time - max(self._last, self._end if length else 0) > GAP_MS * self._ticks_a_ms:
                start = self._end if length else self._last
                self._gaps.append(Gap(start // self._ticks_a_ms, time // self._ticks_a_ms))
            self._end = time + min(time - self._last, LAST_FRAME_MS * self._ticks_a_ms)
        if length:
            self._end = time + length
        self._last = time
        self.frames += 1

    def note_key(self, time: int, size: tuple[int, int] | None) -> None:
        """That the frame is a key frame, and its size."""
        at_ms = time // self._ticks_a_ms
        self._keys_ms.append(at_ms)
        known = self._resolutions[-1] if self._resolutions else None
        if size and (known is None or (known.width, known.height) != size):
            self._resolutions.append(Resolution(at_ms, *size))

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
        return TrackFile(
            path=path,
            kind=kind,
            codec=header.codec,
            started_us=header.started_us,
            created_us=header.created_us,
            first_ms=self._first // self._ticks_a_ms,
            duration_ms=self._end // self._ticks_a_ms,
            frames=self.frames,
            key_frames_ms=tuple(self._keys_ms),
            resolutions=tuple(self._resolutions),
            rotations=tuple(Rotation(t // self._ticks_a_ms, turn) for t, turn in rotations),
            packets_received=stream.received,
            packets_lost=stream.lost,
            gaps=tuple(self._gaps),
            warnings=tuple(warnings),
        )


def stream_warnings(reader: Reader, stream: MediaStream) -> list[str]:
    """What had to be survived on the way from the file to ordered packets."""
    found = [
        (reader.truncated, "the file ends within a packet"),
        (reader.skipped_bytes, f"{reader.skipped_bytes} bytes of garbage were skipped"),
        (stream.lost, f"{stream.lost} of {stream.lost + stream.received} packets are missing"),
        (stream.late, f"{stream.late} packets came twice or too late"),
        (stream.foreign, f"{stream.foreign} packets belong to no or another sender"),
        (stream.restarts, f"the sender began anew {stream.restarts} times"),
        (stream.jumps, f"the timestamps jumped {stream.jumps} times and were corrected"),
    ]
    return [text for happened, text in found if happened]


def picture_warnings(assembler: Assembler) -> list[str]:
    """What had to be survived on the way from packets to pictures."""
    found = [
        (assembler.before_key, "pictures before the first key frame were left out"),
        (assembler.damaged, "damaged pictures were left out"),
        (assembler.unreferenced, "pictures were left out that refer to missing ones"),
        (assembler.smeared, "pictures were kept that may be smeared, as no key frame came"),
    ]
    return [f"{count} {text}" for count, text in found if count]
