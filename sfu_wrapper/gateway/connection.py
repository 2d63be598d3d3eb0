"""The bytes of one WebSocket on their way in: how many at a time, and how fast.

The library answers pings by itself, and takes whatever the system has for it in one piece; a peer
that floods could so keep the loop to itself, and memory with it if it does not read. Here it is
read in small pieces, and not at all while it owes for what it has sent: its own network slows
down, nobody else. Knows nothing of messages.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from websockets.asyncio.server import ServerConnection
from websockets.protocol import Event, State

from sfu_wrapper.gateway.handshake import Admitted
from sfu_wrapper.gateway.limits import TokenBucket
from sfu_wrapper.gateway.lobby import Arrival
from sfu_wrapper.gateway.settings import KIB, GatewaySettings
from sfu_wrapper.gateway.shares import Shares
from sfu_wrapper.gateway.turns import Errands, Turns

_PIECE_BYTES = KIB  # of somebody who is not trusted; 170 of the smallest frames
_TRUSTED_PIECE_BYTES = 4 * KIB
_SLACK = 3  # frames a request: fragments, pings, pongs
_LONGEST_DEBT_S = 5.0
_TRUSTED_MESSAGES_A_TURN = 4  # of many clients
_TURNS_A_ROUND = 4
_DEPARTURES_A_ROUND = 2  # each wakes three tasks and ends what its client had begun
_TRY_AGAIN_LATER = 1013


@dataclass(slots=True)
class Intake:
    """What all connections of one server share.

    Attributes:
        shares: places of connections; their strangers have no identity yet.
        sockets: connections that are open, admitted or not.
        turns: in which their messages are handled.
        departures: what ends with connections that are lost: a network takes thousands at once.
    """

    settings: GatewaySettings
    shares: Shares = field(init=False)
    sockets: "set[Connection]" = field(default_factory=set)
    turns: Turns = field(default_factory=lambda: Turns(_TURNS_A_ROUND))
    departures: Errands = field(default_factory=lambda: Errands(_DEPARTURES_A_ROUND))
    buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(_TRUSTED_PIECE_BYTES)))

    def __post_init__(self) -> None:
        """Make the places that the settings give."""
        settings = self.settings
        self.shares = Shares(
            settings.max_unauthenticated, settings.max_connections_per_address, settings.proxies
        )

    def pace(self) -> TokenBucket:
        """How fast somebody is read: a token is a frame, or a KiB of a longer one."""
        settings = self.settings
        return TokenBucket(_SLACK * settings.requests_per_second, _SLACK * settings.requests_burst)


class Connection(ServerConnection, asyncio.BufferedProtocol):
    """A connection that is read at a bounded pace, and remembers what its handshake came to.

    trusted: read as fast as it sends: a gateway, the room service.
    """

    admitted: Admitted
    intake: Intake
    arrival: Arrival
    trusted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read the request that has arrived already."""
        super().connection_made(transport)
        self._pace = self.intake.pace()
        self._frames = 0
        self._messages = 0
        self._held: asyncio.TimerHandle | None = None
        self.recv_messages.resume = self._read_on
        self.intake.sockets.add(self)
        self.arrival.ticket.evict = self._make_room
        self.intake.shares.unidentified(self.arrival.ticket)
        self.arrival.replay(self.data_received)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up the place of the connection."""
        self.intake.sockets.discard(self)
        self.intake.shares.leave(self.arrival.ticket)
        if self._held is not None:
            self._held.cancel()
        self.intake.departures.add(partial(self._depart, exc))

    def _depart(self, exc: Exception | None) -> None:
        """Tell all who work for this connection that it is gone."""
        super().connection_lost(exc)
        self._untie()

    def _untie(self) -> None:
        """Let go of what leads back here, so that memory is free as soon as nobody looks any more.

        Cycles would be left to the garbage collector, which holds up everybody for longer the more
        connections there are.
        """
        self.recv_messages.resume = self.transport.resume_reading
        self.arrival.ticket.evict = self.transport.abort
        self.protocol.parser.close()
        for error in (self.protocol.parser_exc, self.protocol.handshake_exc):
            if error is not None:
                error.__traceback__ = None

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read into; what is read is copied before anybody else reads."""
        return self.intake.buffer[: _TRUSTED_PIECE_BYTES if self.trusted else _PIECE_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        """Something was read."""
        self._frames = 0
        self.data_received(bytes(self.intake.buffer[:nbytes]))
        if not self.trusted:
            self._charge(max(self._frames, nbytes / KIB))

    def process_event(self, event: Event) -> None:
        """A frame is complete."""
        self._frames += 1
        super().process_event(event)

    @property
    def peer(self) -> str:
        """The address at the other end of the socket."""
        name = self.transport.get_extra_info("peername")
        return str(name[0]).partition("%")[0] if name else ""

    def come_from(self, client: str | None) -> bool:
        """Count this connection under its client, as its proxy named it.

        Returns:
            False where that client has its share of connections already.
        """
        return client is None or self.intake.shares.behind_proxy(self.arrival.ticket, client)

    def authenticated(self) -> None:
        """Leave the places that connections without an identity share."""
        self.intake.shares.identified(self.arrival.ticket)

    async def turn(self) -> None:
        """Let others go on: messages that are here already come without waiting."""
        self._messages += 1
        if not self.trusted:
            await self.intake.turns.take()
        elif self._messages % _TRUSTED_MESSAGES_A_TURN == 0:
            await self.intake.turns.take(_TRUSTED_MESSAGES_A_TURN)

    async def send_together(self, messages: Sequence[bytes]) -> None:
        """Send text messages, UTF-8, with one write to the socket. Raises ConnectionClosed."""
        async with self.send_context():
            for message in messages:
                self.protocol.send_text(message)
            self.protocol.writes = [b"".join(self.protocol.writes)]

    def _make_room(self) -> None:
        """End at once in favour of another: with a reason where it leaves without waiting."""
        if self.protocol.state is State.OPEN and not self.transport.get_write_buffer_size():
            self.protocol.fail(_TRY_AGAIN_LATER, "too many connections without a token")
            for data in self.protocol.data_to_send():
                self.transport.write(data)
        self.transport.abort()

    def _charge(self, cost: float) -> None:
        """Count what was read; do not read on before it is paid for."""
        now_ms = math.floor(self.loop.time() * 1000)
        self._pace.wait_ms(now_ms)
        longest = _LONGEST_DEBT_S * _SLACK * self.intake.settings.requests_per_second
        self._pace.take(min(cost, longest))
        wait_ms = self._pace.wait_ms(now_ms)
        if wait_ms > 0 and self._held is None and not self.transport.is_closing():
            self.transport.pause_reading()
            self._held = self.loop.call_later(wait_ms / 1000, self._paid)

    def _paid(self) -> None:
        self._held = None
        if not self.recv_messages.paused:
            self._read_on()

    def _read_on(self) -> None:
        """Read again, unless it still owes; also called when its messages were taken."""
        if self._held is None and not self.transport.is_closing():
            self.transport.resume_reading()
