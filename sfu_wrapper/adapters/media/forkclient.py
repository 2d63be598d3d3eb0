"""Forks of a process that has everything loaded, from the side that wants them: see ``forkserver``.

What forks say and how they end comes over sockets, so that the one child of ours that has to be
waited for is that server.
"""

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.adapters.media import inputs
from sfu_wrapper.adapters.media.forkserver import SOCKETS
from sfu_wrapper.adapters.os.rlimits import Limits

_STOP_S: Final = 5.0  # far more than it takes to kill a few processes


@dataclass(frozen=True, slots=True)
class Fork:
    """One fork. answers, questions: its standard output and input. complaints: its standard error.

    status: where its exit code is told, once it has ended.
    """

    answers: asyncio.StreamReader
    questions: asyncio.StreamWriter
    complaints: asyncio.StreamReader
    status: asyncio.StreamReader

    async def exit_code(self) -> int | None:
        """Waits for its end. Negative: the signal that killed it. None: nobody could tell."""
        told = await self.status.read()
        return int(told) if told else None


class ForkClient:
    """Asks one server for forks. command: that server, to which our process id is added."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._server: _Server | None = None

    def open(self) -> None:
        """Start the server, so that it loads while other things happen."""
        self._opened()

    def close(self) -> None:
        """End the server and whatever it has forked."""
        if self._server is not None:
            self._server.close()
            self._server = None

    @asynccontextmanager
    async def fork(
        self, limits: Limits, max_line_bytes: int, descriptors: Sequence[int] = ()
    ) -> AsyncIterator[Fork]:
        """A fork; it is killed, with all that it started, where the block is left before its end.

        Args:
            limits: what it may use up.
            max_line_bytes: of its answers.
            descriptors: what it is handed (``inputs``); they stay the caller's.

        Raises:
            OSError: none is to be had.
        """
        async with AsyncExitStack() as stack:
            pairs = [socket.socketpair() for _ in range(SOCKETS)]
            with ExitStack() as theirs:
                ours = [stack.enter_context(here) for here, _ in pairs]
                given = [theirs.enter_context(there) for _, there in pairs]
                inputs.send(ours[0], descriptors)
                talk, complaints, status = [
                    await stack.enter_async_context(_stream(here, max_line_bytes)) for here in ours
                ]
                server = self._asked(limits, given)
            try:
                yield Fork(*talk, complaints[0], status[0])
            finally:
                await _end(*status, server)

    def _opened(self) -> "_Server":
        if self._server is None:
            self._server = _Server(self._command)
        return self._server

    def _asked(self, limits: Limits, sockets: Sequence[socket.socket]) -> "_Server":
        """Hand these over to the server; where it has died or hangs, to another one."""
        server = self._opened()
        try:
            server.ask(limits, sockets)
        except OSError:
            server.kill()
            self.close()
            server = self._opened()
            server.ask(limits, sockets)
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
                start_new_session=True,  # an interrupt from the terminal is for us to deal with
                # Threads for matrices that nobody multiplies; who forks wants none of them.
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            )
            where_it_fails.pop_all()

    def ask(self, limits: Limits, sockets: Sequence[socket.socket]) -> None:
        """Raises OSError where it is dead, or so stuck that it takes no more requests."""
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


async def _end(status: asyncio.StreamReader, wish: asyncio.StreamWriter, server: _Server) -> None:
    """Have the fork killed, if it has not ended."""
    if status.at_eof():
        return
    wish.write_eof()
    try:
        async with asyncio.timeout(_STOP_S):
            await status.read()
    except TimeoutError:
        server.kill()  # it hangs, and its forks end with it
