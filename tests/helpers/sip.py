"""A telephone: a SIP caller over UDP that sends a tone, and nothing that a test does not need.

No registration, no authentication, PCMU only: the trunk of ``config/asterisk`` knows it by its
address.
"""

import asyncio
import math
import secrets
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

RATE = 8000
FRAME = 160  # samples in 20 ms
WAIT_S = 20.0
RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class Sip:
    """One message: its first line, headers by lower-case name, body."""

    start: str
    headers: Mapping[str, str]
    body: str

    @property
    def method(self) -> str:
        return self.headers["cseq"].split()[1]


@dataclass(slots=True)
class Phone(asyncio.DatagramProtocol):
    """One call. hung_up: set when the other side ended it."""

    number: str
    called: str
    port: int  # Asterisk's
    extra: Mapping[str, str] = field(default_factory=dict)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    status: str = ""
    _transport: asyncio.DatagramTransport | None = None
    _rtp: asyncio.DatagramTransport | None = None
    _remote: tuple[str, int] = ("", 0)
    _to: str = ""
    _target: str = ""
    _cseq: int = 1
    _call_id: str = field(default_factory=lambda: secrets.token_hex(8))
    _tag: str = field(default_factory=lambda: secrets.token_hex(4))

    async def dial(self) -> None:
        """Call, and wait until it is answered. AssertionError where it is refused."""
        loop = asyncio.get_running_loop()
        local = ("127.0.0.1", 0)
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=local)
        self._rtp, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=local
        )
        self._to = f"<sip:{self.called}@127.0.0.1>"
        self._target = f"sip:{self.called}@127.0.0.1:{self.port}"
        branch = _branch()
        for _ in range(round(WAIT_S / RETRY_S)):
            self._send("INVITE", branch, _sdp(self._rtp.get_extra_info("sockname")[1]))
            if await _set_within(self.heard, RETRY_S):
                break
        async with asyncio.timeout(WAIT_S):
            await self.answered.wait()
        assert self.status == "200", self.status

    async def speak(self, hz: float) -> None:
        """Send a tone until cancelled."""
        assert self._rtp is not None
        loop = asyncio.get_running_loop()
        begun = loop.time()
        source = secrets.randbits(32)
        for frame in range(1 << 30):
            first = frame * FRAME
            samples = (math.sin(2 * math.pi * hz * n / RATE) for n in range(first, first + FRAME))
            payload = bytes(_mu_law(round(9000 * sample)) for sample in samples)
            header = struct.pack("!BBHII", 0x80, 0, frame & 0xFFFF, first & 0xFFFFFFFF, source)
            self._rtp.sendto(header + payload, self._remote)
            await asyncio.sleep(max(0.0, begun + (frame + 1) * FRAME / RATE - loop.time()))

    async def hang_up(self) -> None:
        """End the call."""
        self.heard.clear()
        self._cseq += 1
        branch = _branch()
        for _ in range(round(WAIT_S / RETRY_S)):
            self._send("BYE", branch)
            if await _set_within(self.heard, RETRY_S):
                return

    def close(self) -> None:
        """Give the sockets back."""
        for transport in (self._transport, self._rtp):
            if transport is not None:
                transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        message = _parse(data)
        if message.start.startswith("SIP/2.0"):
            self._answer(message)
            return
        self._reply(message)
        if message.method == "BYE":
            self.hung_up.set()

    def _answer(self, message: Sip) -> None:
        self.heard.set()
        status = message.start.split()[1]
        if message.method != "INVITE" or status < "200":
            return
        self._to = message.headers["to"]
        if status == "200":
            self._target = message.headers["contact"].partition("<")[2].partition(">")[0]
            media = next(line for line in message.body.split("\r\n") if line.startswith("m=audio"))
            self._remote = ("127.0.0.1", int(media.split()[1]))
        self.status = status
        self._send("ACK", _branch())
        self.answered.set()

    def _send(self, method: str, branch: str, body: str = "") -> None:
        assert self._transport is not None
        own = self._transport.get_extra_info("sockname")[1]
        extra = self.extra if method == "INVITE" else {}
        lines = [
            f"{method} {self._target} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{own};branch={branch};rport",
            "Max-Forwards: 70",
            f"From: <sip:{self.number}@127.0.0.1>;tag={self._tag}",
            f"To: {self._to}",
            f"Call-ID: {self._call_id}",
            f"CSeq: {self._cseq} {method}",
            f"Contact: <sip:{self.number}@127.0.0.1:{own}>",
            *(f"{name}: {value}" for name, value in extra.items()),
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        self._transport.sendto("\r\n".join((*lines, "", body)).encode(), ("127.0.0.1", self.port))

    def _reply(self, message: Sip) -> None:
        assert self._transport is not None
        copied = ("Via", "From", "To", "Call-ID", "CSeq")
        lines = ["SIP/2.0 200 OK", *(f"{name}: {message.headers[name.lower()]}" for name in copied)]
        lines.append("Content-Length: 0")
        self._transport.sendto("\r\n".join((*lines, "", "")).encode(), ("127.0.0.1", self.port))


@asynccontextmanager
async def calling(
    port: int, *, number: str, called: str, hz: float, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Phone]:
    """A phone whose call is answered, and that sends a tone."""
    phone = Phone(number, called, port, headers or {})
    try:
        await phone.dial()
        async with asyncio.TaskGroup() as group:
            tone = group.create_task(phone.speak(hz))
            try:
                yield phone
            finally:
                tone.cancel()
    finally:
        phone.close()


def _sdp(port: int) -> str:
    lines = ("v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0")
    return "\r\n".join((*lines, f"m=audio {port} RTP/AVP 0", "a=rtpmap:0 PCMU/8000", ""))


def _parse(data: bytes) -> Sip:
    head, _, body = data.decode().partition("\r\n\r\n")
    start, *lines = head.split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
    return Sip(start, headers, body)


def _branch() -> str:
    return f"z9hG4bK{secrets.token_hex(8)}"


def _mu_law(sample: int) -> int:
    """G.711, of a sample of 16 bits."""
    sign, size = (0x80, -sample) if sample < 0 else (0, sample)
    size = min(size, 32635) + 132
    exponent = size.bit_length() - 8
    return ~(sign | exponent << 4 | (size >> (exponent + 3)) & 0x0F) & 0xFF


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
