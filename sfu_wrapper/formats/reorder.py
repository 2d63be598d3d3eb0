"""Reordering of packets by their 16-bit sequence numbers.

Packets go in as received, and come out once each in order of sending, with a mark where others are
missing before them. This module decides which packet is late, which a duplicate, when to give up a
missing packet, and when the numbering has restarted. It holds at most one window of packets, and
reads only the numbers.
"""

from collections.abc import Iterable, Iterator

from sfu_wrapper.formats.rtp import signed

Raw = tuple[int, ...]
"""Sequence number of a packet, followed by any fields of the caller."""

WINDOW = 2_048
"""Packets that may wait for a missing one.

A retransmission takes at most a second, in which no camera or screen sends more packets. A packet
further behind is late, and a sequence of such packets counts as a restart of the numbering.
"""

RUN = 10
"""Packets in a row that are the stream's own, however little they fit what came before."""

_HEAD = 16  # packets among which the first one is selected
_HEAD_REACH = 64
_RANGE_MASK = 0xFFFF
_HALF = 0x8000


class Sorter:
    """Sorter of one stream. The counts are complete once ``rest`` is exhausted.

    While ``waiting`` is empty, the packet with the ``expected`` number needs no sorting: for speed
    a caller may bypass the sorter and increment ``expected`` itself.

    Attributes:
        lost: number of packets that never arrived.
        late: number of duplicates, and of packets that arrived after being given up.
        restarts: number of restarts of the numbering.
        expected: next number; -1 where it is unknown.
        waiting: packets that arrived before their turn, by number.
    """

    def __init__(self) -> None:
        self.lost = self.late = self.restarts = 0
        self.expected = -1
        self.waiting: dict[int, Raw] = {}
        self._strays: list[Raw] = []
        self._gap = False  # something is missing before the first that waits

    def sort(self, packets: Iterable[Raw | None]) -> Iterator[tuple[Raw, bool]]:
        """Yield each packet once, with True where packets are missing before it.

        None among the packets marks the begin of another numbering.
        """
        for packet in packets:
            yield from self.take(packet)
        yield from self.rest()

    def take(self, packet: Raw | None) -> Iterable[tuple[Raw, bool]]:
        """Accept a packet and return those that are now in order; exhaust the result."""
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
        """Yield all waiting packets, passing over the missing ones."""
        if self.expected < 0 and self.waiting:
            self._begin()
        while self.waiting:
            if self.expected not in self.waiting:
                self._give_up()
            yield from self._ready()
        self.late += len(self._strays)
        self._strays.clear()

    def _begin(self) -> None:
        """Start with the lowest of the first packets; drop numbers far below the others."""
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
        """Count a packet far behind as a duplicate, or restart if several follow in sequence."""
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
