"""The .mjr container of Janus: a JSON header, then RTP packets as they arrived.

    'MJR00002' | u16 length | JSON {t, c, f?, x?, s, u, e?, or?} | frame ...
    frame: 'MEET' | u32 ms since the first packet | u16 length | RTP packet
    'MJR00001' has frames 'MEETECHO' | u16 length | RTP packet, without a time of receipt.

All numbers are big-endian. Reading is total and linear: any bytes give a result or Malformed, and
no byte beyond the buffer is read. The traces of a crash are no error: a cut header means "holds
nothing", a cut last frame is left out, and garbage between frames is skipped up to the next 'MEET'.
``rtp`` decides if a packet is RTP at all.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from struct import Struct
from struct import error as struct_error

from sfu_wrapper.formats.bits import Buffer
from sfu_wrapper.model.errors import Malformed

MAGIC = b"MJR00002"
MAGIC_UNTIMED = b"MJR00001"
MAX_PACKET_BYTES = 0xFFFF
MAX_OFFSET_MS = 0xFFFFFFFF
TAIL_BYTES = 262_144  # of a file's end for ``last_offset_ms``: several packets of the largest size

_FRAME_MARK = b"MEET"
_MARK = int.from_bytes(_FRAME_MARK, "big")
_FRAME = Struct(">IIH")  # mark, ms, length
_FRAME_BYTES = _FRAME.size
_HEADED_FRAME = Struct(">IIHHHII2xH")  # and the first 16 bytes of the packet
_LENGTH = Struct(">H")
_END = 4  # in a Head
_HEADER_AT = len(MAGIC) + _LENGTH.size


class Kind(StrEnum):
    """Medium of a file, as its header spells it."""

    AUDIO = "a"
    VIDEO = "v"
    DATA = "d"


@dataclass(frozen=True, slots=True)
class Header:
    """Header that Janus writes at the first packet.

    Attributes:
        kind: medium of the file.
        codec: lower case (vp8, vp9, h264, opus, pcmu, pcma ...).
        created_us: epoch µs of the opening of the file.
        started_us: epoch µs of the first packet.
        fmtp: SDP parameters of the codec.
        extensions: RTP header extensions, id to URI.
        red_type: payload type of Opus with redundancy (RED); None: no packet is in RED.
        encrypted: True for end-to-end encrypted payloads, which no server can read.
    """

    kind: Kind
    codec: str
    created_us: int
    started_us: int
    fmtp: str | None = None
    extensions: tuple[tuple[int, str], ...] = ()
    encrypted: bool = False
    red_type: int | None = None

    def extension_id(self, uri: str) -> int | None:
        """Return the id of a header extension in the packets; None where it is not used."""
        return next((number for number, known in self.extensions if known == uri), None)


Frame = tuple[int, int, int]
"""(ms since the first packet, start of the packet, its end), positions in the buffer."""

Head = tuple[int, int, int, int, int, int, int, int]
"""(sequence, timestamp, ms, start, end, first two bytes, words of extension, SSRC) of a frame.

