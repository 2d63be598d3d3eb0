"""VP8 over RTP (RFC 7741), and the parts of the bitstream (RFC 6386) that a container needs."""

from collections.abc import Sequence

from sfu_wrapper.formats.frame import CodedFrame

_EXTENDED = 0x80  # X: a second descriptor byte follows
_START = 0x10  # S: begins a partition
_PARTITION = 0x07
_HAS_PICTURE_ID = 0x80  # I, L, T, K of the second byte
_HAS_TL0 = 0x40
_HAS_TID_OR_KEY = 0x30
_LONG_PICTURE_ID = 0x80
_DESCRIPTOR_BYTES = tuple(  # by the second byte; one more where the frame number is long
    2 + bool(flags & _HAS_PICTURE_ID) + bool(flags & _HAS_TL0) + bool(flags & _HAS_TID_OR_KEY)
    for flags in range(256)
)

_NOT_KEY = 0x01
_START_CODE = b"\x9d\x01\x2a"
_KEY_HEADER_BYTES = 10
_new = tuple.__new__  # for a NamedTuple: half the time of calling it
_SIZE_MASK = 0x3FFF  # the two bits above are a scaling factor


class Vp8:
    """Depacketizer of one VP8 stream."""

    def frame(self, payloads: Sequence[memoryview]) -> CodedFrame | None:
        """See VideoCodec."""
        first = payloads[0]
        if not first[0] & _START or first[0] & _PARTITION:
            return None
        parts = []
        try:
            for payload in payloads:
                length = 1
                if payload[0] >= _EXTENDED:
                    flags = payload[1]
                    # The frame number is a byte longer where its first bit is set.
                    length = _DESCRIPTOR_BYTES[flags] + ((flags & payload[2]) >> 7)
                part = payload[length:]
                if not part:
                    return None
                parts.append(part)
        except IndexError:  # it ends within its descriptor
            return None
        data = b"".join(parts)
        serial, serial_range = _picture_id(first)
        if data[0] & _NOT_KEY:
            return _new(CodedFrame, (data, False, None, serial, serial_range))
        size = key_frame_size(data)
        return CodedFrame(data, True, size, serial, serial_range) if size else None


def key_frame_size(frame: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels of a key frame; None for any other frame."""
    if len(frame) < _KEY_HEADER_BYTES or frame[0] & _NOT_KEY or frame[3:6] != _START_CODE:
        return None
    width = int.from_bytes(frame[6:8], "little") & _SIZE_MASK
    height = int.from_bytes(frame[8:10], "little") & _SIZE_MASK
    return (width, height) if width and height else None


def packetise(frame: bytes, mtu: int = 1200, picture_id: int | None = None) -> list[bytes]:
    """Cut one frame into RTP payloads of at most ``mtu`` bytes; the last one wants the marker.

    picture_id: 15 bits; wraps. Raises ValueError for an empty frame or an mtu without room.
    """
    tail = b""
    if picture_id is not None:
        tail = bytes([_HAS_PICTURE_ID]) + (0x8000 | picture_id & 0x7FFF).to_bytes(2, "big")
    room = mtu - 1 - len(tail)
    if not frame or room < 1:
        raise ValueError(f"cannot cut {len(frame)} bytes into payloads of {mtu}")
    flags = _EXTENDED if tail else 0
    return [
        bytes([flags | (0 if at else _START)]) + tail + frame[at : at + room]
        for at in range(0, len(frame), room)
    ]


def _picture_id(payload: memoryview) -> tuple[int | None, int]:
    if payload[0] < _EXTENDED or not payload[1] & _HAS_PICTURE_ID:
        return None, 0
    serial = payload[2]
    if serial < _LONG_PICTURE_ID:
        return serial, _LONG_PICTURE_ID
    return (serial & 0x7F) << 8 | payload[3], 1 << 15
