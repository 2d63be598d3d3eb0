"""Packets back in the order of their 16-bit sequence numbers.

Decides what is late, what a duplicate, when a missing packet is given up and when the numbering has
begun anew. Holds one window of packets, never more, and looks at nothing but the number.
"""

from collections.abc import Iterable, Iterator

from sfu_wrapper.formats.rtp import signed

Raw = tuple[int, int, int, int, int, int]
"""(sequence, timestamp, received ms, start, end, second byte) of a packet in a recording."""

WINDOW = 512
"""Packets that may wait for a missing one; a retransmission takes a second at the very most."""

RUN = 10
"""Packets in a row that are the stream's own, however little they fit what came before."""

_HEAD = 16  # packets among which the first one is looked for
_HEAD_REACH = 64
_RANGE_MASK = 0xFFFF
_HALF = 0x8000


class Sorter:
    """Orders one stream. The counts are complete once ``sort`` has run to its end.

    lost: numbers that never came. late: duplicates, and what came after it was given up.
    restarts: how often the numbering began anew, the first time not counted.
    """

    def __init__(self) -> None:
        self.lost = self.late = self.restarts = 0
        self._waiting: dict[int, Raw] = {}
        self._strays: list[Raw] = []
        self._expected = -1  # none yet
        self._gap = False  # something is missing before the next packet

    def sort(self, packets: Iterable[Raw | None]) -> Iterator[tuple[Raw, bool]]:
        """Each packet once, and whether packets are missing before it.

        None among the packets says that another numbering begins.
        """
        waiting = self._waiting
        for packet in packets:
            if packet is None:
                yield from self._restart()
            elif packet[0] == self._expected and not waiting:  # nearly always
                self._expected = (packet[0] + 1) & _RANGE_MASK
                gap, self._gap = self._gap, False
                yield packet, gap
            else:
                yield from self._odd(packet)
        yield from self._rest()

    def _odd(self, packet: Raw) -> Iterator[tuple[Raw, bool]]:
        """A packet that is not simply the next one."""
        number = packet[0]
        if number in self._waiting:
            self.late += 1
        elif self._expected < 0:
            self._waiting[number] = packet
            if len(self._waiting) >= _HEAD:
                self._begin()
                yield from self._ready()
        elif (number - self._expected) & _RANGE_MASK < _HALF:
            self._waiting[number] = packet
            if len(self._waiting) > WINDOW:
                self._give_up()
            yield from self._ready()
        elif signed(number - self._expected, 16) >= -WINDOW:
            self.late += 1
        else:
            yield from self._stray(packet)

    def _begin(self) -> None:
        """Take the lowest of the first packets for the first; what lies far below is no part."""
        reference = next(iter(self._waiting))
        steps = {number: signed(number - reference, 16) for number in self._waiting}
        first = min(step for step in steps.values() if step >= -_HEAD_REACH)
        for number, step in steps.items():
            if step < first:
                del self._waiting[number]
                self.late += 1
        self._expected = (reference + first) & _RANGE_MASK

    def _ready(self) -> Iterator[tuple[Raw, bool]]:
        while (packet := self._waiting.pop(self._expected, None)) is not None:
            self._expected = (self._expected + 1) & _RANGE_MASK
            gap, self._gap = self._gap, False
            yield packet, gap

    def _give_up(self) -> None:
        """Pass over the missing packets up to the first that waits."""
        while self._expected not in self._waiting:
            self._expected = (self._expected + 1) & _RANGE_MASK
            self.lost += 1
        self._gap = True

    def _stray(self, packet: Raw) -> Iterator[tuple[Raw, bool]]:
        """Far behind: an ancient duplicate, or the sender numbers anew if several follow so."""
        strays = self._strays
        if strays and packet[0] != (strays[-1][0] + 1) & _RANGE_MASK:
            self.late += len(strays)
            strays.clear()
        strays.append(packet)
        if len(strays) >= RUN:
            fresh = tuple(strays)
            strays.clear()
            yield from self._restart()
            for stray in fresh:
                yield from self._odd(stray)

    def _restart(self) -> Iterator[tuple[Raw, bool]]:
        yield from self._rest()
        self._expected = -1
        self._gap = True
        self.restarts += 1

    def _rest(self) -> Iterator[tuple[Raw, bool]]:
        """Everything that still waits, holes passed over."""
        if self._expected < 0 and self._waiting:
            self._begin()
        while self._waiting:
            if self._expected not in self._waiting:
                self._give_up()
            yield from self._ready()
        self.late += len(self._strays)
        self._strays.clear()
