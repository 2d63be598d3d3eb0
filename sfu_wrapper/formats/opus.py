"""Opus over RTP: duration of packets (RFC 6716, 3.1), and redundant audio (RED, RFC 2198)."""

from sfu_wrapper.model.codecs import AUDIO_INPUT

RATE = AUDIO_INPUT["opus"].clock_hz
MAX_SAMPLES = 5_760  # 120 ms

_SILK_MS = (10, 20, 40, 60)
_HYBRID_MS = (10, 20)
_CELT_TENTHS_MS = (25, 50, 100, 200)
_FIRST_HYBRID, _FIRST_CELT = 12, 16
_FOLLOWS = 0x80  # another block header follows
_BLOCK_HEADER_BYTES = 4
_LENGTH_BITS = 10


def packet_samples(packet: bytes | memoryview) -> int | None:
    """Return the number of samples at 48 kHz; None for bytes that are no Opus packet."""
    if not packet:
        return None
    code = packet[0] & 3
    if code == 3:
        if len(packet) < 2:
            return None
        frames = packet[1] & 0x3F
    else:
        frames = 1 if code == 0 else 2
    samples = frames * _frame_samples(packet[0] >> 3)
    return samples if 0 < samples <= MAX_SAMPLES else None


def red_blocks(payload: bytes) -> list[tuple[int, bytes]]:
    """Take a RED payload apart.

    Returns:
        The ticks by which each block is older than the packet, with its data; the oldest first,
        the packet's own last. Empty for a payload that is cut.
    """
    headers: list[tuple[int, int]] = []
    position = 0
    while position < len(payload) and payload[position] & _FOLLOWS:
        fields = int.from_bytes(payload[position + 1 : position + _BLOCK_HEADER_BYTES], "big")
        headers.append((fields >> _LENGTH_BITS, fields & (1 << _LENGTH_BITS) - 1))
        position += _BLOCK_HEADER_BYTES
    position += 1
    blocks = []
    for age, length in headers:
        blocks.append((age, payload[position : position + length]))
        position += length
    return [*blocks, (0, payload[position:])] if position < len(payload) else []


def _frame_samples(config: int) -> int:
    if config >= _FIRST_CELT:
        return _CELT_TENTHS_MS[config & 3] * RATE // 10_000
    if config >= _FIRST_HYBRID:
        return _HYBRID_MS[config & 1] * RATE // 1_000
    return _SILK_MS[config & 3] * RATE // 1_000
