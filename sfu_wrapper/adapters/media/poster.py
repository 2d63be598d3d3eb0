"""Poster of a merged file: one of its frames, as JPEG."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from sfu_wrapper.adapters.media.demux import reading
from sfu_wrapper.model.errors import JobFailed

_QUALITY = 85
_BLACK = 24.0  # mean luma; nothing but black has 16
_US = Fraction(1, 1_000_000)


def write_poster(source: Path, moments_us: Sequence[int], target: Path) -> None:
    """Write the first frame at these moments that is not black; if all are, the brightest.

    Raises:
        JobFailed: the result cannot be read back.
        av.FFmpegError, OSError: a file cannot be read or written.
    """
    with reading(source) as container:
        best = _best(_frame(container, moment_us) for moment_us in moments_us or (0,))
        image = Image.fromarray(best.to_ndarray(format="rgb24"))
        image.save(target, "JPEG", quality=_QUALITY)
        size = best.width, best.height
    _verify(target, size)


def _best(frames: Iterable[av.VideoFrame]) -> av.VideoFrame:
    seen: list[tuple[float, av.VideoFrame]] = []
    for frame in frames:
        seen.append((float(np.asarray(frame.reformat(format="gray").to_ndarray()).mean()), frame))
        if seen[-1][0] > _BLACK:
            break
    return max(seen, key=lambda one: one[0])[1]


def _frame(container: av.container.InputContainer, moment_us: int) -> av.VideoFrame:
    """Return the frame displayed at that time, or the last one where the file ends before."""
    stream = container.streams.video[0]
    container.seek(moment_us, backward=True)
    shown: av.VideoFrame | None = None
    for frame in container.decode(stream):
        if shown is not None and _time_us(frame) > moment_us:
            break
        shown = frame
    if shown is None:
        raise JobFailed("compose", "BAD_RESULT", "no frame for the poster", permanent=False)
    return shown


def _time_us(frame: av.VideoFrame) -> Fraction:
    return (frame.pts or 0) * Fraction(frame.time_base or 0) / _US


def _verify(target: Path, size: tuple[int, int]) -> None:
    try:
        with Image.open(target) as image:
            image.load()
            found = image.size
    except OSError as exc:
        detail = f"{target.name} cannot be read back: {exc}"
        raise JobFailed("compose", "BAD_RESULT", detail, permanent=False) from exc
    if found != size:
        detail = f"{target.name} is {found} instead of {size}"
        raise JobFailed("compose", "BAD_RESULT", detail, permanent=False)
