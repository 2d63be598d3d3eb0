"""Senders of codecs that the product only receives: frames in, RTP payloads out."""

from collections.abc import Iterator, Sequence

from sfu_wrapper.formats.av1 import leb128, read_leb128
from sfu_wrapper.formats.h264 import split_annex_b

_AGGREGATION, _FRAGMENT = 48, 49


def h265_payloads(frame: bytes, mtu: int = 1200, *, aggregate: bool = False) -> list[bytes]:
    """Cut one Annex B frame as RFC 7798 does; aggregate: units that fit share a packet."""
    payloads: list[bytes] = []
    waiting: list[bytes] = []
    for unit in split_annex_b(frame):
        if aggregate and 2 + sum(len(one) + 2 for one in (*waiting, unit)) <= mtu:
            waiting.append(unit)
            continue
        payloads += h265_aggregated(waiting)
        waiting = []
        payloads += [unit] if len(unit) <= mtu else _fragments(unit, mtu)
    return payloads + h265_aggregated(waiting)


def h265_aggregated(units: Sequence[bytes]) -> list[bytes]:
    """One aggregation packet; nothing of nothing, and one unit alone as it is."""
    if len(units) < 2:
        return list(units)
    header = bytes((_AGGREGATION << 1, 1))
    return [header + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)]


def _fragments(unit: bytes, mtu: int) -> Iterator[bytes]:
    header = bytes((unit[0] & 0x81 | _FRAGMENT << 1, unit[1]))
    for at in range(2, len(unit), mtu - 3):
        flags = (0x80 if at == 2 else 0) | (0x40 if at + mtu - 3 >= len(unit) else 0)
        yield header + bytes([flags | unit[0] >> 1]) + unit[at : at + mtu - 3]


def av1_units(frame: bytes) -> list[bytes]:
    """The open bitstream units of one temporal unit, as the sender puts them into packets.

    Without sizes, and without temporal delimiters.
    """
    units, position = [], 0
    while position < len(frame):
        length = 2 if frame[position] & 4 else 1
        size, start = read_leb128(frame, position + length)
        head = bytes((frame[position] & ~2,)) + frame[position + 1 : position + length]
        if head[0] >> 3 & 15 != 2:
            units.append(head + frame[start : start + size])
        position = start + size
    return units


def av1_payloads(
    units: Sequence[bytes], mtu: int = 1200, *, key: bool = False, counted: bool = True
) -> list[bytes]:
    """Cut one temporal unit as the RTP payload format of AV1 does.

    counted: up to three elements in a packet, the last without its size; else all have a size.
    """
    packets: list[list[bytes]] = []
    flags: list[int] = []
    room = 0
    for unit in units:
        rest, begun = unit, False
        while rest or not begun:
            if room < 4 or (counted and len(packets[-1]) == 3):
                packets.append([])
                flags.append(0x80 if begun else 0)
                room = mtu - 1
            piece = rest[: room - 3]
            packets[-1].append(piece)
            room -= len(leb128(len(piece))) + len(piece)
            rest, begun = rest[len(piece) :], True
            if rest:
                flags[-1] |= 0x40
                room = 0
    if key:
        flags[0] |= 0x08
    return [_av1_payload(flag, one, counted) for flag, one in zip(flags, packets, strict=True)]


def _av1_payload(flags: int, elements: Sequence[bytes], counted: bool) -> bytes:
    """One packet of whole elements and fragments."""
    if not counted:
        return bytes([flags]) + b"".join(leb128(len(one)) + one for one in elements)
    sized = b"".join(leb128(len(one)) + one for one in elements[:-1])
    return bytes([flags | len(elements) << 4]) + sized + elements[-1]


def red_payload(older: Sequence[tuple[int, bytes]], own: bytes, payload_type: int) -> bytes:
    """A payload of RFC 2198. older: ticks before the packet's own time, and the data."""
    headers = b"".join(
        ((0x80 | payload_type) << 24 | age << 10 | len(data)).to_bytes(4, "big")
        for age, data in older
    )
    return headers + bytes([payload_type]) + b"".join(data for _, data in older) + own
