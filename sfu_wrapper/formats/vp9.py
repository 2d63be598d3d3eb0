"""VP9 over RTP (RFC 9628); the layers of one frame are emitted as one superframe."""

from collections.abc import Sequence
from struct import Struct

from sfu_wrapper.formats.bits import BitReader
from sfu_wrapper.formats.frame import CodedFrame
from sfu_wrapper.model.errors import Malformed

_PICTURE_ID, _INTER, _LAYERS, _FLEXIBLE, _BEGIN, _END, _SCALABILITY = 128, 64, 32, 16, 8, 4, 2
_LONG_PICTURE_ID = 0x80
_MAX_REFERENCES = 3
_HAS_SIZES = 0x10  # Y of the scalability structure: a size for each layer
_SIZE = Struct(">HH")
_SYNC_CODE = 0x498342
_SRGB = 7
_SUPERFRAME_MARK = 0xC0
_MAX_LAYERS = 8
_HEADER_BYTES = 16  # more than the fields read of a frame's header can take


class Vp9:
    """Depacketizer of one VP9 stream."""

    def frame(self, payloads: Sequence[memoryview]) -> CodedFrame | None:
        """See VideoCodec."""
        layers: list[list[memoryview]] = []
        closed = True
        for payload in payloads:
            try:
                length = _descriptor_length(payload)
            except IndexError:
                return None
            if length >= len(payload) or bool(payload[0] & _BEGIN) != closed:
                return None
            if closed:
                layers.append([])
            layers[-1].append(payload[length:])
            closed = bool(payload[0] & _END)
        if not closed or len(layers) > _MAX_LAYERS:
            return None
        sizes = _layer_sizes(payloads[0])[: len(layers)]
        return _superframe([b"".join(layer) for layer in layers], sizes, *_picture_id(payloads[0]))


def frame_size(frame: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels of a key frame, else None (bitstream, 6.2)."""
    try:
        return _read_size(BitReader(frame[:_HEADER_BYTES]))
    except Malformed:
        return None


def packetise(frame: bytes, mtu: int = 1200, picture_id: int = 0, key: bool = False) -> list[bytes]:
    """Cut one frame without layers into RTP payloads; the last one wants the marker."""
    room = mtu - 3
    if not frame or room < 1:
        raise ValueError(f"cannot cut {len(frame)} bytes into payloads of {mtu}")
    number = (0x8000 | picture_id & 0x7FFF).to_bytes(2, "big")
    payloads = []
    for at in range(0, len(frame), room):
        flags = _PICTURE_ID | (0 if key else _INTER)
        flags |= (0 if at else _BEGIN) | (_END if at + room >= len(frame) else 0)
        payloads.append(bytes([flags]) + number + frame[at : at + room])
    return payloads


def _superframe(
    layers: list[bytes], sizes: list[tuple[int, int]], serial: int | None, serial_range: int
) -> CodedFrame:
    # The lowest layer is the key frame; higher ones refer to it, and the highest is displayed. Only
    # the scalability structure holds its size.
    lowest = frame_size(layers[0])
    size = max([lowest, *sizes]) if lowest else None
    data = b"".join(layers) + (_superframe_index(layers) if len(layers) > 1 else b"")
    return CodedFrame(data, lowest is not None, size, serial, serial_range)


def _superframe_index(layers: list[bytes]) -> bytes:
    mark = bytes([_SUPERFRAME_MARK | 3 << 3 | len(layers) - 1])  # sizes of four bytes
    return mark + b"".join(len(layer).to_bytes(4, "little") for layer in layers) + mark


def _descriptor_length(payload: memoryview) -> int:
    """Return the length of the descriptor. Raises IndexError where the payload ends within it."""
    position = _scalability_at(payload)
    return _scalability_end(payload, position) if payload[0] & _SCALABILITY else position


def _scalability_at(payload: memoryview) -> int:
    """Return the position of the scalability structure. Raises IndexError as the length does."""
    flags = payload[0]
    position = 1
    if flags & _PICTURE_ID:
        position += 2 if payload[position] & _LONG_PICTURE_ID else 1
    if flags & _LAYERS:
        position += 1 if flags & _FLEXIBLE else 2
    if flags & _FLEXIBLE and flags & _INTER:
        for _ in range(_MAX_REFERENCES):
            position += 1
            if not payload[position - 1] & 1:
                break
    return position


def _layer_sizes(payload: memoryview) -> list[tuple[int, int]]:
    """Return the sizes of the layers in a complete descriptor, the lowest layer first."""
    if not payload[0] & _SCALABILITY:
        return []
    position = _scalability_at(payload)
    if not payload[position] & _HAS_SIZES:
        return []
    count = (payload[position] >> 5) + 1
    return list(_SIZE.iter_unpack(payload[position + 1 : position + 1 + _SIZE.size * count]))


def _scalability_end(payload: memoryview, position: int) -> int:
    head = payload[position]
    position += 1
    if head & _HAS_SIZES:
        position += _SIZE.size * ((head >> 5) + 1)
    if head & 0x08:  # G: references between frames
        frames = payload[position]
        position += 1
        for _ in range(frames):
            position += 1 + (payload[position] >> 2 & 3)
    return position


def _picture_id(payload: memoryview) -> tuple[int | None, int]:
    if not payload[0] & _PICTURE_ID:
        return None, 0
    if payload[1] & _LONG_PICTURE_ID:
        return (payload[1] & 0x7F) << 8 | payload[2], 1 << 15
    return payload[1], 1 << 7


def _read_size(bits: BitReader) -> tuple[int, int] | None:
    if bits.bits(2) != 2:
        return None
    profile = bits.bits(1) | bits.bits(1) << 1
    if profile == 3:
        bits.flag()
    if bits.flag() or bits.flag():  # shows an old frame, or is no key frame
        return None
    bits.bits(2)
    if bits.bits(24) != _SYNC_CODE:
        return None
    if profile >= 2:
        bits.flag()
    if bits.bits(3) != _SRGB:
        bits.flag()
        bits.bits(3 if profile & 1 else 0)
    else:
        bits.bits(1 if profile & 1 else 0)
    return bits.bits(16) + 1, bits.bits(16) + 1
