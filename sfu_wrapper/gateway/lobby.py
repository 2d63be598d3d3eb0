"""The listening sockets, and the sockets whose first request head has not arrived.

A protocol stack (transport, parser, tasks) is only made for a connection that has sent a whole
request head. Until then a peer costs a descriptor, a few hundred bytes and some microseconds,
however slowly it sends, and is one of the strangers of ``shares``. The event loop looks at all of
them together through one nested epoll, and at a bounded number of them a turn, so that a flood of
connections delays others by that much and no more. Knows nothing of HTTP but where a head ends.

What the owner must do: give a factory of protocols, each of which calls ``Arrival.replay`` at the
end of its ``connection_made``, and ``Shares.leave`` in its ``connection_lost``.
"""

import asyncio
import errno
import logging
import select
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from sfu_wrapper.gateway.shares import Shares, Ticket
from sfu_wrapper.model.errors import Unavailable

log = logging.getLogger(__name__)

_BACKLOG = 1024
_EVENTS_A_TURN = 32
_ACCEPTS_A_TURN = 32
_HANDOVERS_A_TURN = 1  # makes a protocol stack and a handshake, of some 500 microseconds
_READ_BYTES = 4096
_PAUSE_S = 0.1  # without accepting, when the system has no descriptor for us
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # a host without IPv6
_REPORT_S = 10.0  # between two log lines about strangers that were turned away


@dataclass(eq=False, slots=True)
class Arrival:
    """Accepted socket.

    Attributes:
        sock: the socket.
        due_s: loop time in s by which its request head must be complete.
        ticket: its place among the connections.
        head: bytes that have arrived so far.
    """

    sock: socket.socket
    due_s: float
    ticket: Ticket = field(init=False)
    head: bytes = b""

    def replay(self, receive: Callable[[bytes], object]) -> None:
        """Pass the bytes that were read before the protocol existed to ``receive``."""
        head, self.head = self.head, b""
        receive(head)


@dataclass(frozen=True, slots=True)
class LobbySettings:
    """Limits of the time before a request.

    Attributes:
        host: address to listen on.
        port: port to listen on; 0: any free one.
        head_s: time in s for a request head to arrive.
        max_head_bytes: limit of a request head; a longer one ends its connection.
    """

    host: str
    port: int
    head_s: float
    max_head_bytes: int


