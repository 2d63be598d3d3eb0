"""Client of ``fork_server``: requests forks of a process that has all modules loaded.

Output and exit code of a fork arrive over sockets, so that the server is the only child process
that we have to reap.
"""

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.adapters.media import demux
from sfu_wrapper.adapters.media.fork_server import SOCKETS
from sfu_wrapper.adapters.os.rlimits import Limits

_STOP_S: Final = 5.0  # far more than it takes to kill a few processes


@dataclass(frozen=True, slots=True)
class Fork:
    """A forked process.

    Attributes:
        answers: its standard output.
        questions: its standard input.
        complaints: its standard error.
        status: receives its exit code when it has ended.
    """

    answers: asyncio.StreamReader
    questions: asyncio.StreamWriter
    complaints: asyncio.StreamReader
    status: asyncio.StreamReader

    async def exit_code(self) -> int | None:
        """Wait for the end and return the exit code.

        A negative one is the signal that killed the process; None: the server ended first.
        """
        code = await self.status.read()
        return int(code) if code else None


class ForkClient:
    """Requests forks from one server.

    Args:
        command: command of the server; our process id is appended.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._server: _Server | None = None

    def open(self) -> None:
        """Start the server, so that it loads its modules in the meantime."""
        self._opened()

    def close(self) -> None:
        """End the server and all its forks."""
        if self._server is not None:
            self._server.close()
            self._server = None

    @asynccontextmanager
    async def fork(
        self, limits: Limits, max_line_bytes: int, descriptors: Sequence[int] = ()
    ) -> AsyncIterator[Fork]:
        """Provide a fork; leaving the block kills it, with all that it started.

        Args:
            limits: its resource limits.
            max_line_bytes: limit of the length of a line of its output.
            descriptors: descriptors passed to it (``inputs``); the caller still owns its own.

        Raises:
            OSError: the system or the server cannot start a process.
        """
        async with AsyncExitStack() as stack:
            pairs = [socket.socketpair() for _ in range(SOCKETS)]
            with ExitStack() as theirs:
                ours = [stack.enter_context(here) for here, _ in pairs]
                given = [theirs.enter_context(there) for _, there in pairs]
                demux.send(ours[0], descriptors)
                talk, complaints, status = [
                    await stack.enter_async_context(_stream(here, max_line_bytes)) for here in ours
                ]
                server = self._request(limits, given)
            try:
                yield Fork(*talk, complaints[0], status[0])
            finally:
                await _end(*status, server)

    def _opened(self) -> "_Server":
        if self._server is None:
            self._server = _Server(self._command)
        return self._server

    def _request(self, limits: Limits, sockets: Sequence[socket.socket]) -> "_Server":
        """Request a fork; where the server has died or hangs, from a new server."""
        server = self._opened()
        try:
            server.request(limits, sockets)
        except OSError:
            server.kill()
            self.close()
            server = self._opened()
            server.request(limits, sockets)
        return server


class _Server:
    def __init__(self, command: Sequence[str]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        with theirs, ExitStack() as where_it_fails:
            where_it_fails.callback(self._control.close)
            self._process = subprocess.Popen(  # noqa: S603 - a list, no shell
                [*command, str(os.getpid())],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # the parent alone handles an interrupt of the terminal
                # A process that forks must not have the threads of a library for matrices.
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            )
            where_it_fails.pop_all()

    def request(self, limits: Limits, sockets: Sequence[socket.socket]) -> None:
        """Send a request. Raises OSError where the server has died or reads no more requests."""
        text = limits.for_child_of(self._process.pid)
        socket.send_fds(self._control, [text.encode()], [each.fileno() for each in sockets])

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._control.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        self._process.kill()
        self._process.wait()


@asynccontextmanager
async def _stream(
    end: socket.socket, max_line_bytes: int
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(sock=end, limit=max_line_bytes)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def _end(status: asyncio.StreamReader, kill: asyncio.StreamWriter, server: _Server) -> None:
    """Have the server kill the fork, if it has not ended."""
    if status.at_eof():
        return
    kill.write_eof()
    try:
        async with asyncio.timeout(_STOP_S):
            await status.read()
    except TimeoutError:
        server.kill()  # the server hangs; its forks end with it
