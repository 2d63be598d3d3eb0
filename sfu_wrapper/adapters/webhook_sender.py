"""``ports.webhooks.WebhookSender``: one POST over HTTP/1.1, with h11 on asyncio's streams.

An HTTP client library would resolve names itself, at a moment of its own. Here the addresses of a
name are checked, and the connection is made to one of the checked addresses, while TLS and the
``Host`` header keep the name: so no second answer of a name server can lead elsewhere. Redirects
are statuses like any other. No response is read beyond ``MAX_RESPONSE_BYTES``. Connections whose
response was read to its end are kept for the next delivery to the same host, a few for a short
time.
"""

import asyncio
import socket
import ssl
from collections import defaultdict, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import h11

from sfu_wrapper.adapters.os.threads import BoundedThreadPool
from sfu_wrapper.core.webhooks import Target, is_public, parse_target
from sfu_wrapper.model.errors import Unavailable

DEADLINE_S: Final = 15.0
MAX_RESPONSE_BYTES: Final = 4096  # of the body; the head has a limit of its own in h11
_REST_S: Final = 1.0  # for the body, once the status is there
_CONNECT_S: Final = 5.0  # for each address of a name
_READ_BYTES: Final = 16 * 1024
_LOOK_UPS: Final = 32  # at a time; a name server that hangs keeps no more threads
_IDLE_S: Final = 20.0
_IDLE_PER_HOST: Final = 8
_IDLE_IN_ALL: Final = 64
_MAX_ADDRESSES: Final = 4  # of a name, tried one after the other
_AGENT: Final = "sfu-wrapper"


@dataclass(slots=True)
class _Connection:
    """Connection to a checked address.

    Attributes:
        reader: its incoming bytes.
        writer: its outgoing bytes.
        http: state of HTTP/1.1.
        used_s: loop time at which it became idle.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection
    used_s: float = 0.0

    def close(self) -> None:
        """Close without waiting for the other side."""
        with suppress(Exception):  # a broken TLS connection may fail in many ways
            self.writer.transport.abort()


class HttpSender:
    """Sends deliveries.

    Args:
        allow_private: also send to private, loopback and link-local addresses.
        tls: verification of https; None: the certificates of the system.
        deadline_s: seconds for a whole attempt.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        tls: ssl.SSLContext | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._allow_private = allow_private
        self._tls = ssl.create_default_context() if tls is None else tls
        self._deadline_s = deadline_s
        self._look_ups = BoundedThreadPool(_LOOK_UPS)
        self._idle: defaultdict[Target, deque[_Connection]] = defaultdict(deque)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """See ``WebhookSender``."""
        try:
            target = parse_target(url)
            async with asyncio.timeout(self._deadline_s):
                connection, status = await self._post(target, headers, body)
        except TimeoutError as error:
            raise Unavailable(f"no response within {self._deadline_s:g} s") from error
        except (OSError, EOFError, ValueError, h11.ProtocolError) as error:
            raise Unavailable(_text(error)) from error
        whole = False
        try:
            whole = await _read_rest(connection)
        finally:
            if not whole:
                connection.close()
        if whole:
            self._keep(target, connection)
        return status

    def close(self) -> None:
        """Close the idle connections."""
        for waiting in self._idle.values():
            for connection in waiting:
                connection.close()
        self._idle.clear()

    async def _post(
        self, target: Target, headers: Mapping[str, str], body: bytes
    ) -> tuple[_Connection, int]:
        kept = self._take(target)
        if kept is not None:
            # The other side may have closed it meanwhile: then the request goes out once more.
            with suppress(OSError, EOFError, h11.RemoteProtocolError):
                return kept, await _exchange(kept, target, headers, body)
        connection = await self._connect(target)
        return connection, await _exchange(connection, target, headers, body)

    async def _connect(self, target: Target) -> _Connection:
        """Connect to a checked address of the target. Raises OSError, Unavailable."""
        trouble: OSError | None = None
        for family, address in (await self._addresses(target))[:_MAX_ADDRESSES]:
            try:
                async with asyncio.timeout(_CONNECT_S):
                    reader, writer = await asyncio.open_connection(
                        address,
                        target.port,
                        family=family,
                        flags=socket.AI_NUMERICHOST,  # never resolved again
                        ssl=self._tls if target.tls else None,
                        server_hostname=target.host if target.tls else None,
                    )
            except OSError as error:
                trouble = error
            else:
                return _Connection(reader, writer, h11.Connection(h11.CLIENT))
        raise trouble or OSError("the name has no address")

    async def _addresses(self, target: Target) -> list[tuple[int, str]]:
        """Resolve and check the addresses of the target.

        Raises:
            Unavailable: one of them is not public, or the name cannot be resolved.
        """
        found = await self._look_ups.run(
            self._deadline_s,
            socket.getaddrinfo,
            target.host,
            target.port,
            type=socket.SOCK_STREAM,
        )
        addresses = [(int(family), str(name[0])) for family, _, _, _, name in found]
        if not self._allow_private and not all(is_public(address) for _, address in addresses):
            raise Unavailable(
                "the address is not public: use another one, or set webhooks.allowPrivate"
            )
        return addresses

    def _take(self, target: Target) -> _Connection | None:
        """Return an idle connection that is still open."""
        now_s = asyncio.get_running_loop().time()
        waiting = self._idle.get(target)
        while waiting:
            connection = waiting.pop()
            if now_s - connection.used_s < _IDLE_S and not connection.reader.at_eof():
                return connection
            connection.close()
        self._idle.pop(target, None)
        return None

    def _keep(self, target: Target, connection: _Connection) -> None:
        """Keep a connection for the next delivery, or close it."""
        connection.http.start_next_cycle()
        connection.used_s = asyncio.get_running_loop().time()
        self._idle[target].append(connection)
        if len(self._idle[target]) > _IDLE_PER_HOST:
            self._idle[target].popleft().close()
        while sum(map(len, self._idle.values())) > _IDLE_IN_ALL:
            oldest = min(self._idle, key=lambda each: self._idle[each][0].used_s)
            self._idle[oldest].popleft().close()
            if not self._idle[oldest]:
                del self._idle[oldest]


