"""Reordering of packets by their 16-bit sequence numbers.

Packets go in as received, and come out once each in order of sending, with a mark where others are
missing before them. This module decides which packet is late, which a duplicate, when to give up a
missing packet, and when the numbering has restarted. It holds at most one window of packets, and
reads only the numbers.

A packet that does not fit the numbering (behind it, or more than a window ahead) is a stray. A run
of strays in sequence is either a copy of earlier packets, which counts as late, or the begin of
another numbering, which is followed without losing a packet of it. Times and contents tell these
apart, so a ``Judge`` of the caller decides, and also the cause of missing numbers.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto

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
_RUN_AT_LEAST = 3  # strays that a fitting packet may continue: a restart by less than a run
_RUN_REACH = 16  # between neighbours of a run, of which some may be lost or swapped
_RANGE_MASK = 0xFFFF
_HALF = 0x8000


class Gap(Enum):
    """Cause of missing numbers: loss, a pause that was numbered, or a leap of the numbering."""

    LOSS = auto()
    PAUSE = auto()
    LEAP = auto()


class Judge:
    """Judgement by the numbers alone; the caller's own one knows times and contents."""

    def gap(self, missing: int, after: Raw) -> Gap:
        """Return why ``missing`` numbers before the packet ``after`` never came."""
        del missing, after
        return Gap.LOSS

    def copied(self, run: Sequence[Raw], behind: int) -> bool:
        """Return True if the packets are copies of earlier ones, False if they are new.

        Args:
            run: packets in sequence.
            behind: number of packets by which the first one is behind; negative: ahead.
        """
        del run
        return behind <= WINDOW

    def continues(self, after: Raw) -> bool:
        """Return True if certainly nothing is missing before a packet of another numbering."""
        del after
        return False


class Sorter:
    """Sorter of one stream. The counts are complete once ``rest`` is exhausted.

    While ``waiting`` and ``strays`` are empty, the packet with the ``expected`` number needs no
    sorting: for speed a caller may bypass the sorter and increment ``expected`` itself.

    Attributes:
        lost: number of packets that never arrived.
        late: number of duplicates, and of packets that arrived after being given up.
        restarts: number of restarts and leaps of the numbering.
        expected: next number; -1 where it is unknown.
        waiting: packets that arrived before their turn, by number.
        strays: the last packets in sequence that do not fit the numbering.
    """

    def __init__(self, judge: Judge | None = None) -> None:
        self._judge = judge or Judge()
        self.lost = self.late = self.restarts = 0
        self.expected = -1
        self.waiting: dict[int, Raw] = {}
        self.strays: list[Raw] = []
        self._newest = 0  # highest number that waits
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
            self._drop_strays()
            return self._restart(())
        if self.expected >= 0 and not self._fits(packet[0]):
            return self._stray(packet)
        if self.strays:
            if len(self.strays) >= _RUN_AT_LEAST and self._continues_run(packet[0]):
                return self._stray(packet)
            self._drop_strays()
        return self._accept(packet)

    def rest(self) -> Iterator[tuple[Raw, bool]]:
        """Yield all waiting packets, passing over the missing ones."""
        if len(self.strays) > 1:
            yield from self._end_run()
        self._drop_strays()
        yield from self._drain()

    def _fits(self, number: int) -> bool:
        """Return True for a number that is new, and at most a window ahead of the others."""
        if number in self.waiting or (number - self.expected) & _RANGE_MASK >= _HALF:
            return False
        newest = self._newest if self.waiting else self.expected
        return signed(number - newest, 16) <= WINDOW

    def _accept(self, packet: Raw) -> Iterable[tuple[Raw, bool]]:
        number = packet[0]
        if number in self.waiting:
            self.late += 1
            return ()
        if not self.waiting or signed(number - self._newest, 16) > 0:
            self._newest = number
        self.waiting[number] = packet
        if self.expected < 0:
            if len(self.waiting) < _HEAD:
                return ()
            self._begin()
        elif len(self.waiting) > WINDOW:
            self._give_up()
        return self._ready()

    def _drain(self) -> Iterator[tuple[Raw, bool]]:
        if self.expected < 0 and self.waiting:
            self._begin()
        while self.waiting:
            if self.expected not in self.waiting:
                self._give_up()
            yield from self._ready()

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
        missing = 0
        while self.expected not in self.waiting:
            self.expected = (self.expected + 1) & _RANGE_MASK
            missing += 1
        if self._judge.gap(missing, self.waiting[self.expected]) is Gap.LOSS:
            self.lost += missing
        self._gap = True

    def _continues_run(self, number: int) -> bool:
        return 0 < abs(signed(number - self.strays[-1][0], 16)) <= _RUN_REACH

    def _stray(self, packet: Raw) -> Iterator[tuple[Raw, bool]]:
        """Keep a packet that does not fit, and judge the run once it is long enough."""
        if self.strays and not self._continues_run(packet[0]):
            self._drop_strays()
        self.strays.append(packet)
        if len(self.strays) >= RUN:
            yield from self._end_run()

    def _end_run(self) -> Iterator[tuple[Raw, bool]]:
        """Follow the strays where they begin another numbering, else place what still fits."""
        run, self.strays = tuple(self.strays), []
        behind = signed(self.expected - run[0][0], 16)
        if behind > 0 or run[0][0] in self.waiting:
            is_new = not self._judge.copied(run, behind)
        else:
            is_new = self._judge.gap(-behind, run[0]) is Gap.LEAP
        if is_new:
            yield from self._restart(run)
            return
        for packet in run:
            if (packet[0] - self.expected) & _RANGE_MASK < _HALF:
                yield from self._accept(packet)
            else:
                self.late += 1

    def _drop_strays(self) -> None:
        self.late += len(self.strays)
        self.strays.clear()

    def _restart(self, fresh: Sequence[Raw]) -> Iterator[tuple[Raw, bool]]:
        yield from self._drain()
        self.expected = -1
        self._gap = not (fresh and self._judge.continues(fresh[0]))
        self.restarts += 1
        for packet in fresh:
            yield from self._accept(packet)
