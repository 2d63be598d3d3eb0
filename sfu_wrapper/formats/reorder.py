"""Packets back in the order of their 16-bit sequence numbers.

Decides what is late, what a duplicate, when a missing packet is given up and when the numbering has
begun anew. Holds one window of packets, never more, and looks at nothing but the number.
"""

from collections.abc import Iterable, Iterator

from sfu_wrapper.formats.rtp import signed

Raw = tuple[int, ...]
"""The sequence number of a packet, and whatever its owner wants to have back with it."""

WINDOW = 2_048
"""Packets that may wait for a missing one.

A retransmission takes a second at the very most, in which no camera or screen sends more. What is
further behind is late, and a row of it would pass for a sender that numbers anew.
"""

RUN = 10
"""Packets in a row that are the stream's own, however little they fit what came before."""

_HEAD = 16  # packets among which the first one is looked for
_HEAD_REACH = 64
_RANGE_MASK = 0xFFFF
_HALF = 0x8000


class Sorter:
    """Orders one stream. The counts are complete once ``rest`` has run to its end.

    lost: numbers that never came. late: duplicates, and what came after it was given up.
    restarts: how often the numbering began anew, the first time not counted.
    expected: the number that is simply the next one, -1 where none is known. waiting: by number,
    what came before its time. While nothing waits, the expected packet needs no sorting: whoever is
    in a hurry may pass by with it, and counts ``expected`` on.
    """

    def __init__(self) -> None:
        self.lost = self.late = self.restarts = 0
        self.expected = -1
        self.waiting: dict[int, Raw] = {}
        self._strays: list[Raw] = []
        self._gap = False  # something is missing before the first that waits

    def sort(self, packets: Iterable[Raw | None]) -> Iterator[tuple[Raw, bool]]:
        """Each packet once, and whether packets are missing before it.

        None among the packets says that another numbering begins.
        """
        for packet in packets:
            yield from self.take(packet)
        yield from self.rest()

    def take(self, packet: Raw | None) -> Iterable[tuple[Raw, bool]]:
        """As ``sort``, what can be put in order now that this one is there; run it to its end."""
        if packet is None:
            return self._restart()
        number = packet[0]
        if number in self.waiting:
            self.late += 1
        elif self.expected < 0:
            self.waiting[number] = packet
            if len(self.waiting) >= _HEAD:
                self._begin()
                return self._ready()
        elif (number - self.expected) & _RANGE_MASK < _HALF:
            self.waiting[number] = packet
            if len(self.waiting) > WINDOW:
                self._give_up()
            return self._ready()
        elif signed(number - self.expected, 16) >= -WINDOW:
            self.late += 1
        else:
            return self._stray(packet)
        return ()

    def rest(self) -> Iterator[tuple[Raw, bool]]:
        """Everything that still waits, holes passed over."""
        if self.expected < 0 and self.waiting:
            self._begin()
        while self.waiting:
            if self.expected not in self.waiting:
                self._give_up()
            yield from self._ready()
        self.late += len(self._strays)
        self._strays.clear()

    def _begin(self) -> None:
        """Take the lowest of the first packets for the first; what lies far below is no part."""
        reference = next(iter(self.waiting))
        steps = {number: signed(number - reference, 16) for number in self.waiting}
        first = min(step for step in steps.values() if step >= -_HEAD_REACH)
        for number, step in steps.items():
            if step < first:
                del self.waiting[number]
                self.late += 1
        self.expected = (reference + first) & _RANGE_MASK

    def _ready(self) -> list[tuple[Raw, bool]]:
        ready = []
        while (packet := self.waiting.pop(self.expected, None)) is not None:
            self.expected = (self.expected + 1) & _RANGE_MASK
            ready.append((packet, self._gap))
            self._gap = False
        return ready

    def _give_up(self) -> None:
        """Pass over the missing packets up to the first that waits."""
        while self.expected not in self.waiting:
            self.expected = (self.expected + 1) & _RANGE_MASK
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
                yield from self.take(stray)

    def _restart(self) -> Iterator[tuple[Raw, bool]]:
        yield from self.rest()
        self.expected = -1
        self._gap = True
        self.restarts += 1
