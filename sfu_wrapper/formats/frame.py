"""Interface of the video depacketizers: one coded frame from the packets of one timestamp.

Time and loss are handled elsewhere (``stream``, ``assemble``).
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class CodedFrame(NamedTuple):
    """Coded frame, ready for a container.

    Attributes:
        data: empty where the packets hold no frame (parameter sets sent separately).
        key: True where it is decodable without an earlier frame.
        size: width and height in pixels, where the frame states them (key frames do).
        serial: number of the frame in the stream; None where the payload format has none. It
            distinguishes lost frames from lost padding.
        serial_range: value at which ``serial`` wraps.
    """

    data: bytes
    key: bool
    size: tuple[int, int] | None = None
    serial: int | None = None
    serial_range: int = 0

    def follows(self, other: "CodedFrame") -> bool:
        """Return True if certainly no frame lies between ``other`` and this one."""
        if self.serial is None or other.serial is None or self.serial_range == 0:
            return False
        return self.serial == (other.serial + 1) % self.serial_range


class VideoCodec(Protocol):
    """Depacketizer of one stream; may remember parameter sets from frame to frame."""

    def frame(self, payloads: Sequence[memoryview]) -> CodedFrame | None:
        """Join the payloads of one timestamp: in order, none empty, none missing between them.

        Returns:
            None where a part at either end is missing or unreadable.
        """
        ...
