"""Writer of one merged WebM file: frames and samples in, interleaved packets out.

The encoder settings are the best in our measurements of quality and time (performance.md):
realtime, a fixed speed, one thread.
"""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import av

from sfu_wrapper.adapters.media.audio import Samples
from sfu_wrapper.core.plan import (
    AUDIO_BITS_PER_S,
    CANVAS_HEIGHT,
    CANVAS_WIDTH,
    FRAMES_PER_S,
    Chapter,
)
from sfu_wrapper.model.codecs import MERGED_ENCODERS, MergedCodec

if TYPE_CHECKING:
    from av.container.core import Chapter as ContainerChapter  # exists for type checkers alone

AUDIO_RATE = 48_000
FRAME_TIME_BASE = Fraction(1, FRAMES_PER_S)
# Seekable from the start, and without the random number that files otherwise hold.
WEBM_OPTIONS = {"cues_to_front": "1", "fflags": "+bitexact"}
_US = Fraction(1, 1_000_000)
_KEY_FRAME_EVERY_S = 10
OPTIONS: dict[MergedCodec, dict[str, str]] = {
    # A negative speed is fixed; a positive one adapts to the load of the machine.
    "vp8": {"deadline": "realtime", "cpu-used": "-8", "error-resilient": "0"},
    # Without the last two options the output exceeds its bit rate by a quarter.
    "vp9": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "aq-mode": "3"},
}


class MergedWriter:
    """Context manager that writes one file; the file is whole after an exit without an error.

    Args:
        target: path of the file.
        codec: video codec.
        bits_per_s: video bit rate.
        audio: add an audio stream.
        chapters: chapters of the file.
    """

    def __init__(
        self,
        target: Path,
        codec: MergedCodec,
        bits_per_s: int,
        *,
        audio: bool,
        chapters: tuple[Chapter, ...],
    ) -> None:
        self._container = av.open(target, "w", format="webm", options=WEBM_OPTIONS)
        self._video = self._add_video(codec, bits_per_s)
        self._audio = self._add_audio() if audio else None
        self._container.set_chapters([_chapter(i, one) for i, one in enumerate(chapters)])
        self._samples = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._container.mux(self._video.encode(None))
                if self._audio is not None:
                    self._container.mux(self._audio.encode(None))
        finally:
            self._container.close()

    def add_frame(self, frame: av.VideoFrame) -> None:
        """Encode the next frame; its pts is the number of the frame."""
        self._container.mux(self._video.encode(frame))

    def add_audio(self, samples: Samples) -> None:
        """Encode the next samples, at ``AUDIO_RATE``."""
        if self._audio is None:
            return
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.time_base = AUDIO_RATE, Fraction(1, AUDIO_RATE)
        frame.pts = self._samples
        self._samples += len(samples)
        self._container.mux(self._audio.encode(frame))

    def _add_video(self, codec: MergedCodec, bits_per_s: int) -> av.VideoStream:
        rates = {"maxrate": bits_per_s, "minrate": bits_per_s, "bufsize": bits_per_s * 4}
        options = OPTIONS[codec] | {name: str(value) for name, value in rates.items()}
        name = MERGED_ENCODERS[codec]
        stream = cast(
            "av.VideoStream", self._container.add_stream(name, FRAMES_PER_S, options=options)
        )
        stream.width, stream.height, stream.pix_fmt = CANVAS_WIDTH, CANVAS_HEIGHT, "yuv420p"
        stream.bit_rate = bits_per_s
        context = stream.codec_context
        context.time_base, context.thread_count = FRAME_TIME_BASE, 1
        context.gop_size = FRAMES_PER_S * _KEY_FRAME_EVERY_S
        return stream

    def _add_audio(self) -> av.AudioStream:
        stream = self._container.add_stream("libopus", AUDIO_RATE, layout="mono")
        stream.bit_rate = AUDIO_BITS_PER_S
        return stream


def _chapter(number: int, chapter: Chapter) -> "ContainerChapter":
    return {
        "id": number + 1,
        "start": chapter.start_us,
        "end": chapter.stop_us,
        "time_base": _US,
        "metadata": {"title": chapter.title},
    }
