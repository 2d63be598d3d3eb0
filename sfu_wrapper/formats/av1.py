"""AV1 over RTP (RTP Payload Format For AV1, 1.0): open bitstream units (OBUs) and their fragments.

Frames are emitted as temporal units of the low-overhead format: every unit has its size, and there
are no temporal delimiters, as WebM and MP4 require. All spatial layers of a timestamp are one
temporal unit; a decoder shows the largest of them.

Where a sender leaves out its largest layer, as on a slow uplink, the sequence header still declares
it. Decoders with several threads, those of browsers, wait for it and show nothing; ``narrowed``
changes the header for them.
"""

from collections import deque
from collections.abc import Iterator, Sequence

from sfu_wrapper.formats.bits import BitReader
from sfu_wrapper.formats.frame import CodedFrame
from sfu_wrapper.model.errors import Malformed

_CONTINUES, _CONTINUED, _NEW_SEQUENCE = 0x80, 0x40, 0x08  # Z, Y and N of the aggregation header
_COUNT = 3  # W
_FORBIDDEN, _EXTENSION, _HAS_SIZE = 0x80, 0x04, 0x02  # of the first byte of a unit
_SEQUENCE_HEADER, _DELIMITER, _FRAME_HEADER, _TILE_GROUP, _FRAME = 1, 2, 3, 4, 6
_TILE_LIST, _PADDING = 8, 15
_LEFT_OUT = (_DELIMITER, _TILE_LIST, _PADDING)
_FRAMES = (_FRAME_HEADER, _TILE_GROUP, _FRAME)
_LONGEST_SIZE = 8  # bytes
_TEMPORAL_LAYERS, _SPATIAL_LAYERS = 8, 4
_SEQUENCE_BYTES = 512  # more than the fields read of a sequence header can take
_FIRST_LEVEL_WITH_TIER = 8


class Av1:
    """Depacketizer of one AV1 stream."""

    def frame(self, payloads: Sequence[memoryview]) -> CodedFrame | None:
        """See VideoCodec."""
        try:
            units = [unit for unit in _units(payloads) if _kind(unit) not in _LEFT_OUT]
        except Malformed:
            return None
        kinds = [_kind(unit) for unit in units]
        if not any(kind in _FRAMES for kind in kinds):
            return CodedFrame(b"", key=False)
        data = b"".join(map(_with_size, units))
        if not payloads[0][0] & _NEW_SEQUENCE or _SEQUENCE_HEADER not in kinds:
            return CodedFrame(data, key=False)
        size = frame_size(units[kinds.index(_SEQUENCE_HEADER)])
        return CodedFrame(data, key=True, size=size) if size else None


def frame_size(sequence_header: bytes) -> tuple[int, int] | None:
    """Return the largest width and height in pixels, of a unit without size (AV1, 5.5.1).

    None if unreadable.
    """
    try:
        length = _header_bytes(sequence_header)
        return _read_size(BitReader(sequence_header[length : length + _SEQUENCE_BYTES]))
    except Malformed:
        return None


def largest_layer(data: bytes) -> int:
    """Return the largest spatial layer of the frames in a temporal unit. Raises Malformed."""
    frames = [unit for unit in _stored_units(data) if _kind(unit) in _FRAMES]
    return max((_spatial_layer(unit) for unit in frames), default=0)


def narrowed(data: bytes, largest: int) -> bytes:
    """Return a temporal unit whose sequence header declares no spatial layer above ``largest``.

    Raises Malformed.
    """
    units = [
        _narrowed(unit, largest) if _kind(unit) == _SEQUENCE_HEADER else unit
        for unit in _stored_units(data)
    ]
    return b"".join(map(_with_size, units))


