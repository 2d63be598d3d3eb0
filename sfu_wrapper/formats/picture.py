"""What a video depacketiser makes of packets: coded pictures, and the door to each codec.

Decides nothing about time or loss: a codec is only ever handed all packets of one timestamp.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Picture(NamedTuple):
    """One coded picture, ready for a container.

    data: empty where the packets held no picture (parameter sets sent by themselves).
    key: decodable without any picture before it.
    size: width and height in pixels, where the picture says (key frames do).
    serial, serial_range: its number among the pictures of the stream and where that wraps, where
        the payload format has one: tells lost pictures from lost padding.
    """

    data: bytes
    key: bool
    size: tuple[int, int] | None = None
    serial: int | None = None
    serial_range: int = 0

    def follows(self, other: "Picture") -> bool:
        """Whether certainly no picture lies between the other one and this one."""
        if self.serial is None or other.serial is None or self.serial_range == 0:
            return False
        return self.serial == (other.serial + 1) % self.serial_range


class VideoCodec(Protocol):
    """One stream's depacketiser. It may remember parameter sets from picture to picture."""

    def picture(self, payloads: Sequence[memoryview]) -> Picture | None:
        """Join the payloads of one timestamp: in order, none empty, none missing between them.

        None where they are no whole picture: a part at either end is missing or unreadable.
        """
        ...