async def _exchange(
    connection: _Connection, target: Target, headers: Mapping[str, str], body: bytes
) -> int:
    """Send the request and return the status; after an error the connection is closed."""
    try:
        await _send(connection, target, headers, body)
        return await _read_status(connection)
    except BaseException:
        connection.close()
        raise


async def _send(
    connection: _Connection, target: Target, headers: Mapping[str, str], body: bytes
) -> None:
    head = [("host", target.authority), ("user-agent", _AGENT), *headers.items()]
    request = h11.Request(
        method="POST",
        target=target.path,
        headers=[*head, ("content-length", str(len(body)))],
    )
    events = (request, h11.Data(data=body), h11.EndOfMessage())
    connection.writer.write(b"".join(connection.http.send(each) or b"" for each in events))
    await connection.writer.drain()


async def _read_status(connection: _Connection) -> int:
    """Return the status of the final response. Raises EOFError where there is none."""
    while isinstance(event := await _next_event(connection), h11.InformationalResponse):
        pass
    if isinstance(event, h11.Response):
        return event.status_code
    raise EOFError("the connection was closed without a response")


async def _read_rest(connection: _Connection) -> bool:
    """Read the body within limits. Returns True if the connection can be used again.

    A body that is too long, too slow or broken changes nothing: the status has decided.
    """
    read = 0
    with suppress(OSError, EOFError, h11.ProtocolError):
        async with asyncio.timeout(_REST_S):
            while read <= MAX_RESPONSE_BYTES:
                event = await _next_event(connection)
                if isinstance(event, h11.EndOfMessage):
                    return connection.http.their_state is h11.DONE
                read += len(event.data) if isinstance(event, h11.Data) else MAX_RESPONSE_BYTES
    return False


async def _next_event(connection: _Connection) -> object:
    while (event := connection.http.next_event()) is h11.NEED_DATA:
        connection.http.receive_data(await connection.reader.read(_READ_BYTES))
    return event


def _text(error: Exception) -> str:
    """Return one line for the list of deliveries, bounded."""
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "verify_message", "") or error.reason or "broken"
        return f"TLS failed: {reason}"[:200]
    return f"no connection: {error or type(error).__name__}"[:200]
