"""G.711 (ITU-T G.711): mu-law and A-law bytes to 16-bit little-endian PCM."""

from sfu_wrapper.model.codecs import AUDIO_INPUT

RATE = AUDIO_INPUT["pcmu"].clock_hz
SAMPLE_BYTES = 2


def _mu_law(code: int) -> int:
    code ^= 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << (code >> 4 & 7)
    return (0x84 - magnitude) if code & 0x80 else (magnitude - 0x84)


def _a_law(code: int) -> int:
    code ^= 0x55
    magnitude = ((code & 0x0F) << 4) + 8
    exponent = code >> 4 & 7
    if exponent:
        magnitude = (magnitude + 0x100) << (exponent - 1)
    return magnitude if code & 0x80 else -magnitude


def _tables(samples: list[int]) -> tuple[bytes, bytes]:
    return bytes(s & 0xFF for s in samples), bytes(s >> 8 & 0xFF for s in samples)


_LOW_HIGH = {
    "pcmu": _tables([_mu_law(code) for code in range(256)]),
    "pcma": _tables([_a_law(code) for code in range(256)]),
}
CODECS = frozenset(_LOW_HIGH)


def decode(codec: str, payload: bytes) -> bytes:
    """Return one 16-bit sample for each byte. codec: ``pcmu`` or ``pcma``."""
    low, high = _LOW_HIGH[codec]
    samples = bytearray(SAMPLE_BYTES * len(payload))
    samples[0::2] = payload.translate(low)
    samples[1::2] = payload.translate(high)
    return bytes(samples)
