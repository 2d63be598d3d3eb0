"""H.264 over RTP (RFC 6184): single units, STAP-A, FU-A; frames are emitted as Annex B.

The depacketizer remembers the parameter sets of the stream, from the SDP or in band, and puts them
before every key frame without them, so that a file can begin with any key frame.
"""

import binascii
from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence

from sfu_wrapper.formats.bits import BitReader
from sfu_wrapper.formats.frame import CodedFrame
from sfu_wrapper.model.errors import Malformed

START_CODE = b"\0\0\0\1"

_TYPE = 0x1F
_SLICE, _IDR, _SPS, _PPS, _DELIMITER, _FILLER = 1, 5, 7, 8, 9, 12
_LEFT_OUT = (_DELIMITER, _FILLER)
_LAST_SINGLE, _STAP_A, _FU_A = 23, 24, 28
_FU_START, _FU_END = 0x80, 0x40
_FIRST_MACROBLOCK = 0x80  # of a slice: the code for 0 is a single 1 bit
_HEAD_AT = len(START_CODE)  # in a unit with its start code
_SLICE_AT = _HEAD_AT + 1
_BEGINNINGS = [START_CODE + bytes((head,)) for head in range(256)]  # of a unit, by its first byte
_MACROBLOCK_PX = 16
_CHROMA_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})


class H264:
    """Depacketizer of one H.264 stream.

    Args:
        fmtp: SDP parameters of the codec, with the parameter sets if present.
    """

    def __init__(self, fmtp: str | None = None) -> None:
        self._sps = self._pps = b""
        units = parameter_sets(fmtp or "", ("sprop-parameter-sets",))
        self._remember(START_CODE + unit for unit in units)

    def frame(self, payloads: Sequence[memoryview]) -> CodedFrame | None:
        """See VideoCodec."""
        try:
            units = _units(payloads)
        except Malformed:
            return None
        kinds = [unit[_HEAD_AT] & _TYPE for unit in units]
        slices = units
        if kinds != [_SLICE]:  # rare
            units = [unit for unit, kind in zip(units, kinds, strict=True) if kind not in _LEFT_OUT]
            slices = [unit for unit in units if unit[_HEAD_AT] & _TYPE in (_SLICE, _IDR)]
            self._remember(units)
        if not slices:
            return CodedFrame(b"", key=False)
        if len(slices[0]) <= _SLICE_AT or not slices[0][_SLICE_AT] & _FIRST_MACROBLOCK:
            return None
        if _IDR in kinds:
            return self._key_frame(units)
        return CodedFrame(b"".join(units), key=False)

    def _key_frame(self, units: list[bytes]) -> CodedFrame | None:
        size = frame_size(self._sps[_HEAD_AT:])
        if not self._pps or size is None:
            return None
        types = {unit[_HEAD_AT] & _TYPE for unit in units}
        if not {_SPS, _PPS} <= types:
            others = (unit for unit in units if unit[_HEAD_AT] & _TYPE not in (_SPS, _PPS))
            units = [self._sps, self._pps, *others]
        return CodedFrame(b"".join(units), key=True, size=size)

    def _remember(self, units: Iterable[bytes]) -> None:
        for unit in units:
            if unit[_HEAD_AT] & _TYPE == _SPS:
                self._sps = unit
            elif unit[_HEAD_AT] & _TYPE == _PPS:
                self._pps = unit


