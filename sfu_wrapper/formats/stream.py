"""One sender's packets in the order of sending, with media time, out of a recording.

Decides which SSRC is the recording's own; ``reorder`` decides about order and loss, ``mediaclock``
about time. Linear in the file, with memory for one window of packets. Payloads are not looked at.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from sfu_wrapper.formats import rtp
from sfu_wrapper.formats.drift import Drift, DriftMeter
from sfu_wrapper.formats.mediaclock import MediaClock
from sfu_wrapper.formats.mjr import Reader
from sfu_wrapper.formats.reorder import RUN, Raw, Sorter

_WORDS_AT = rtp.HEADER_BYTES + 2  # where an extension tells its length
_EXTENDED_BYTES = rtp.HEADER_BYTES + 4  # with the extension's own header
_SAMPLE = 200  # packets that choose the first SSRC
_VERSION_MASK, _VERSION = 0xC0, 0x80
_MARKER = 0x80
_PLAIN, _EXTENDED = 0x80, 0x90  # no padding, no other sources: the short ways


class MediaPacket(NamedTuple):
    """A packet in its place; positions are in the reader's buffer.

    time: ticks since the recording's first packet was received.
    start, end: of the payload, which may be empty.
    marker: ends a picture, or begins a burst of speech. gap: packets before it are missing.
    rotation: degrees clockwise, where the packet tells.
    """

    time: int
    start: int
    end: int
    marker: bool
    gap: bool
    rotation: int | None


class MediaStream:
    """The packets of one recording. The counts are complete once ``packets`` has run to its end.

    received: packets of the stream, without late ones. foreign: other SSRCs, and what is no RTP.
    """

    def __init__(self, reader: Reader, clock_hz: int) -> None:
        self._reader = reader
        self._clock = MediaClock(clock_hz, timed=reader.timed)
        self._meter = DriftMeter(clock_hz)
        self._sorter = Sorter()
        header = reader.header
        self._rotation_id = header.extension_id(rtp.VIDEO_ORIENTATION) if header else None
        self.received = self.foreign = 0

    @property
    def lost(self) -> int:
        """Packets that never came, or too late."""
        return self._sorter.lost

    @property
    def late(self) -> int:
        """Duplicates, and packets that came after they had been given up."""
        return self._sorter.late

    @property
    def restarts(self) -> int:
        """How often SSRC or numbering began anew."""
        return self._sorter.restarts

    @property
    def jumps(self) -> int:
        """How often the timestamps had to be corrected."""
        return self._clock.jumps

    @property
    def drift(self) -> Drift:
        """How the sender's clock ran against the recorder's."""
        return self._meter.drift() if self._reader.timed else Drift(0.0, None)

    def packets(self) -> Iterator[MediaPacket]:
        """In order of sending."""
        buffer, clock, sorter = self._reader.buffer, self._clock, self._sorter
        note = self._meter.note
        last_raw, time, restarts = -1, 0, 0
        turns = self._rotation_id
        for (_, raw, received_ms, start, end, second), gap in sorter.sort(self._own()):
            flags = buffer[start]
            if flags == _PLAIN:
                first, stop = start + rtp.HEADER_BYTES, end
            elif flags == _EXTENDED and end - start >= _EXTENDED_BYTES:
                words = buffer[start + _WORDS_AT] << 8 | buffer[start + _WORDS_AT + 1]
                first, stop = start + _EXTENDED_BYTES + 4 * words, end
            else:
                first, stop = rtp.payload_span(buffer, start, end)
            if not 0 <= first <= stop:
                self.foreign += 1
                continue
            if gap and sorter.restarts != restarts:
                restarts = sorter.restarts
                clock.restart()
                last_raw = -1
            if raw != last_raw:  # the packets of one picture share their timestamp
                time, last_raw = clock.at(raw, received_ms), raw
                note(time, received_ms)
            self.received += 1
            rotation = None
            if turns is not None and second >= _MARKER:
                said = rtp.extension(buffer, start, turns)
                rotation = rtp.rotation_degrees(said) if said is not None else None
            yield MediaPacket(time, first, stop, second >= _MARKER, gap, rotation)

    def _own(self) -> Iterator[Raw | None]:
        """The packets of the stream's SSRC in file order; None where another one takes over."""
        buffer, unpack = self._reader.buffer, rtp.HEADER.unpack_from
        own = self._first_ssrc()
        rival, run = -1, list[Raw]()
        for received_ms, start, end in self._reader.frames():
            if end - start < rtp.HEADER_BYTES:
                self.foreign += 1
                continue
            flags, second, sequence, raw, ssrc = unpack(buffer, start)
            if flags & _VERSION_MASK != _VERSION:
                self.foreign += 1
                continue
            packet = (sequence, raw, received_ms, start, end, second)
            if ssrc == own:
                if run:
                    self.foreign += len(run)
                    run.clear()
                yield packet
                continue
            if ssrc != rival:
                self.foreign += len(run)
                rival, run = ssrc, []
            run.append(packet)
            if len(run) >= RUN:  # nobody else speaks any more: the sender goes on under a new SSRC
                yield None
                yield from run
                own, rival, run = rival, -1, []
        self.foreign += len(run)

    def _first_ssrc(self) -> int:
        """The one with the most among the first packets; -1 where there is none."""
        buffer, unpack = self._reader.buffer, rtp.HEADER.unpack_from
        found: Counter[int] = Counter()
        for _, start, end in islice(self._reader.frames(), _SAMPLE):
            if end - start >= rtp.HEADER_BYTES and buffer[start] & _VERSION_MASK == _VERSION:
                found[unpack(buffer, start)[4]] += 1
        return found.most_common(1)[0][0] if found else -1
