"""Receivers of webhooks on loopback, good ones and bad ones, and certificates for them."""

import asyncio
import datetime
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sfu_wrapper.core.webhooks import new_secret

SECRET = new_secret(b"of the receiver in tests")


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The body, decoded."""
        return json.loads(self.body)  # type: ignore[no-any-return]

    @property
    def id(self) -> str:
        """The ``webhook-id``."""
        return self.headers["webhook-id"]


Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    """Answer with this status."""

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {code} Some", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()

    return answer


OK = status(204)


async def hang(_: Request, __: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def slam(_: Request, writer: asyncio.StreamWriter) -> None:
    """Close the connection in place of an answer."""
    writer.transport.abort()


async def endless(_: Request, writer: asyncio.StreamWriter) -> None:
    """Accept, with a body that goes on for as long as it is read."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
    with suppress(ConnectionError):
        for _chunk in range(100_000):
            writer.write(b"x" * 65536)
            await writer.drain()


@dataclass
class Receiver:
    """A server that collects requests.

    url: its address; answer: how it answers; requests: what arrived, in order; sent: bytes that it
    could send; busy, busiest: requests in progress, now and at most; open: its connections.
    """

    answer: Answer = OK
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    busy: int = 0
    busiest: int = 0
    open: set[asyncio.Task[None]] = field(default_factory=set)

    def types(self, subject: str) -> list[str]:
        """Return the types that arrived about a recording, in order."""
        events = (request.event for request in self.requests)
        return [each["type"] for each in events if each["data"].get("subject") == subject]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.open.add(task)
        try:
            await self._serve(reader, writer)
        finally:
            writer.transport.abort()
            self.open.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                request = await _read(reader)
                self.requests.append(request)
                self.busy += 1
                self.busiest = max(self.busiest, self.busy)
                try:
                    await self.answer(request, writer)
                finally:
                    self.busy -= 1


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {
        name.lower(): value
        for name, _, value in (line.partition(": ") for line in head[1:] if line)
    }
    body = await reader.readexactly(int(headers["content-length"]))
    return Request(head[0].split(" ")[1], headers, body)


@asynccontextmanager
async def receiver(
    answer: Answer = OK, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Receiver]:
    """Start one on a free port of the loopback interface."""
    made = Receiver(answer)
    server = await asyncio.start_server(made.serve, host, 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    scheme = "http" if tls is None else "https"
    made.url = f"{scheme}://{'localhost' if tls else host}:{port}/hook"
    try:
        yield made
    finally:
        server.close()
        tasks = tuple(made.open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close their sockets now


def certificate(folder: Path, *names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a certificate; return the context of its server, and of a client that accepts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    alternatives: list[x509.GeneralName] = [x509.DNSName(each) for each in names]
    alternatives.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain, private)
    return server, ssl.create_default_context(cafile=str(chain))
