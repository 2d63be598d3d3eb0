"""Assembly of decodable frames from ordered packets.

``stream`` supplies the packets in order of sending, a depacketizer joins those of one timestamp to
a frame, and ``Assembler.frames`` yields the frames to keep; the muxer writes them.

Left out are frames with a missing packet, frames before the first key frame, and frames after a
loss up to the next key frame: their references are missing, and a decoder would show garbage.

A browser that is asked for a key frame may drop the packets of the frame before that still wait to
be sent. It numbers packets as they leave, so that no number is missing: only the marker of the last
packet is. A frame without a marker is left out if the other frames of its sender end with one.

A receiver that misses a frame requests a key frame and gets it within about a second. If none
arrives within ``KEY_FRAME_TIMEOUT_S``, then no receiver missed the lost packets (a droppable layer,
padding) or no receiver was connected. The frames since the loss are kept in that case: a temporary
smear shows more than a hole that lasts until the next key frame, possibly minutes later.

B-frames are sent after a frame that is shown later than they are: timestamps step back.
``decoding_times`` gives each frame the time that a container needs besides that of its display.
"""

from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop
from itertools import chain, islice
from typing import NamedTuple

from sfu_wrapper.formats.bits import Buffer
from sfu_wrapper.formats.frame import CodedFrame, VideoCodec
from sfu_wrapper.formats.stream import PacketRef
from sfu_wrapper.model.codecs import VIDEO_CLOCK_HZ

KEY_FRAME_TIMEOUT_S = 3
_NEVER = -1
_AHEAD = 32  # frames: twice the longest reordering of any codec
_new = tuple.__new__  # for a NamedTuple: half the time of calling it
_MAX_PENDING = 1_000  # frames; a bound should the timestamps not advance
_SAMPLED_FRAMES, _SAMPLED_PACKETS = 16, 20_000  # at the beginning, for the habits of the sender


class TimedFrame(NamedTuple):
    """Frame with its time, in ticks of 90 kHz since the recording's first packet."""

    time: int
    frame: CodedFrame


class Assembler:
    """Assembler of one video stream. The counts are complete once ``frames`` is exhausted.

    Attributes:
        damaged: frames left out because packets of them are missing or unreadable.
        cut: frames left out because the sender dropped the rest of them.
        before_key: complete frames before the first key frame.
        unreferenced: complete frames left out because their references are missing.
        smeared: complete frames kept although their references are missing.
        turns: (time, degrees clockwise) at each change of the orientation; upright before.
        lost_at: time of the latest frame with something missing in it or before it; -1 for none.
    """

    def __init__(self, packets: Iterable[PacketRef], buffer: Buffer, codec: VideoCodec) -> None:
        self._packets = iter(packets)
        self._buffer = memoryview(buffer)
        self._codec = codec
        self.damaged = self.cut = self.before_key = self.unreferenced = self.smeared = 0
        self.turns: list[tuple[int, int]] = []
        self.lost_at = _NEVER
        self._last: CodedFrame | None = None  # the last complete one, kept or not
        self._started = self._intact = False  # intact: nothing to refer to is missing
        self._broken_at = 0  # time of the loss
        self._pending: list[TimedFrame] = []

    def frames(self) -> Iterator[TimedFrame]:
        """Yield the frames to keep, in order of sending."""
        missing = False  # packets, since the last complete frame
        for time, payloads, whole, gap, cut in self._groups():
            if gap or cut or not whole:
                self.lost_at = time
            missing = missing or gap
            if not payloads and whole:
                continue  # padding alone
            frame = self._codec.frame(payloads) if whole else None
            if cut and (frame is None or frame.data):
                self.cut += 1
                self._break(time)
            elif frame is None:
                self.damaged += 1
                self._break(time)
            elif frame.data:
                if missing and not (self._last and frame.follows(self._last)):
                    self._break(time)
                self._last, missing = frame, False
                if self._intact and not frame.key:  # nearly always
                    yield _new(TimedFrame, (time, frame))
                else:
                    yield from self._select(TimedFrame(time, frame))
        self.unreferenced += len(self._pending)
        self._pending.clear()

    def _groups(self) -> Iterator[tuple[int, list[memoryview], bool, bool, bool]]:
        """Yield (time, payloads, complete, packets missing before, cut) for each timestamp.

        Padding packets follow the last packet of a frame, under the same timestamp. A frame that
        the end of the recording cuts is no damage, and is left out without a word.
        """
        first = _first_packets(self._packets)
        marks = _ends_with_markers(first)
        buffer, payloads = self._buffer, list[memoryview]()
        time, whole, closed = _NEVER, True, True
        gap_before = gap_after = False
        for at, start, end, marker, gap, rotation in chain(first, self._packets):
            if at != time:
                if time != _NEVER:
                    whole = whole and (closed or not gap)
                    yield time, payloads, whole, gap_before, whole and marks and not closed
                gap_before, gap_after = gap or gap_after, False
                time, payloads, whole, closed = at, [], True, False
            elif gap and closed and start == end:
                gap_after = True
            elif gap:
                whole = False
            if end > start:
                payloads.append(buffer[start:end])
                closed = marker
            if rotation is not None:
                self._turn(at, rotation)
        if time != _NEVER and (closed or not whole):
            yield time, payloads, whole, gap_before, False

    def _select(self, timed: TimedFrame) -> Sequence[TimedFrame]:
        """Return the frames to keep, given this one."""
        if timed.frame.key:
            self._started = self._intact = True
            self.unreferenced += len(self._pending)
            self._pending.clear()
            return (timed,)
        if not self._started:
            self.before_key += 1
            return ()
        self._pending.append(timed)
        waited = timed.time - self._broken_at > KEY_FRAME_TIMEOUT_S * VIDEO_CLOCK_HZ
        if not waited and len(self._pending) <= _MAX_PENDING:
            return ()
        kept, self._pending = self._pending, []
        self.smeared += len(kept)
        self._intact = True
        return kept

    def _break(self, time: int) -> None:
        if self._intact:
            self._intact, self._broken_at = False, time

    def _turn(self, time: int, degrees: int) -> None:
        if degrees != (self.turns[-1][1] if self.turns else 0):
            self.turns.append((time, degrees))


