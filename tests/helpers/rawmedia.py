"""Looks inside raw files as a post-processor would: frames of an .mjr, tones of a .wav."""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from av import Packet
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from sfu_wrapper.adapters.simulated.pattern import StripData, read
from sfu_wrapper.formats import mjr, rtp
from sfu_wrapper.formats.vp8 import Vp8


@dataclass(frozen=True, slots=True)
class Shown:
    """One decoded frame: when its RTP time says it was taken, epoch ms, and what it says."""

    at_ms: float
    strip: StripData | None
    key: bool


def decoded_frames(path: Path) -> list[Shown]:
    """Decode a VP8 .mjr of the simulated plane."""
    decoder = CodecContext.create("vp8", "r")
    assert isinstance(decoder, VideoCodecContext)
    reader = mjr.Reader(path.read_bytes())
    assert reader.header is not None
    shown, payloads, vp8 = [], list[memoryview](), Vp8()
    for _, start, end in reader.frames():
        packet = rtp.parse(bytes(reader.buffer[start:end]))
        payloads.append(memoryview(packet.payload))
        if not packet.marker:
            continue
        coded = vp8.frame(payloads)
        payloads = []
        assert coded is not None
        for frame in decoder.decode(Packet(bytes(coded.data))):
            luma = np.asarray(frame.to_ndarray()[: frame.height], np.uint8)
            at_ms = reader.header.started_us / 1000 + packet.timestamp / 90
            shown.append(Shown(at_ms, read(luma), coded.key))
    return shown


def samples(path: Path) -> NDArray[np.int16]:
    """The sound of a .wav as its header declares it: 16 kHz, mono, 16 bit."""
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def tones(audio: NDArray[np.int16]) -> set[int]:
    """The frequencies, Hz, that can be heard in some sound of at least a quarter second."""
    window = audio[: len(audio) // 1600 * 1600] * np.hanning(len(audio) // 1600 * 1600)
    strength = np.abs(np.fft.rfft(window)) / len(window)
    step_hz = 16000 / len(window)
    peaks = [
        index
        for index in range(1, len(strength) - 1)
        if strength[index] > 200 and strength[index] == strength[index - 1 : index + 2].max()
    ]
    return {round(index * step_hz / 10) * 10 for index in peaks}
