"""Media tools: reading raw files and writing finished ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sfu_wrapper.core.plan import AudioSource, Composition, Rotation

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class PreparedVideo:
    """A raw video file converted into a media file.

    Attributes:
        path: ``.webm`` or ``.mp4``.
        codec: name in the table of ``model.codecs``.
        zero_us: epoch microseconds of the file's own time 0, by the clock of its writer.
        first_us: start of the first frame, in the file's own time.
        end_us: end of the last frame, in the file's own time.
        drift_ppm: by how much the file's own time runs fast against the writer's clock; None:
            unknown.
        packets_received: number of packets in the file.
        packets_lost: number of packets missing in the sequence.
        frames: number of frames.
        gaps: number of long interruptions.
        still: number of these in which no packet is missing.
        beat_us: longest pause in which no packet is missing; 0 where all are short.
        created_us: epoch microseconds of the opening of the raw file.
        started_us: epoch microseconds of the receipt of the first packet.
        received_us: epoch microseconds of the receipt of the last packet; None: unknown.
        notes: damage that was worked around, for the log and the warnings.
        turns: changes of rotation, in the file's own time.
        left_out_us: time in which the raw file has media that the converted one lacks, for other
            reasons than loss on the network.
        following: the rest of the track where its codec changes, a file for each stretch.
    """

    path: Path
    codec: str
    zero_us: int
    first_us: int
    end_us: int
    drift_ppm: float | None = None
    packets_received: int = 0
    packets_lost: int = 0
    frames: int = 0
    gaps: int = 0
    still: int = 0
    beat_us: int = 0
    created_us: int = 0
    started_us: int = 0
    received_us: int | None = None
    notes: tuple[str, ...] = ()
    turns: tuple[Rotation, ...] = ()
    left_out_us: int = 0
    following: tuple["PreparedVideo", ...] = ()

    @property
    def rotation(self) -> int:
        """Clockwise rotation, in degrees, that makes the file upright for the longest time."""
        edges = [self.first_us, *(max(turn.at_us, self.first_us) for turn in self.turns)]
        held = dict.fromkeys((0, *(turn.degrees for turn in self.turns)), 0)
        degrees = (0, *(turn.degrees for turn in self.turns))
        for value, begin, end in zip(degrees, edges, [*edges[1:], self.end_us], strict=True):
            held[value] += max(end - begin, 0)
        return max(held, key=lambda value: held[value])


class MediaTools(Protocol):
    """The operations on media files.

    Each call ends within its timeout, and reads back what it wrote to check it.

    Raises, in all methods:
        JobFailed: with the stage of the operation; ``TIMEOUT`` where it took too long.
    """

    async def preprocess(
        self, source: Path, target_dir: Path, *, timeout_s: float
    ) -> PreparedVideo | None:
        """Convert one ``.mjr`` into a media file in ``target_dir``. None: it holds no frame."""
        ...

    async def audio_us(self, source: Path, *, timeout_s: float) -> int:
        """Return the microseconds of audio that a raw WAV file really holds."""
        ...

    async def compose(
        self,
        plan: Composition,
        target: Path,
        progress: Progress,
        *,
        poster: Path | None = None,
        timeout_s: float,
    ) -> tuple[int, ...]:
        """Write the merged file, and its poster where a path is given.

        Args:
            plan: content of the file.
            target: path of the file.
            progress: called with the percentage done.
            poster: path of the poster; None: no poster.
            timeout_s: limit in seconds.

        Returns:
            For each source, the number of output frames that repeat its previous frame.
        """
        ...

    async def copy_video(self, source: PreparedVideo, target: Path, *, timeout_s: float) -> None:
        """Write a split video file, without re-encoding."""
        ...

    async def write_audio(
        self, sources: Sequence[AudioSource], duration_us: int, target: Path, *, timeout_s: float
    ) -> None:
        """Write the mix as a WAV of 16 kHz, mono, 8 bits, from the segment's start to its end."""
        ...
