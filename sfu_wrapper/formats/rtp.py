"""RTP packets (RFC 3550) with their header extensions (RFC 8285): parser and encoder.

``payload_span`` and ``extensions`` work on positions, for speed; ``parse`` and ``encode`` on whole
packets. Sequence numbers and timestamps wrap; ``signed`` gives the shorter difference. This module
knows no codecs and no streams.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from struct import error as struct_error

from sfu_wrapper.formats.bits import Buffer
from sfu_wrapper.model.errors import Malformed

VIDEO_ORIENTATION = "urn:3gpp:video-orientation"

HEADER = Struct(">BBHII")  # version and flags, marker and type, sequence, timestamp, SSRC
HEADER_BYTES = HEADER.size

_VERSION = 0x80
_VERSION_MASK = 0xC0
_PADDING = 0x20
_EXTENSION = 0x10
_CSRC_MASK = 0x0F
_MARKER = 0x80
_EXTENSION_HEAD = Struct(">HH")  # profile, length in words
_ONE_BYTE_PROFILE = 0xBEDE
_TWO_BYTE_PROFILE = 0x1000
_TWO_BYTE_MASK = 0xFFF0
_STOP = 15  # as an id in the one-byte form


@dataclass(frozen=True, slots=True)
class Packet:
    """RTP packet. ``sequence`` has 16 bits, ``timestamp`` and ``ssrc`` 32.

    Attributes:
        payload: without padding.
        sequence: number that rises by one a packet.
        timestamp: media time in ticks of the codec's clock.
        ssrc: id of the sender's stream.
        payload_type: codec, by the session description.
        marker: end of a frame, or begin of a burst of speech.
        csrc: ids of the sources of a mix.
        extensions: header extension elements, id (1..255) with at most 255 bytes.
    """

    payload: bytes
    sequence: int
    timestamp: int
    ssrc: int
    payload_type: int
    marker: bool = False
    csrc: tuple[int, ...] = ()
    extensions: tuple[tuple[int, bytes], ...] = ()


def parse(data: bytes) -> Packet:
    """Parse a packet, without its padding. Raises Malformed for bytes that are no RTP packet."""
    start, stop = payload_span(data, 0, len(data))
    if start < 0:
        raise Malformed("not an RTP packet")
    flags, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
    sources = data[HEADER_BYTES : HEADER_BYTES + 4 * (flags & _CSRC_MASK)]
    return Packet(
        payload=data[start:stop],
        sequence=sequence,
        timestamp=timestamp,
        ssrc=ssrc,
        payload_type=second & 0x7F,
        marker=second >= _MARKER,
        csrc=tuple(number for (number,) in Struct(">I").iter_unpack(sources)),
        extensions=tuple(extensions(data, 0)),
    )


def encode(packet: Packet) -> bytes:
    """Encode a packet. Raises ValueError where a field does not fit."""
    flags = _VERSION | (_EXTENSION if packet.extensions else 0) | _fit(len(packet.csrc), 15)
    second = (_MARKER if packet.marker else 0) | _fit(packet.payload_type, 127)
    try:
        head = HEADER.pack(flags, second, packet.sequence, packet.timestamp, packet.ssrc)
        sources = Struct(f">{len(packet.csrc)}I").pack(*packet.csrc)
    except struct_error as exc:
        raise ValueError(f"a field of the RTP packet does not fit: {exc}") from exc
    return head + sources + _encode_extensions(packet.extensions) + packet.payload


def payload_span(buffer: Buffer, start: int, end: int) -> tuple[int, int]:
    """Return the span of the payload of the packet at [start, end); (-1, -1) if it is no RTP."""
    if end - start < HEADER_BYTES:
        return -1, -1
    flags = buffer[start]
    if flags & _VERSION_MASK != _VERSION:
        return -1, -1
    first = start + HEADER_BYTES + 4 * (flags & _CSRC_MASK)
    if flags & _EXTENSION:
        if first + _EXTENSION_HEAD.size > end:
            return -1, -1
        first += _EXTENSION_HEAD.size + 4 * (buffer[first + 2] << 8 | buffer[first + 3])
    if first > end:
        return -1, -1
    if flags & _PADDING:
        padding = buffer[end - 1]
        if not 0 < padding <= end - first:
            return -1, -1
        end -= padding
    return first, end


def extensions(buffer: Buffer, start: int) -> Iterator[tuple[int, bytes]]:
    """Yield the header extension elements of a packet that ``payload_span`` has accepted."""
    flags = buffer[start]
    if not flags & _EXTENSION:
        return
    position = start + HEADER_BYTES + 4 * (flags & _CSRC_MASK)
    profile, words = _EXTENSION_HEAD.unpack_from(buffer, position)
    position += _EXTENSION_HEAD.size
    data = buffer[position : position + 4 * words]
    if profile == _ONE_BYTE_PROFILE:
        yield from _one_byte_elements(data)
    elif profile & _TWO_BYTE_MASK == _TWO_BYTE_PROFILE:
        yield from _two_byte_elements(data)


def extension(buffer: Buffer, start: int, number: int) -> bytes | None:
    """Return the first element of ``extensions`` with this id; faster than that."""
    flags = buffer[start]
    if not flags & _EXTENSION:
        return None
    position = start + HEADER_BYTES + 4 * (flags & _CSRC_MASK)
    profile, words = _EXTENSION_HEAD.unpack_from(buffer, position)
    if profile != _ONE_BYTE_PROFILE:
        return next((value for one, value in extensions(buffer, start) if one == number), None)
    position += _EXTENSION_HEAD.size
    end = position + 4 * words
    while position < end - 1:  # what is no padding has two bytes at least
        head = buffer[position]
        found = head >> 4
        if found == 0:  # padding
            position += 1
            continue
        following = position + 2 + (head & 15)
        if found == _STOP:
            return None
        if found == number:
            return buffer[position + 1 : following] if following <= end else None
        position = following
    return None


def rotation_degrees(orientation: bytes) -> int | None:
    """Return the clockwise rotation that makes the frame upright (3GPP TS 26.114, 7.4.5)."""
    return (orientation[0] & 3) * 90 if orientation else None


def signed(difference: int, bits: int) -> int:
    """Return the difference of two numbers that wrap at ``bits``, by the shorter way."""
    half = 1 << (bits - 1)
    return ((difference + half) & ((1 << bits) - 1)) - half


def _one_byte_elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        number, length = data[position] >> 4, (data[position] & 15) + 1
        if number == _STOP:
            return
        position += 1
        if number == 0:  # padding
            continue
        if position + length > len(data):
            return
        yield number, data[position : position + length]
        position += length


def _two_byte_elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 1 < len(data):
        number, length = data[position], data[position + 1]
        if number == 0:  # padding is a single byte here too
            position += 1
            continue
        position += 2
        if position + length > len(data):
            return
        yield number, data[position : position + length]
        position += length


def _encode_extensions(elements: tuple[tuple[int, bytes], ...]) -> bytes:
    if not elements:
        return b""
    if all(0 < number < _STOP and 0 < len(value) <= 16 for number, value in elements):
        profile = _ONE_BYTE_PROFILE
        parts = [bytes([number << 4 | len(value) - 1]) + value for number, value in elements]
    else:
        profile = _TWO_BYTE_PROFILE
        parts = [bytes([_fit(number, 255), _fit(len(v), 255)]) + v for number, v in elements]
        if any(number < 1 for number, _ in elements):
            raise ValueError("0 is not the id of a header extension")
    data = b"".join(parts)
    words = -(-len(data) // 4)
    return _EXTENSION_HEAD.pack(profile, _fit(words, 0xFFFF)) + data.ljust(4 * words, b"\0")


def _fit(value: int, most: int) -> int:
    if not 0 <= value <= most:
        raise ValueError(f"a field of the RTP packet must be 0..{most}, got {value}")
    return value
