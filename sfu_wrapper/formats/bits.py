"""Input of the readers in this folder: whole buffers, and single bits of codec headers.

``Buffer`` is bytes in memory or a mapped file. Readers return positions instead of copies, so that
an hour of video needs no memory of its size. ``BitReader`` reads bits and Exp-Golomb codes of H.264
and VP9 headers.
"""

from mmap import mmap

from sfu_wrapper.model.errors import Malformed

_LONGEST_CODE = 32  # leading zeros; no field of these headers needs more


class BitReader:
    """Bit reader, most significant bit first. Raises Malformed past the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    @property
    def left(self) -> int:
        """Number of bits that were not read yet."""
        return self._left

    def bits(self, count: int) -> int:
        """Return the next ``count`` bits as a number."""
        if count > self._left:
            raise Malformed("a codec header is cut")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def flag(self) -> bool:
        """Return the next bit."""
        return self.bits(1) == 1

    def unsigned(self) -> int:
        """Read ue(v): an unsigned Exp-Golomb code (H.264, 9.1)."""
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > _LONGEST_CODE:
                raise Malformed("a codec header holds an endless number")
        return (1 << zeros) - 1 + self.bits(zeros)

    def signed(self) -> int:
        """Read se(v): a signed Exp-Golomb code (H.264, 9.1.1)."""
        code = self.unsigned()
        return (code + 1) // 2 if code & 1 else -(code // 2)


Buffer = bytes | mmap
"""Both can be searched and indexed; slices of both are copies, of a memoryview over them not."""
