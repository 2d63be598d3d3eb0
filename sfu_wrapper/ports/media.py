"""Media tools: what reads raw files and writes finished ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sfu_wrapper.core.plan import Composition, Sound, Turn

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class PreparedVideo:
    """One raw video file turned into a media file.

    path: ``.webm`` or ``.mp4``. codec: ``vp8``, ``vp9`` or ``h264``.
    zero_us: epoch microseconds of the file's own time 0, by the clock of whoever wrote it.
    drift_ppm: by how much the file's own time runs fast against that; None: it cannot be told.
    first_us, end_us: in the file's own time, when its first picture shows and its last is over.
    packets_received, packets_lost, gaps: what came, what never did, how often nothing did for long.
    turns: of pictures that were sent turned, in the file's own time.
    notes: what had to be survived, for the log and the warnings.
    """

    path: Path
    codec: str
    zero_us: int
    first_us: int
    end_us: int
    drift_ppm: float | None = None
    packets_received: int = 0
    packets_lost: int = 0
    gaps: int = 0
    notes: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()


class MediaTools(Protocol):
    """Each call ends, one way or another, and checks what it wrote by reading it again.

    Raises, all of them:
        JobFailed: with the stage it belongs to; ``TIMEOUT`` where it took too long.
    """

    async def preprocess(
        self, source: Path, target_dir: Path, *, timeout_s: float
    ) -> PreparedVideo | None:
        """Turn one ``.mjr`` into a media file in ``target_dir``. None: it holds no picture."""
        ...

    async def sound_us(self, source: Path, *, timeout_s: float) -> int:
        """How many microseconds of sound a raw WAV file really holds."""
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
        """Write the merged file, and its poster where one is wanted; ``progress`` hears percents.

        Returns of each source how many pictures of the file show its picture of before once more.
        """
        ...

    async def copy_video(self, source: PreparedVideo, target: Path, *, timeout_s: float) -> None:
        """Write a split video file, without encoding again."""
        ...

    async def write_sound(
        self, sounds: Sequence[Sound], duration_us: int, target: Path, *, timeout_s: float
    ) -> None:
        """Write the mix as a WAV of 16 kHz, mono, 8 bits, from the segment's start to its end."""
        ...