class Lobby:
    """Accepts connections, reads their heads, and hands them over to protocols.

    Args:
        factory: makes the protocol of one connection.
    """

    def __init__(
        self,
        settings: LobbySettings,
        shares: Shares,
        factory: Callable[[Arrival], asyncio.BaseProtocol],
    ) -> None:
        self._settings = settings
        self._shares = shares
        self._factory = factory
        self._listeners: dict[int, socket.socket] = {}
        self._waiting: dict[int, Arrival] = {}  # by descriptor, in order of arrival
        self._ready: deque[Arrival] = deque()
        self._handing_over: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._pumping = False
        self._reported_s = float("-inf")
        self._port = settings.port

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """Listening sockets."""
        return tuple(self._listeners.values())

    @property
    def waiting(self) -> int:
        """Number of sockets whose head is not complete."""
        return len(self._waiting)

    async def open(self) -> int:
        """Listen on all addresses of the host. Returns the port.

        Raises:
            Unavailable: an address is in use or not of this host.
        """
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        try:
            listeners = await bind(self._settings.host, self._settings.port)
        except Unavailable:
            self._epoll.close()
            raise
        for listener in listeners:
            self._listeners[listener.fileno()] = listener
            self._epoll.register(listener, select.EPOLLIN)
        self._loop.add_reader(self._epoll.fileno(), self._poll)
        self._port = int(listeners[0].getsockname()[1])
        return self._port

    def is_serving(self) -> bool:
        """Return True while new connections are accepted."""
        return bool(self._listeners)

    def close(self) -> None:
        """Stop accepting and close all waiting sockets; those handed over go on."""
        if not self._listeners:
            return
        self._loop.remove_reader(self._epoll.fileno())
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        for arrival in (*self._waiting.values(), *self._ready):
            self._end(arrival)
        self._waiting.clear()
        self._ready.clear()
        self._epoll.close()
        if self._timer is not None:
            self._timer.cancel()

    async def wait_closed(self) -> None:
        """Wait until the last handover is done."""
        if self._handing_over:
            await asyncio.wait(self._handing_over)

    def _poll(self) -> None:
        """Handle a bounded number of listeners and strangers that are readable."""
        for descriptor, _ in self._epoll.poll(0, _EVENTS_A_TURN):
            listener = self._listeners.get(descriptor)
            if listener is not None:
                self._accept(listener)
            elif (arrival := self._waiting.get(descriptor)) is not None:
                self._receive(arrival)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor, no memory
                self._pause(listener, error)
                return
            self._take_in(sock, address[0].partition("%")[0])  # without the zone of IPv6

    def _take_in(self, sock: socket.socket, peer: str) -> None:
        sock.setblocking(False)
        arrival = Arrival(sock, self._loop.time() + self._settings.head_s)
        ticket = self._shares.enter(peer, partial(self._evicted, arrival))
        if ticket is None:
            sock.close()
            self._report(peer)
            return
        arrival.ticket = ticket
        self._waiting[sock.fileno()] = arrival
        self._epoll.register(sock, select.EPOLLIN)
        if self._timer is None:
            self._timer = self._loop.call_at(arrival.due_s, self._expire)

    def _receive(self, arrival: Arrival) -> None:
        try:
            data = arrival.sock.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        before = max(len(arrival.head) - 2, 0)
        arrival.head += data
        if not data or len(arrival.head) > self._settings.max_head_bytes:
            self._forget(arrival)
            self._end(arrival)
        elif _has_head(arrival.head, before):
            self._forget(arrival)
            self._ready.append(arrival)
            self._pump_soon()

    def _forget(self, arrival: Arrival) -> None:
        del self._waiting[arrival.sock.fileno()]
        self._epoll.unregister(arrival.sock)

    def _end(self, arrival: Arrival) -> None:
        self._shares.leave(arrival.ticket)
        arrival.sock.close()

    def _evicted(self, arrival: Arrival) -> None:
        """Close a stranger whose place was given to another connection."""
        if arrival.sock.fileno() in self._waiting:
            self._forget(arrival)
        arrival.sock.close()
        self._report(None)

    def _expire(self) -> None:
        """Close sockets whose head did not arrive in time; a bounded number a round."""
        self._timer = None
        now_s = self._loop.time()
        for _ in range(_EVENTS_A_TURN):
            arrival = next(iter(self._waiting.values()), None)
            if arrival is None:
                return
            if arrival.due_s > now_s:
                break
            self._forget(arrival)
            self._end(arrival)
        first = next(iter(self._waiting.values()), None)
        if first is not None:
            self._timer = self._loop.call_at(first.due_s, self._expire)

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Hand over a bounded number of sockets, and continue in the next round."""
        self._pumping = False
        for _ in range(min(_HANDOVERS_A_TURN, len(self._ready))):
            arrival = self._ready.popleft()
            if not arrival.ticket.inside:
                continue  # evicted while it waited
            self._shares.identified(arrival.ticket)  # the protocol says what it is from now on
            task = self._loop.create_task(self._hand_over(arrival))
            self._handing_over.add(task)
            task.add_done_callback(self._handing_over.discard)
        if self._ready:
            self._pump_soon()

    async def _hand_over(self, arrival: Arrival) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: self._factory(arrival), arrival.sock)
        except OSError:
            self._end(arrival)
        except Exception:
            log.exception("gateway.connectionFailed")
            self._end(arrival)

    def _pause(self, listener: socket.socket, error: OSError) -> None:
        """Free the descriptor of a stranger, and pause before accepting again."""
        log.warning("gateway.acceptFailed", extra={"error": error.strerror})
        self._shares.evict_stranger()
        self._epoll.unregister(listener)
        self._loop.call_later(_PAUSE_S, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        if listener.fileno() in self._listeners:
            self._epoll.register(listener, select.EPOLLIN)

    def _report(self, peer: str | None) -> None:
        """Log that strangers are rejected, at most once in ``_REPORT_S``."""
        now_s = self._loop.time()
        if now_s - self._reported_s >= _REPORT_S:
            self._reported_s = now_s
            extra = {
                "port": self._port,
                "evicted": self._shares.evicted,
                "refused": self._shares.refused,
                "peer": peer or "",
            }
            log.warning("gateway.unauthenticatedRejected", extra=extra)


def _has_head(received: bytes, start: int) -> bool:
    """Return True if a request head ends in the bytes from ``start`` on."""
    return received.find(b"\n\r\n", start) >= 0 or received.find(b"\n\n", start) >= 0


async def bind(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of a host, all on one port, which 0 lets the system choose.

    Raises:
        Unavailable: no address is of this host, or one of them is in use.
    """
    listeners: list[socket.socket] = []
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for number, (family, kind, protocol, _, address) in enumerate(dict.fromkeys(found)):
            chosen = listeners[0].getsockname()[1] if listeners else port
            try:
                where = (address[0], chosen, *address[2:])
                listeners.append(_bound(socket.socket(family, kind, protocol), where))
            except OSError as error:
                is_last = number == len(set(found)) - 1
                if error.errno not in _NO_SUCH_ADDRESS or (is_last and not listeners):
                    raise
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise Unavailable(f"cannot listen on {host} port {port}: {error.strerror}") from error
    return listeners


def _bound(listener: socket.socket, address: tuple[object, ...]) -> socket.socket:
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family is socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
