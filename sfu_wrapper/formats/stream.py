"""Packets of one sender in a recording, in order of sending, with media time.

This module selects the SSRC of the recording; ``reorder`` handles order and loss, ``media_clock``
time. The output goes to ``assemble``. Linear in the file, with memory for one window of packets;
payloads are not read, but compared where packets of the same number come again.

Missing numbers are lost packets, unless nothing at all was received for as long as the sender needs
for that many (a pause that the sender numbered, such as a moderated mute), or they are far more
than the sender can have sent meanwhile (a leap of its numbering).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from sfu_wrapper.formats import rtp
from sfu_wrapper.formats.bits import Buffer
from sfu_wrapper.formats.media_clock import FORESIGHT_MS, Drift, DriftMeter, MediaClock, Stamp
from sfu_wrapper.formats.mjr import Head, Reader
from sfu_wrapper.formats.reorder import RUN, Gap, Judge, Raw, Sorter

_EXTENDED_BYTES = rtp.HEADER_BYTES + 4  # with the extension's own header
_PAUSE_MS = 1_000  # without packets; a network that loses everything for longer is rare
_PAUSE_SHARE = 4  # at least a quarter of the numbers of a pause must be missing
_BURST, _FASTER = 64, 8  # numbers that may be missing beyond, and times, what is usual
_NEXT_MS = 500  # a packet that comes so soon, its timestamp too, may be the next one
_ALIKE_MS = 250  # by which its timestamp and its receipt differ at most
_AHEAD_PACKETS, _BEHIND_BYTES = 512, 1 << 22  # that are read again to judge what is odd
_SPARE_READS = 20_000  # packets read again in a file where much is odd, and 4 for each packet
_LEAP_MS = 1_000  # a time of receipt this much later may be damaged, and is verified
_SAMPLE = 200  # packets that choose the first SSRC
_VERSION_MASK, _VERSION = 0xC000, 0x8000
_MARKER = 0x80
_SEQUENCE_MASK = 0xFFFF
_START, _SSRC = 3, -1  # in a Head
_SHAPE = 0xFF00
_PLAIN, _EXTENDED = 0x8000, 0x9000  # no padding, no other sources: the short ways


class MediaPacket(NamedTuple):
    """Packet in order; positions refer to the reader's buffer.

    Attributes:
        time: ticks since the receipt of the recording's first packet.
        start: start of the payload.
        end: end of the payload, which may be empty.
        marker: end of a frame, or begin of a burst of speech.
        gap: True where packets are missing before this one.
        rotation: degrees clockwise; None where the packet has none.
    """

    time: int
    start: int
    end: int
    marker: bool
    gap: bool
    rotation: int | None


PacketRef = tuple[int, int, int, bool, bool, int | None]
"""Fields of a MediaPacket, as a plain tuple."""


Payload = tuple[int, memoryview]
"""(32-bit RTP timestamp, payload) of a packet."""

Recogniser = Callable[[Iterator[Payload]], str | None]
"""Names the codec of packets that have one payload type; None: none that is known."""


class CodecRuns:
    """Stretches of one codec each in a stream whose payload type changes; one of them is wanted.

    Args:
        recognise: names the codec of a payload type that appears later.
        codec: codec of the first payload type.
        wanted: number of the stretch whose packets are yielded, from 0.

    Attributes:
        changes: (time, payload type, codec) where the second stretch and the later ones begin.
        unknown: time of the first packet of each payload type whose codec is not known.
    """

    def __init__(self, recognise: Recogniser, codec: str, wanted: int = 0) -> None:
        self._recognise = recognise
        self._codec = codec
        self._wanted = wanted
        self._known: dict[int, str | None] = {}
        self.changes: list[tuple[int, int, str]] = []
        self.unknown: dict[int, int] = {}

    def skips(self, payload_type: int, time: int, payloads: Iterator[Payload]) -> bool:
        """Return True if the packets of this type are not wanted from that time on."""
        known = self._known
        if payload_type not in known:
            known[payload_type] = self._recognise(payloads) if known else self._codec
        codec = known[payload_type]
        if codec is None:
            self.unknown.setdefault(payload_type, time)
            return True
        if codec != self._codec:
            self._codec = codec
            self.changes.append((time, payload_type, codec))
        return len(self.changes) != self._wanted


class MediaStream(Judge):
    """Packets of one recording. The counts are complete once ``packets`` is exhausted.

    Attributes:
        received: number of packets of the stream, late ones excluded.
        foreign: number of packets with another SSRC, or that are no RTP.
        unused_ms: time in which nothing but late and foreign packets came.
    """

    def __init__(self, reader: Reader, clock_hz: int, runs: CodecRuns | None = None) -> None:
        self._reader = reader
        self._runs = runs
        self._type, self._skips = -1, False  # payload type; True: its packets are left out
        self._ticks_a_ms = clock_hz // 1000
        self._clock = MediaClock(clock_hz, timed=reader.timed, upcoming=self._upcoming)
        self._meter = DriftMeter(clock_hz)
        self._sorter = Sorter(self)
        header = reader.header
        self._rotation_id = header.extension_id(rtp.VIDEO_ORIENTATION) if header else None
        self._own = -1  # SSRC
        self._rivals: list[Head] = []  # consecutive packets of another SSRC
        self._raw = -1  # timestamp of the previous packet, -1 after a restart
        self._received_ms = 0  # of the previous frame
        self._start = self._end = 0  # of its first packet, positions in the buffer
        self._time = self._restarts = 0
        self._silent_ms = self._paused_ms = self._newest_ms = self._unused_until_ms = 0
        self._reread = 0  # packets
        self.received = self.foreign = self.unused_ms = 0

    @property
    def lost(self) -> int:
        """Number of packets that never arrived, or too late."""
        return self._sorter.lost

    @property
    def late(self) -> int:
        """Number of duplicates, and of packets that arrived after being given up."""
        return self._sorter.late

    @property
    def restarts(self) -> int:
        """Number of changes of SSRC or restarts of the numbering."""
        return self._sorter.restarts

    @property
    def jumps(self) -> int:
        """Number of corrections of the timestamps."""
        return self._clock.jumps

    @property
    def active_ms(self) -> int:
        """Time in which packets of the stream came; of a pause, the first second."""
        return self._received_ms - self._silent_ms

    @property
    def drift(self) -> Drift:
        """Drift of the sender's clock against the recorder's."""
        return self._meter.drift() if self._reader.timed else Drift(0.0, None)

    @property
    def payload_type(self) -> int:
        """Payload type of the packet yielded last, where each has a timestamp of its own."""
        return self._reader.buffer[self._start + 1] & 0x7F

    def packets(self) -> Iterator[MediaPacket]:
        """Yield the packets in order of sending."""
        return map(MediaPacket._make, self.places())

    def places(self) -> Iterator[PacketRef]:
        """Yield the packets as plain tuples, for speed.

        Nearly every packet has a common shape, the stream's SSRC and the expected number. Those
        take a short path; the branch here selects them. The general path would handle all packets.
        """
        sorter = self._sorter
        self._own = self._first_ssrc()
        for packet in self._reader.heads():
            sequence, raw, received_ms, start, end, head, words, ssrc = packet
            shape = head & _SHAPE
            if shape == _EXTENDED:
                first = start + _EXTENDED_BYTES + 4 * words
            else:
                first = start + rtp.HEADER_BYTES if shape == _PLAIN else end + 1
            usual = first <= end and sequence == sorter.expected and ssrc == self._own
            if usual and not sorter.waiting and not sorter.strays and not self._rivals:
                sorter.expected = (sequence + 1) & _SEQUENCE_MASK
                if raw != self._raw:
                    self._begin(raw, received_ms, start, end)
                if self._skips:
                    continue
                self.received += 1
                if head & _MARKER:
                    yield self._time, first, end, True, False, self._rotation(start)
                else:
                    yield self._time, first, end, False, False, None
            else:
                useless = sorter.late + self.foreign
                for own in self._owned(packet):
                    if ordered := sorter.take(own):  # else it waits
                        yield from self._placed(ordered)
                self._note_use(received_ms, used=sorter.late + self.foreign == useless)
        self.foreign += len(self._rivals)
        yield from self._placed(sorter.rest())

    def _owned(self, packet: Head) -> Sequence[Head | None]:
        """Return the packets now known to be the stream's own; None marks a change of SSRC."""
        _, _, _, start, end, _, _, ssrc = packet
        if rtp.payload_span(self._reader.buffer, start, end)[0] < 0:
            self.foreign += 1  # a number of the stream's own then counts as lost
            return ()
        rivals = self._rivals
        if rivals and ssrc != rivals[0][_SSRC]:
            self.foreign += len(rivals)
            rivals.clear()
        if ssrc == self._own:
            return (packet,)
        rivals.append(packet)
        if len(rivals) < RUN:
            return ()
        self._own, self._rivals = ssrc, []  # the sender has changed its SSRC
        return (None, *rivals)

    def _placed(self, ordered: Iterable[tuple[Raw, bool]]) -> Iterator[PacketRef]:
        """Yield ordered packets with their time."""
        for (_, raw, received_ms, start, end, head, _, _), gap in ordered:
            first, stop = rtp.payload_span(self._reader.buffer, start, end)
            if self._sorter.restarts != self._restarts:
                self._restarts = self._sorter.restarts
                self._clock.restart()
                self._raw = -1
            if raw != self._raw:
                self._begin(raw, received_ms, start, end)
            if self._skips:
                continue
            self.received += 1
            marker = head & _MARKER != 0
            yield self._time, first, stop, marker, gap, self._rotation(start) if marker else None

    def _begin(self, raw: int, received_ms: int, start: int, end: int) -> None:
        """Start another timestamp; the packets of one frame share theirs."""
        if received_ms - self._received_ms > _LEAP_MS:
            received_ms = self._reader.believed_ms(received_ms, end)
            self._silent_ms += max(received_ms - self._received_ms - _LEAP_MS, 0)
        self._received_ms, self._start, self._end = received_ms, start, end
        self._raw, self._time = raw, self._clock.at(raw, received_ms)
        self._meter.note(self._time, received_ms)
        kind = self._reader.buffer[start + 1] & 0x7F
        if kind != self._type:
            self._type = kind
            if self._runs is not None:
                self._skips = self._runs.skips(kind, self._time, self._payloads())

    def _payloads(self) -> Iterator[Payload]:
        """Yield the packets of the current payload type, from the current one on."""
        buffer = memoryview(self._reader.buffer)
        following = islice(self._reader.heads_at(self._start), _AHEAD_PACKETS)
        for _, raw, _, start, end, _, _, ssrc in self.reread(following):
            if ssrc == self._own and buffer[start + 1] & 0x7F == self._type:
                first, stop = rtp.payload_span(self._reader.buffer, start, end)
                if first < stop:
                    yield raw, buffer[first:stop]

    def gap(self, missing: int, after: Raw) -> Gap:
        """See Judge: by the time that the sender needs for that many packets."""
        pause_ms = self._pause_ms(after)
        active_ms = max(self._received_ms - self._paused_ms, _PAUSE_MS)
        usual = self.received * pause_ms / active_ms
        if missing > _BURST + _FASTER * usual:
            return Gap.LEAP
        if pause_ms < _PAUSE_MS:
            return Gap.LOSS
        self._paused_ms += pause_ms
        return Gap.PAUSE if missing * _PAUSE_SHARE >= usual else Gap.LOSS

    def copied(self, run: Sequence[Raw], behind: int) -> bool:
        """See Judge: by timestamp and payload of the packets that had these numbers before."""
        del behind
        buffer, first = self._reader.buffer, run[0][_START]
        wanted, earlier = {again[0]: again for again in run}, dict[int, bool]()
        for found in self.reread(self._reader.heads_before(first, _BEHIND_BYTES)):
            again = wanted.get(found[0])
            if again is not None and found[_SSRC] == again[_SSRC]:
                same = found[1] == again[1] and _payload(buffer, found) == _payload(buffer, again)
                earlier[found[0]] = same
        return bool(earlier) and all(earlier.values())

    def continues(self, after: Raw) -> bool:
        """See Judge: by a timestamp that follows the last one, as if nothing had happened."""
        step_ms = rtp.signed(after[1] - self._raw, 32) / self._ticks_a_ms
        near = 0 <= step_ms <= _NEXT_MS
        return self._raw >= 0 and near and abs(step_ms - self._pause_ms(after)) <= _ALIKE_MS

    def _pause_ms(self, after: Raw) -> int:
        """Return the ms between the last packet in order and a later one."""
        if self._reader.timed:
            return max(after[2] - self._received_ms, 0)
        return max(rtp.signed(after[1] - self._raw, 32) // self._ticks_a_ms, 0)

    def _note_use(self, received_ms: int, *, used: bool) -> None:
        """Measure the time in which only packets came that are of no use."""
        if used:
            self._newest_ms = received_ms
        elif received_ms - max(self._received_ms, self._newest_ms) > _PAUSE_MS:
            since_ms = max(self._received_ms, self._newest_ms, self._unused_until_ms)
            self.unused_ms += min(max(received_ms - since_ms, 0), _PAUSE_MS)
            self._unused_until_ms = received_ms

    def _upcoming(self) -> Iterator[Stamp]:
        """Yield the stamps of later packets of the same sender, as far as the clock looks."""
        _, _, here, _, sender = rtp.HEADER.unpack_from(self._reader.buffer, self._start)
        until_ms = self._received_ms + FORESIGHT_MS
        following = islice(self._reader.heads_from(self._end), _AHEAD_PACKETS)
        for sequence, raw, received_ms, _, _, _, _, ssrc in self.reread(following):
            if received_ms > until_ms:
                return
            if ssrc == sender and rtp.signed(sequence - here, 16) > 0:
                yield raw, received_ms

    def reread(self, packets: Iterable[Head]) -> Iterator[Head]:
        """Pass packets on that are read another time, while their number is in proportion."""
        for packet in packets:
            self._reread += 1
            if self._reread > _SPARE_READS + 4 * self.received:
                return
            yield packet

    def _rotation(self, start: int) -> int | None:
        """Return the rotation that the packet carries; None without one."""
        if self._rotation_id is None:
            return None
        value = rtp.extension(self._reader.buffer, start, self._rotation_id)
        return rtp.rotation_degrees(value) if value is not None else None

    def _first_ssrc(self) -> int:
        """Return the most frequent SSRC among the first packets; -1 where there is none."""
        found: Counter[int] = Counter()
        for _, _, _, start, end, head, _, ssrc in islice(self._reader.heads(), _SAMPLE):
            if end - start >= rtp.HEADER_BYTES and head & _VERSION_MASK == _VERSION:
                found[ssrc] += 1
        return found.most_common(1)[0][0] if found else -1


def _payload(buffer: Buffer, packet: Raw) -> bytes:
    first, end = rtp.payload_span(buffer, packet[_START], packet[_START + 1])
    return bytes(buffer[first:end]) if first >= 0 else b""
