"""WAV files as mixers write them, and headers of our own.

The AudioBridge's lengths are never reliable: 44 too many in the normal case, stale or 0 after a
crash. So the audio extends to the end of the file, unless well-formed chunks follow it there.
RF64 and BW64 (EBU Tech 3306, ITU-R BS.2088) are WAV with lengths of 64 bits in a chunk ``ds64``.
Reading is total, and reads only the header and the chunk heads, never the samples.
"""

from dataclasses import dataclass
from struct import Struct

from sfu_wrapper.formats.bits import Buffer
from sfu_wrapper.model.errors import Malformed

HEADER_BYTES = 44
MAX_DATA_BYTES = 0xFFFFFFFF - HEADER_BYTES

PCM = 1
_EXTENSIBLE = 0xFFFE

_CHUNK = Struct("<4sI")
_FORMAT = Struct("<HHIIHH")  # tag, channels, rate, bytes a second, block, bits
_SUBFORMAT_AT = 24  # within the chunk, of the extensible form
_RIFF_BYTES = 12
_FORMS = (b"RIFF", b"RF64", b"BW64")
_LENGTHS = Struct("<QQ")  # of the file, of the audio
_ELSEWHERE = 0xFFFFFFFF  # as a length: in ``ds64``


@dataclass(frozen=True, slots=True)
class Wav:
    """Format and position of the audio.

    Attributes:
        tag: 1 PCM, 3 float, 6 A-law, 7 mu-law.
        channels: number of channels.
        rate: samples a second.
        bits: bits a sample and channel.
        data_start: position of the audio in the file.
        data_bytes: existing bytes of audio, in whole sample blocks.
        declared_bytes: length according to the header.
    """

    tag: int
    channels: int
    rate: int
    bits: int
    data_start: int
    data_bytes: int
    declared_bytes: int

    @property
    def block_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * self.bits // 8

    @property
    def duration_ms(self) -> int:
        """Duration of the existing audio, in ms."""
        return self.data_bytes // self.block_bytes * 1000 // self.rate

    @property
    def truthful(self) -> bool:
        """True where the header declares the existing length."""
        return self.declared_bytes == self.data_bytes


def parse(buffer: Buffer) -> Wav | None:
    """Read the header. Raises Malformed for a file that is no WAV.

    Returns:
        None where the file ends before its audio begins.
    """
    if not _is_riff_so_far(buffer):
        raise Malformed(f"not a WAV file: it begins with {bytes(buffer[:4])!r}")
    form: tuple[int, int, int, int] | None = None
    long_data = _ELSEWHERE
    position = _RIFF_BYTES
    while position + _CHUNK.size <= len(buffer):
        name, length = _CHUNK.unpack_from(buffer, position)
        position += _CHUNK.size
        if name == b"data":
            if form is None:
                raise Malformed("the WAV file has audio before its format")
            return _wav(buffer, form, position, long_data if length == _ELSEWHERE else length)
        if name == b"ds64" and length >= _LENGTHS.size <= len(buffer) - position:
            long_data = _LENGTHS.unpack_from(buffer, position)[1]
        if name == b"fmt " and position + length <= len(buffer):
            form = _parse_format(buffer[position : position + length])
        position += length + (length & 1)
    return None


def header(data_bytes: int, *, rate: int, channels: int = 1, bits: int = 16) -> bytes:
    """Return the 44 bytes before ``data_bytes`` of PCM: 8-bit samples unsigned, 16-bit signed.

    A length that exceeds the field is written as the largest value, which readers interpret as
    "to the end". Audio of an odd number of bytes needs one zero byte after it.
    """
    block = channels * bits // 8
    if bits not in (8, 16) or channels < 1 or rate < 1 or data_bytes < 0:
        raise ValueError(f"no PCM of {bits} bits, {channels} channels, {rate} Hz")
    if block > 0xFFFF or rate * block > 0xFFFFFFFF:
        raise ValueError(f"more than a header can say: {channels} channels, {rate} Hz")
    fits = data_bytes <= MAX_DATA_BYTES
    riff = HEADER_BYTES - 8 + data_bytes + (data_bytes & 1) if fits else 0xFFFFFFFF
    return (
        _CHUNK.pack(b"RIFF", min(riff, 0xFFFFFFFF))
        + b"WAVE"
        + _CHUNK.pack(b"fmt ", _FORMAT.size)
        + _FORMAT.pack(PCM, channels, rate, rate * block, block, bits)
        + _CHUNK.pack(b"data", data_bytes if fits else 0xFFFFFFFF)
    )


def repaired_header(wav: Wav) -> bytes:
    """Return a correct header for a copy of exactly the audio of ``wav``.

    Raises:
        ValueError: the audio is not PCM of 8 or 16 bits.
    """
    if wav.tag != PCM:
        raise ValueError(f"format {wav.tag} is not PCM")
    return header(wav.data_bytes, rate=wav.rate, channels=wav.channels, bits=wav.bits)


def _is_riff_so_far(buffer: Buffer) -> bool:
    head = bytes(buffer[:_RIFF_BYTES])
    known = any(form.startswith(head[:4]) for form in _FORMS)
    return known and b"WAVE".startswith(head[8:])


def _parse_format(chunk: bytes) -> tuple[int, int, int, int]:
    if len(chunk) < _FORMAT.size:
        raise Malformed("the WAV file's format is cut")
    tag, channels, rate, _, _, bits = _FORMAT.unpack_from(chunk)
    if tag == _EXTENSIBLE and len(chunk) >= _SUBFORMAT_AT + 2:
        tag = int.from_bytes(chunk[_SUBFORMAT_AT : _SUBFORMAT_AT + 2], "little")
    if not channels or not rate or not bits or bits % 8:
        raise Malformed(f"no WAV format: {channels} channels, {rate} Hz, {bits} bits")
    return tag, channels, rate, bits


def _wav(buffer: Buffer, form: tuple[int, int, int, int], start: int, declared: int) -> Wav:
    tag, channels, rate, bits = form
    there = len(buffer) - start
    if declared < there and _chunks_fill(buffer, start + declared + (declared & 1)):
        there = declared
    block = channels * bits // 8
    return Wav(tag, channels, rate, bits, start, there - there % block, declared)


def _chunks_fill(buffer: Buffer, position: int) -> bool:
    """Return True if well-formed chunks extend from here to the very end, unlikely for audio."""
    while position + _CHUNK.size <= len(buffer):
        name, length = _CHUNK.unpack_from(buffer, position)
        if not all(0x20 <= byte < 0x7F for byte in name):
            return False
        position += _CHUNK.size + length + (length & 1)
    # The last chunk's pad byte may be missing; any other remainder is audio.
    return position in (len(buffer), len(buffer) + 1)