def _first_packets(packets: Iterator[PacketRef]) -> list[PacketRef]:
    """Take packets of the first frames, or all where there are fewer."""
    taken: list[PacketRef] = []
    times: set[int] = set()
    for packet in islice(packets, _SAMPLED_PACKETS):
        taken.append(packet)
        times.add(packet[0])
        if len(times) > _SAMPLED_FRAMES:
            break
    return taken


def _ends_with_markers(packets: Sequence[PacketRef]) -> bool:
    """Return True if a marker ends at least half of these frames; the last one may be cut here."""
    ends = list({one[0]: one[3] for one in packets if one[2] > one[1]}.values())
    known = ends if ends and ends[-1] else ends[:-1]
    return 0 < 2 * sum(known) >= len(known)


def decoding_times(frames: Iterable[TimedFrame]) -> Iterator[tuple[int, TimedFrame]]:
    """Yield each frame with its time of decoding, in order of sending.

    Times of decoding rise strictly. They are those of display as long as these rise, else as many
    frames earlier as frames wait for another one; such frames are at most ``_AHEAD`` apart.
    """
    frames, order = iter(frames), _Reordering()
    before: list[TimedFrame] = []
    while chunk := list(islice(frames, _AHEAD)):
        order.read([one[0] for one in chunk])
        yield from zip(order.timed(len(before)), before, strict=True)
        before = chunk
    yield from zip(order.timed(len(before)), before, strict=True)


class _Reordering:
    """Times of decoding. Frames are read one chunk before they are timed."""

    def __init__(self) -> None:
        self._depth = 0  # frames that a frame is decoded before its turn, at most
        self._postponed = 0
        self._decoded = _NEVER
        self._recent: list[int] = []
        self._waiting: list[int] = []  # times of display of frames that are not timed yet; a heap

    def read(self, times: list[int]) -> None:
        """Read the times of display of the next frames."""
        recent = self._recent
        if self._depth or times != sorted(times) or (recent and times[0] < max(recent)):
            for time in times:
                self._depth = max(self._depth, sum(one > time for one in recent))
                recent = [*recent[1 - _AHEAD :], time]
            if not self._recent:
                self._decoded = min(times) - self._depth - 1
        self._recent = [*recent, *times][-_AHEAD:]
        self._waiting += times
        if self._depth:
            heapify(self._waiting)

    def timed(self, count: int) -> list[int]:
        """Return the times of decoding of so many frames."""
        found, decoded, waiting = [], self._decoded, self._waiting
        if not self._depth:
            for time in waiting[:count]:
                decoded = time if time > decoded else decoded + 1
                found.append(decoded)
            del waiting[:count]
        for _ in range(count - len(found)):
            if self._postponed < self._depth:
                self._postponed += 1
                decoded += 1
            else:
                decoded = max(decoded + 1, heappop(waiting))
            found.append(decoded)
        self._decoded = decoded
        return found
