"""The mix of a simulated room: 16 kHz, 16 bit, mono, one sine tone per audible participant.

Position 0 has 440 Hz, each further position 440 Hz more up to 7480 Hz; the next ones have the
frequencies half-way between, from 660 Hz on. Every tone has a tenth of full scale, so that nine do
not clip. Sample n belongs to the time n / 16000 s after the start; without participants it is 0.
"""

import os
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sfu_wrapper.adapters.os.beneath import open_plain
from sfu_wrapper.formats import wav

RATE_HZ: Final = 16_000
TONES_HZ: Final[tuple[int, ...]] = (*range(440, 7481, 440), *range(660, 7480, 440))

_AMPLITUDE: Final = 0.1 * 32767
_BYTES: Final = 2  # a sample
_PORTION: Final = RATE_HZ  # samples computed at once
_HEADER_EVERY_US: Final = 1_000_000


def tone_hz(seat: int) -> int:
    """Return the frequency of a position; positions beyond the last tone start again."""
    return TONES_HZ[seat % len(TONES_HZ)]


class Mix:
    """A growing .wav. Raises OSError from every method that writes.

    Attributes:
        seats: positions of the audible participants; call ``advance`` before changing them.
    """

    def __init__(self, path: Path, start_us: int) -> None:
        self.seats: frozenset[int] = frozenset()
        self._start_us = start_us
        self._samples = 0
        self._header_us = start_us
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.pwrite(self._fd, wav.header(0, rate=RATE_HZ), 0)

    @property
    def written_ms(self) -> int:
        """The end of the samples written so far, epoch ms."""
        return (self._start_us + self._samples * 1_000_000 // RATE_HZ) // 1000

    def advance(self, now_us: int) -> None:
        """Write all samples up to ``now_us``, epoch µs."""
        due = (now_us - self._start_us) * RATE_HZ // 1_000_000
        while self._samples < due:
            count = min(due - self._samples, _PORTION)
            data = _tones(self._samples, count, self.seats).tobytes()
            os.pwrite(self._fd, data, wav.HEADER_BYTES + self._samples * _BYTES)
            self._samples += count
        if now_us - self._header_us >= _HEADER_EVERY_US:
            self._header_us = now_us
            self._write_lengths()

    def seal(self) -> None:
        """Write the final lengths and make the file durable; slow."""
        self._write_lengths()
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _write_lengths(self) -> None:
        os.pwrite(self._fd, wav.header(self._samples * _BYTES, rate=RATE_HZ), 0)


def repair_lengths(path: Path) -> float:
    """Correct the lengths in a .wav left by a crash; return its duration in seconds."""
    with os.fdopen(open_plain(path, write=True), "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        samples = max(size - wav.HEADER_BYTES, 0) // _BYTES
        header = wav.header(samples * _BYTES, rate=RATE_HZ)
        file.seek(0)
        if file.read(wav.HEADER_BYTES) != header:
            file.seek(0)
            file.write(header)
            file.truncate(wav.HEADER_BYTES + samples * _BYTES)
            file.flush()
            os.fsync(file.fileno())
    return samples / RATE_HZ


def _tones(first: int, count: int, seats: frozenset[int]) -> NDArray[np.int16]:
    seconds = np.arange(first, first + count) / RATE_HZ
    total = np.zeros(count)
    for seat in seats:
        total += np.sin(2 * np.pi * tone_hz(seat) * seconds)
    return np.clip(total * _AMPLITUDE, -32768, 32767).astype("<i2")
