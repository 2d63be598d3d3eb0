"""Senders of codecs that the product only receives: frames in, RTP payloads out."""

from collections.abc import Iterator, Sequence

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