def frame_size(sps: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels, cropped (H.264, 7.3.2.1.1); None if unreadable."""
    try:
        width, height = _read_size(BitReader(sps[1:].replace(b"\0\0\3", b"\0\0")))
    except Malformed:
        return None
    return (width, height) if 0 < width <= 0xFFFF and 0 < height <= 0xFFFF else None


def packetise(frame: bytes, mtu: int = 1200) -> list[bytes]:
    """Cut one Annex B frame into RTP payloads; the caller sets the marker on the last one."""
    payloads = []
    for unit in split_annex_b(frame):
        if len(unit) <= mtu:
            payloads.append(unit)
            continue
        indicator = unit[0] & ~_TYPE | _FU_A
        pieces = [unit[at : at + mtu - 2] for at in range(1, len(unit), mtu - 2)]
        for index, piece in enumerate(pieces):
            flags = (0 if index else _FU_START) | (_FU_END if index == len(pieces) - 1 else 0)
            payloads.append(bytes([indicator, flags | unit[0] & _TYPE]) + piece)
    return payloads


def split_annex_b(data: bytes) -> list[bytes]:
    """Return the units between start codes of three or four bytes."""
    parts = data.split(START_CODE[1:])
    return [part.rstrip(b"\0") for part in parts[1:] if part.rstrip(b"\0")]


def _units(payloads: Sequence[memoryview]) -> list[bytes]:
    """Return the units with start codes. Raises Malformed for a cut, unknown or unended one."""
    units: list[bytes] = []
    fragments: list[memoryview | bytes] = []
    for payload in payloads:
        form = payload[0] & _TYPE
        if form == _FU_A:
            rest = payload[2:]
            if not rest:
                raise Malformed("a fragment is cut")
            flags = payload[1]
            if (flags >= _FU_START) == bool(fragments):
                raise Malformed("a fragmented unit has two beginnings or none")
            if not fragments:
                fragments.append(_BEGINNINGS[payload[0] & ~_TYPE | flags & _TYPE])
            fragments.append(rest)
            if flags & _FU_END:
                units.append(b"".join(fragments))
                fragments.clear()
        elif fragments:
            raise Malformed("a fragmented unit has no end")
        elif 0 < form <= _LAST_SINGLE:
            units.append(START_CODE + payload)
        elif form == _STAP_A:
            units += [START_CODE + unit for unit in aggregated(payload, 1)]
        else:
            raise Malformed(f"packets of type {form} are not known")
    if fragments:
        raise Malformed("a fragmented unit has no end")
    return units


def aggregated(payload: memoryview, position: int) -> Iterator[bytes]:
    """Yield the units of an aggregation packet, from ``position`` on. Raises Malformed."""
    while position < len(payload):
        length = int.from_bytes(payload[position : position + 2], "big")
        position += 2
        if not 0 < length <= len(payload) - position:
            raise Malformed("an aggregated unit is cut")
        yield bytes(payload[position : position + length])
        position += length


def parameter_sets(fmtp: str, names: Sequence[str]) -> list[bytes]:
    """Return the parameter sets in these fields of the SDP (RFC 6184, 8.1; RFC 7798, 7.1).

    Empty if one is unreadable.
    """
    found = []
    for field in fmtp.split(";"):
        name, _, value = field.strip().partition("=")
        if name in names:
            try:
                found += [unit for text in value.split(",") if (unit := b64decode(text))]
            except (binascii.Error, ValueError):
                return []
    return found


def _read_size(bits: BitReader) -> tuple[int, int]:
    profile = bits.bits(8)
    bits.bits(16)  # constraints and level
    bits.unsigned()  # id
    chroma, separate = 1, False
    if profile in _CHROMA_PROFILES:
        chroma = bits.unsigned()
        separate = chroma == 3 and bits.flag()
        bits.unsigned()  # bit depths
        bits.unsigned()
        bits.flag()
        if bits.flag():
            _skip_scaling_lists(bits, 12 if chroma == 3 else 8)
    bits.unsigned()  # frame number bits
    _skip_picture_order(bits)
    bits.unsigned()  # reference frames
    bits.flag()
    columns = bits.unsigned() + 1
    rows = bits.unsigned() + 1
    fields = 1 if bits.flag() else 2
    if fields == 2:
        bits.flag()
    bits.flag()
    left = right = top = bottom = 0
    if bits.flag():
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
    unit_x = 2 if chroma in (1, 2) and not separate else 1
    unit_y = (2 if chroma == 1 and not separate else 1) * fields
    return (
        columns * _MACROBLOCK_PX - (left + right) * unit_x,
        rows * _MACROBLOCK_PX * fields - (top + bottom) * unit_y,
    )


def _skip_scaling_lists(bits: BitReader, count: int) -> None:
    for index in range(count):
        if not bits.flag():
            continue
        last = following = 8
        for _ in range(16 if index < 6 else 64):
            if following:
                following = (last + bits.signed()) % 256
            last = following or last


def _skip_picture_order(bits: BitReader) -> None:
    kind = bits.unsigned()
    if kind == 0:
        bits.unsigned()
    elif kind == 1:
        bits.flag()
        bits.signed()
        bits.signed()
        for _ in range(min(bits.unsigned(), 256)):
            bits.signed()
