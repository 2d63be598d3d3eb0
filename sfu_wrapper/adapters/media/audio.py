"""The mix on the segment's time line, as 16-bit mono at one rate.

Audio before the segment is dropped, missing audio is silence, overlapping files are added. Each
file is read in small blocks, so that memory depends neither on its length nor on its header. Split
output has the mix as a WAV of 16 kHz, mono, 8 bits.
"""

import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

from sfu_wrapper.adapters.media.demux import opened
from sfu_wrapper.core.plan import AudioSource
from sfu_wrapper.formats import wav
from sfu_wrapper.model.errors import Malformed

Samples = NDArray[np.int16]
WAV_RATE = 16_000  # of split output

_LOUDEST = 32767
_FINEST_HZ = 1_000_000  # what libswresample takes of rates that share no factor
_RAW_CODECS = {
    (1, 8): "pcm_u8", (1, 16): "pcm_s16le", (1, 24): "pcm_s24le", (1, 32): "pcm_s32le",
    (3, 32): "pcm_f32le", (3, 64): "pcm_f64le", (6, 8): "pcm_alaw", (7, 8): "pcm_mulaw",
}  # fmt: skip
_MOST_CHANNELS = 8
_STEREO = 2
_FULL_SCALE = {"u8": 1 << 7, "s16": 1 << 15, "s32": 1 << 31}  # of integer samples

_SLOWEST_HZ, _FASTEST_HZ = 4_000, 384_000  # resampling of other rates takes far too long


def write_audio(sources: Sequence[AudioSource], duration_us: int, target: Path) -> None:
    """Write the mix from the segment's start to its end.

    Raises OSError, or Malformed where a file is no WAV.
    """
    with target.open("wb") as file:
        file.write(wav.header(0, rate=WAV_RATE, channels=1, bits=8))
        count = 0
        for samples in timeline(sources, duration_us, WAV_RATE):
            rounded = (samples.astype(np.int32) + 128 >> 8) + 128
            file.write(np.clip(rounded, 0, 255).astype(np.uint8).tobytes())
            count += len(samples)
        if count % 2:
            file.write(b"\0")
        file.seek(0, os.SEEK_SET)
        file.write(wav.header(count, rate=WAV_RATE, channels=1, bits=8))


def timeline(sources: Sequence[AudioSource], duration_us: int, rate: int) -> Iterator[Samples]:
    """Yield blocks of at most one second that together last for the duration.

    Raises:
        Malformed: a file is no WAV file of a supported kind.
        OSError: a file cannot be read.
    """
    pieces = [_Piece(source, rate) for source in sources]
    total = -(-duration_us * rate // 1_000_000)
    for start in range(0, total, rate):
        block = np.zeros(min(rate, total - start), np.int32)
        for piece in pieces:
            piece.add_to(block, start)
        yield np.clip(block, -_LOUDEST - 1, _LOUDEST).astype(np.int16)


def audio_us(path: Path) -> int:
    """Return the length of a file's audio. Raises Malformed where its format is not supported."""
    with opened(path) as number:
        if os.fstat(number).st_size == 0:
            return 0
        with mmap.mmap(number, 0, access=mmap.ACCESS_READ) as mapped:
            parsed = wav.parse(mapped)
            if parsed is None or parsed.data_bytes == 0:
                return 0
            _codec(parsed)
            return parsed.data_bytes // parsed.block_bytes * 1_000_000 // parsed.rate


class _Piece:
    """A file on the time line, read as the blocks need it."""

    def __init__(self, source: AudioSource, rate: int) -> None:
        self._chunks = _resampled(Path(source.path), rate, source.pace)
        self._at = source.start_us * rate // 1_000_000  # of the first sample in ``_rest``
        self._rest: Samples = np.empty(0, np.int16)

    def add_to(self, block: NDArray[np.int32], start: int) -> None:
        """Add this file's samples within [start, start + len(block)) of the time line."""
        end = start + len(block)
        while self._at < end:
            if not len(self._rest):
                more = next(self._chunks, None)
                if more is None:
                    return
                self._rest = more
                continue
            skip = min(max(start - self._at, 0), len(self._rest))
            self._take(skip)
            taken = self._take(end - self._at)
            offset = self._at - len(taken) - start
            block[offset : offset + len(taken)] += taken

    def _take(self, count: int) -> Samples:
        taken, self._rest = self._rest[:count], self._rest[count:]
        self._at += len(taken)
        return taken


def _resampled(path: Path, rate: int, pace: float) -> Iterator[Samples]:
    """Yield samples at ``rate``, with each second stretched to ``pace`` seconds."""
    resampler: av.AudioResampler | None = None
    fine = 1  # rates in fractions of a hertz, for corrections of a few parts per million
    for frame in _decoded(path):
        if resampler is None:
            fine = 1 if pace == 1 else max(1, _FINEST_HZ // frame.sample_rate)
            resampler = av.AudioResampler("s16", "mono", round(rate * pace * fine))
        frame.sample_rate *= fine
        for out in resampler.resample(frame):
            yield _samples(out)
    for out in resampler.resample(None) if resampler else ():
        yield _samples(out)


def _samples(frame: av.AudioFrame) -> Samples:
    return cast("Samples", frame.to_ndarray().reshape(-1))


def _decoded(path: Path) -> Iterator[av.AudioFrame]:
    """Yield one frame per second of audio, without timestamps: the samples are contiguous."""
    with opened(path) as number:
        with mmap.mmap(number, 0, access=mmap.ACCESS_READ) as mapped:
            parsed = wav.parse(mapped)
        if parsed is None:
            return
        decoder = cast("av.AudioCodecContext", av.CodecContext.create(_codec(parsed), "r"))
        decoder.sample_rate = parsed.rate
        decoder.layout = {1: "mono", 2: "stereo"}.get(
            parsed.channels, f"{parsed.channels} channels"
        )
        at, end = parsed.data_start, parsed.data_start + parsed.data_bytes
        while chunk := os.pread(number, min(parsed.block_bytes * parsed.rate, end - at), at):
            at += len(chunk)
            for frame in decoder.decode(av.Packet(chunk)):
                if parsed.channels > _STEREO:
                    frame = _mean(frame, parsed.channels)
                frame.pts = None
                yield frame


def _mean(frame: av.AudioFrame, channels: int) -> av.AudioFrame:
    """Return the mean of all channels. libswresample leaves some out, which depends on a layout."""
    samples = frame.to_ndarray().reshape(-1, channels).mean(axis=1)
    kind = frame.format.name
    if kind in _FULL_SCALE:
        samples = samples / _FULL_SCALE[kind] - (kind == "u8")
    mono = av.AudioFrame.from_ndarray(samples.astype(np.float32)[np.newaxis], "flt", "mono")
    mono.sample_rate = frame.sample_rate
    return mono


def _codec(parsed: wav.Wav) -> str:
    if not _SLOWEST_HZ <= parsed.rate <= _FASTEST_HZ:
        raise Malformed(f"WAV sample rate {parsed.rate} Hz is not supported")
    codec = _RAW_CODECS.get((parsed.tag, parsed.bits))
    if codec is None or parsed.channels > _MOST_CHANNELS:
        raise Malformed(
            f"WAV format {parsed.tag} with {parsed.channels} x {parsed.bits} bits is not supported"
        )
    return codec