def leb128(number: int) -> bytes:
    """Encode a size: seven bits a byte, the lowest first (AV1, 4.10.5)."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def read_leb128(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """Return a size and the position after it. Raises Malformed where it does not end."""
    number = 0
    for index, byte in enumerate(data[position : position + _LONGEST_SIZE]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, position + index + 1
    raise Malformed("a size does not end")


def _kind(unit: bytes) -> int:
    return unit[0] >> 3 & 0x0F


def _header_bytes(unit: bytes) -> int:
    return 2 if unit[0] & _EXTENSION else 1


def _with_size(unit: bytes) -> bytes:
    length = _header_bytes(unit)
    head = bytes((unit[0] | _HAS_SIZE,)) + unit[1:length]
    return head + leb128(len(unit) - length) + unit[length:]


def _spatial_layer(unit: bytes) -> int:
    return unit[1] >> 3 & 3 if unit[0] & _EXTENSION else 0


def _stored_units(data: bytes) -> Iterator[bytes]:
    """Yield the units of a temporal unit, each without its size. Raises Malformed."""
    position = 0
    while position < len(data):
        length = _header_bytes(data[position : position + 1])
        size, start = read_leb128(data, position + length)
        yield _whole([memoryview(data)[position : start + size]])
        position = start + size


def _narrowed(sequence_header: bytes, largest: int) -> bytes:
    """Take spatial layers above ``largest`` out of every operating point of a sequence header."""
    length = _header_bytes(sequence_header)
    body = sequence_header[length:]
    number, bits = int.from_bytes(body, "big"), BitReader(body)
    bits.bits(4)
    if bits.flag():
        return sequence_header
    kept = (1 << largest + 1) - 1
    for layers, after in _operating_points(bits):
        if layers >> _TEMPORAL_LAYERS:
            spatial = layers >> _TEMPORAL_LAYERS & kept or 1 << largest
            fewer = spatial << _TEMPORAL_LAYERS | layers & (1 << _TEMPORAL_LAYERS) - 1
            number ^= (layers ^ fewer) << after
    return sequence_header[:length] + number.to_bytes(len(body), "big")


def _units(payloads: Sequence[memoryview]) -> Iterator[bytes]:
    """Yield the units, each without a size. Raises Malformed for a cut or unended one."""
    fragments: list[memoryview] = []
    for payload in payloads:
        head = payload[0]
        if (head & _CONTINUES != 0) != bool(fragments):
            raise Malformed("a unit has no beginning or no end")
        elements = _elements(payload)
        for element in elements[:-1]:
            yield _whole([*fragments, element])
            fragments = []
        fragments.append(elements[-1])
        if not head & _CONTINUED:
            yield _whole(fragments)
            fragments = []
    if fragments:
        raise Malformed("a unit has no end")


def _elements(payload: memoryview) -> list[memoryview]:
    """Return the units and fragments in one payload, at least one. Raises Malformed."""
    count = payload[0] >> 4 & _COUNT  # 0: all of them have a size, else the last has none
    position = 1
    elements: list[memoryview] = []
    while len(elements) < count - 1 or (not count and position < len(payload)):
        size, position = read_leb128(payload, position)
        elements.append(payload[position : position + size])
        position += size
    if position > len(payload) or not (elements or count):
        raise Malformed("a packet is cut")
    return [*elements, payload[position:]] if count else elements


def _whole(fragments: list[memoryview]) -> bytes:
    """Return a unit without its size. Raises Malformed for one that is cut or none."""
    unit = b"".join(fragments)
    if not unit or unit[0] & _FORBIDDEN or len(unit) < _header_bytes(unit):
        raise Malformed("this is no unit")
    if not unit[0] & _HAS_SIZE:
        return unit
    length = _header_bytes(unit)
    size, start = read_leb128(unit, length)
    if start + size > len(unit):
        raise Malformed("a unit is cut")
    head = bytes((unit[0] & ~_HAS_SIZE,)) + unit[1:length]
    return head + unit[start : start + size]


def _read_size(bits: BitReader) -> tuple[int, int]:
    bits.bits(4)  # profile, still picture
    if bits.flag():  # the short header of a single picture
        bits.bits(5)
    else:
        deque(_operating_points(bits), 0)
    width_bits, height_bits = bits.bits(4) + 1, bits.bits(4) + 1
    return bits.bits(width_bits) + 1, bits.bits(height_bits) + 1


def _operating_points(bits: BitReader) -> Iterator[tuple[int, int]]:
    """Yield the layers of each, and the number of bits in the header after them."""
    delay_bits = _skip_timing(bits) if bits.flag() else 0
    display_delays = bits.flag()
    for _ in range(bits.bits(5) + 1):
        yield bits.bits(_TEMPORAL_LAYERS + _SPATIAL_LAYERS), bits.left
        if bits.bits(5) >= _FIRST_LEVEL_WITH_TIER:
            bits.flag()
        if delay_bits and bits.flag():
            bits.bits(2 * delay_bits + 1)
        if display_delays and bits.flag():
            bits.bits(4)


def _skip_timing(bits: BitReader) -> int:
    """Return the number of bits of a decoder's delay; 0 without a model of the decoder."""
    bits.bits(64)
    if bits.flag():
        bits.unsigned()
    if not bits.flag():
        return 0
    delay_bits = bits.bits(5) + 1
    bits.bits(42)
    return delay_bits
