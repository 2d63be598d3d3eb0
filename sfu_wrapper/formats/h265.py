"""H.265 over RTP (RFC 7798): single units, aggregation and fragmentation packets.

Frames are emitted as Annex B. As for H.264 the parameter sets of the stream are remembered, and put
before every key frame without them. Packets must not carry decoding order numbers (DONL): senders
of real-time video never negotiate them.
"""

from collections.abc import Iterable, Sequence

from sfu_wrapper.formats.bits import BitReader
from sfu_wrapper.formats.frame import CodedFrame
from sfu_wrapper.formats.h264 import START_CODE, aggregated, parameter_sets
from sfu_wrapper.model.errors import Malformed

_HEADER_BYTES = 2
_AGGREGATION, _FRAGMENT = 48, 49
_LAST_SLICE, _FIRST_KEY, _LAST_KEY = 31, 16, 21  # BLA, IDR and CRA begin a sequence
_VPS, _SPS, _PPS = 32, 33, 34
_SETS = (_VPS, _SPS, _PPS)
_LEFT_OUT = (35, 38)  # access unit delimiter, filler data
_FU_START, _FU_END, _FU_TYPE = 0x80, 0x40, 0x3F
_FIRST_SLICE = 0x80
_SDP_SETS = ("sprop-vps", "sprop-sps", "sprop-pps")
_PROFILE_BITS, _LEVEL_BITS = 88, 8  # of profile_tier_level (H.265, 7.3.3)


class H265:
    """Depacketizer of one H.265 stream.

    Args:
        fmtp: SDP parameters of the codec, with the parameter sets if present.
    """

    def __init__(self, fmtp: str | None = None) -> None:
        self._sets: dict[int, list[bytes]] = {}
        self._remember(parameter_sets(fmtp or "", _SDP_SETS))

    def frame(self, payloads: Sequence[memoryview]) -> CodedFrame | None:
        """See VideoCodec."""
        try:
            units = [unit for unit in _units(payloads) if _kind(unit) not in _LEFT_OUT]
        except Malformed:
            return None
        self._remember(units)
        slices = [unit for unit in units if _kind(unit) <= _LAST_SLICE]
        if not slices:
            return CodedFrame(b"", key=False)
        if len(slices[0]) <= _HEADER_BYTES or not slices[0][_HEADER_BYTES] & _FIRST_SLICE:
            return None
        if _FIRST_KEY <= _kind(slices[0]) <= _LAST_KEY:
            return self._key_frame(units)
        return _coded(units, key=False)

    def _key_frame(self, units: list[bytes]) -> CodedFrame | None:
        if any(kind not in self._sets for kind in _SETS):
            return None
        size = frame_size(self._sets[_SPS][-1])
        if size is None:
            return None
        if not {_kind(unit) for unit in units}.issuperset(_SETS):
            sets = [unit for kind in _SETS for unit in self._sets[kind]]
            units = sets + [unit for unit in units if _kind(unit) not in _SETS]
        return _coded(units, key=True, size=size)

    def _remember(self, units: Iterable[bytes]) -> None:
        """Keep the parameter sets of this frame, those of one type together."""
        found: dict[int, list[bytes]] = {}
        for unit in units:
            if (kind := _kind(unit)) in _SETS:
                found.setdefault(kind, []).append(unit)
        self._sets |= found


def frame_size(sps: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels, cropped (H.265, 7.3.2.2.1); None if unreadable."""
    try:
        width, height = _read_size(BitReader(sps[_HEADER_BYTES:].replace(b"\0\0\3", b"\0\0")))
    except Malformed:
        return None
    return (width, height) if 0 < width <= 0xFFFF and 0 < height <= 0xFFFF else None


def _kind(unit: bytes | memoryview) -> int:
    return unit[0] >> 1 & 0x3F


def _coded(units: list[bytes], *, key: bool, size: tuple[int, int] | None = None) -> CodedFrame:
    return CodedFrame(b"".join(START_CODE + unit for unit in units), key, size)


def _units(payloads: Sequence[memoryview]) -> list[bytes]:
    """Return the units. Raises Malformed for a cut, unknown or unended one."""
    units: list[bytes] = []
    fragments: list[bytes] = []
    for payload in payloads:
        if len(payload) <= _HEADER_BYTES:
            raise Malformed("a unit is cut")
        kind = _kind(payload)
        if kind == _FRAGMENT:
            _continue(fragments, payload)
            if payload[2] & _FU_END:
                units.append(b"".join(fragments))
                fragments.clear()
        elif fragments:
            raise Malformed("a fragmented unit has no end")
        elif kind == _AGGREGATION:
            units += aggregated(payload, _HEADER_BYTES)
        elif kind < _AGGREGATION:
            units.append(bytes(payload))
        else:
            raise Malformed(f"packets of type {kind} are not known")
    if fragments:
        raise Malformed("a fragmented unit has no end")
    return units


def _continue(fragments: list[bytes], payload: memoryview) -> None:
    """Add a fragment; the first one gets the header of the unit."""
    rest = payload[3:]
    if not rest:
        raise Malformed("a fragment is cut")
    flags = payload[2]
    if (flags >= _FU_START) == bool(fragments):
        raise Malformed("a fragmented unit has two beginnings or none")
    if not fragments:
        fragments.append(bytes((payload[0] & 0x81 | (flags & _FU_TYPE) << 1, payload[1])))
    fragments.append(bytes(rest))


def _read_size(bits: BitReader) -> tuple[int, int]:
    bits.bits(4)  # id of the video parameter set
    sub_layers = bits.bits(3)  # one less than there are
    bits.flag()
    _skip_profile(bits, sub_layers)
    bits.unsigned()  # id
    chroma = bits.unsigned()
    separate = chroma == 3 and bits.flag()
    width, height = bits.unsigned(), bits.unsigned()
    left = right = top = bottom = 0
    if bits.flag():
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
    unit_x = 2 if chroma in (1, 2) and not separate else 1
    unit_y = 2 if chroma == 1 and not separate else 1
    return width - (left + right) * unit_x, height - (top + bottom) * unit_y


def _skip_profile(bits: BitReader, sub_layers: int) -> None:
    bits.bits(_PROFILE_BITS + _LEVEL_BITS)
    present = [(bits.flag(), bits.flag()) for _ in range(sub_layers)]
    if sub_layers:
        bits.bits(2 * (8 - sub_layers))
    for profile, level in present:
        bits.bits(_PROFILE_BITS * profile + _LEVEL_BITS * level)