The fields are read without validation: they are meaningless for a packet that is no RTP.
"""


class Reader:
    """Reader of one .mjr, in memory or mapped. Raises Malformed for any other file.

    Attributes:
        header: None where the file ends before or within its header: it holds no packet.
        timed: True where frames carry a time of receipt (otherwise it reads 0).
        skipped_bytes: bytes between frames left out by ``frames``; complete at its end.
        truncated: True where the last frame is cut; complete at the end of ``frames``.
    """

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer
        self.header, self._first = _read_header(buffer)
        self.timed = bytes(buffer[: len(MAGIC)]) != MAGIC_UNTIMED
        self.skipped_bytes = 0
        self.truncated = self.header is None and len(buffer) > len(MAGIC)

    def frames(self) -> Iterator[Frame]:
        """Yield every whole frame in file order, as positions."""
        return ((ms, start, end) for _, _, ms, start, end, _, _, _ in self.heads())

    def heads(self) -> Iterator[Head]:
        """Yield every whole frame with the fields of its RTP header."""
        if self.header is None:
            return
        self.skipped_bytes, self.truncated = 0, False
        buffer, timed, size = self.buffer, self.timed, len(self.buffer)
        unpack, last = _HEADED_FRAME.unpack_from, size - _FRAME.size
        position = self._first
        while position <= last:
            try:
                mark, ms, length, head, sequence, timestamp, ssrc, words = unpack(buffer, position)
            except struct_error:  # near the end, with less in the frame than is read
                mark, ms, length, head, sequence, timestamp, ssrc, words = self._at(position)
            if mark != _MARK:
                position = self._resume(position)
                continue
            start = position + _FRAME_BYTES
            position = start + length
            if position > size:
                self.truncated = True
                return
            yield sequence, timestamp, ms if timed else 0, start, position, head, words, ssrc
        self._judge_tail(position)

    def heads_from(self, position: int) -> Iterator[Head]:
        """Yield the frames from the begin of one on, up to the first damage. Counts nothing."""
        while position <= len(self.buffer) - _FRAME_BYTES:
            mark, ms, length, head, sequence, timestamp, ssrc, words = self._at(position)
            start = position + _FRAME_BYTES
            position = start + length
            if mark != _MARK or position > len(self.buffer):
                return
            yield sequence, timestamp, ms if self.timed else 0, start, position, head, words, ssrc

    def heads_at(self, start: int) -> Iterator[Head]:
        """Yield the frames from the one on whose packet starts there, as ``heads_from``."""
        return self.heads_from(start - _FRAME_BYTES)

    def heads_before(self, position: int, limit_bytes: int) -> Iterator[Head]:
        """Yield the frames in the last ``limit_bytes`` before a position. Counts nothing."""
        at = max(self._first, position - limit_bytes)
        while 0 <= (at := self.buffer.find(_FRAME_MARK, at)) < position:
            for found in self.heads_from(at):
                at = found[_END]
                if at > position:
                    return
                yield found
            at += 1

    def believed_ms(self, ms: int, end: int) -> int:
        """Return the receipt of the frame that ends at ``end``, at most that of the next one."""
        if end + _FRAME_BYTES > len(self.buffer):
            return ms
        mark, next_ms, _ = _FRAME.unpack_from(self.buffer, end)
        return min(ms, next_ms) if mark == _MARK else ms

    def _at(self, position: int) -> tuple[int, ...]:
        """Return the fields of the frame at a position, with 0 beyond the end of the file."""
        some = bytes(self.buffer[position : position + _HEADED_FRAME.size])
        return _HEADED_FRAME.unpack(some.ljust(_HEADED_FRAME.size, b"\0"))

    def _resume(self, position: int) -> int:
        """Skip bytes that are no frame: to the next mark, or to the end."""
        found = self.buffer.find(_FRAME_MARK, position)
        resumed = found if found >= 0 else len(self.buffer)
        self.skipped_bytes += resumed - position
        return resumed

    def _judge_tail(self, position: int) -> None:
        tail = bytes(self.buffer[position:])
        if tail.startswith(_FRAME_MARK[: len(tail)]):
            self.truncated = self.truncated or bool(tail)
        else:
            self.skipped_bytes += len(tail)


def last_offset_ms(tail: bytes) -> int | None:
    """Return the ms from the first packet to the last whole frame; None where ``tail`` has none.

    A mark inside a packet differs from a real one by the bytes that follow: only a real one begins
    an unbroken sequence of frames up to the end or the cut.

    Args:
        tail: end of a timed file, from any position on.
    """
    position = tail.find(_FRAME_MARK)
    while position >= 0:
        offset_ms = _follow(tail, position)
        if offset_ms is not None:
            return offset_ms
        position = tail.find(_FRAME_MARK, position + 1)
    return None


def _follow(tail: bytes, position: int) -> int | None:
    """Return the ms of the last whole frame of a sequence from here to the end; None if broken."""
    last_ms: int | None = None
    while position + _FRAME.size <= len(tail):
        mark, offset_ms, length = _FRAME.unpack_from(tail, position)
        if mark != _MARK:
            return None
        position += _FRAME.size + length
        if position <= len(tail):
            last_ms = offset_ms
    rest = tail[position:]  # of a frame that was cut within its head
    return last_ms if rest[: len(_FRAME_MARK)] == _FRAME_MARK[: len(rest)] else None


def encode_header(header: Header) -> bytes:
    """Encode magic and JSON as Janus does. Raises ValueError past 65535 bytes."""
    fields: dict[str, object] = {"t": header.kind.value, "c": header.codec}
    if header.fmtp is not None:
        fields["f"] = header.fmtp
    if header.extensions:
        fields["x"] = {str(number): uri for number, uri in header.extensions}
    fields["s"] = header.created_us
    fields["u"] = header.started_us
    if header.encrypted:
        fields["e"] = True
    if header.red_type is not None:
        fields["or"] = header.red_type
    text = json.dumps(fields).encode("ascii")
    return MAGIC + _prefixed(text)


def encode_frame(offset_ms: int, packet: bytes) -> bytes:
    """Encode one frame. Raises ValueError where a number does not fit its field."""
    if not 0 <= offset_ms <= MAX_OFFSET_MS:
        raise ValueError(f"offset_ms must be 0..{MAX_OFFSET_MS}, got {offset_ms}")
    return _FRAME_MARK + offset_ms.to_bytes(4, "big") + _prefixed(packet)


def _prefixed(data: bytes) -> bytes:
    if len(data) > MAX_PACKET_BYTES:
        raise ValueError(f"at most {MAX_PACKET_BYTES} bytes fit, got {len(data)}")
    return _LENGTH.pack(len(data)) + data


def _read_header(buffer: Buffer) -> tuple[Header | None, int]:
    magic = bytes(buffer[: len(MAGIC)])
    if not (MAGIC.startswith(magic) or MAGIC_UNTIMED.startswith(magic)):
        raise Malformed(f"not an .mjr file: it begins with {magic!r}")
    if len(buffer) < _HEADER_AT:
        return None, len(buffer)
    (length,) = _LENGTH.unpack_from(buffer, len(MAGIC))
    end = _HEADER_AT + length
    if end > len(buffer):
        return None, len(buffer)
    return _parse_json(bytes(buffer[_HEADER_AT:end])), end


def _parse_json(text: bytes) -> Header:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise Malformed("the header of the .mjr file is not JSON") from exc
    if not isinstance(fields, dict):
        raise Malformed("the header of the .mjr file is not a JSON object")
    return Header(
        kind=_kind(fields.get("t")),
        codec=_text(fields, "c").lower(),
        created_us=_epoch_us(fields, "s"),
        started_us=_epoch_us(fields, "u"),
        fmtp=_text(fields, "f") if "f" in fields else None,
        extensions=_extensions(fields.get("x")),
        encrypted=fields.get("e") is True,
        red_type=_payload_type(fields.get("or")),
    )


def _kind(value: object) -> Kind:
    try:
        return Kind(str(value)[:1])  # the first Janus versions wrote the whole word
    except ValueError as exc:
        raise Malformed("the .mjr header has no medium", path="t") from exc


def _text(fields: dict[str, object], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str):
        raise Malformed(f"the .mjr header has no text in {key!r}", path=key)
    return value


def _epoch_us(fields: dict[str, object], key: str) -> int:
    value = fields.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise Malformed(f"the .mjr header has no time in {key!r}", path=key)
    return value


def _payload_type(value: object) -> int | None:
    """Return a payload type; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 7:
        return None
    return value


def _extensions(value: object) -> tuple[tuple[int, str], ...]:
    """Return the readable extensions; unreadable ones are left out, since no reader needs them."""
    if not isinstance(value, dict):
        return ()
    return tuple(
        (int(number), uri)
        for number, uri in value.items()
        if isinstance(uri, str) and number.isascii() and number.isdigit() and len(number) <= 3
    )
