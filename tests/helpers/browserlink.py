"""Parts that the drivers of browsers share: a process with a profile, its protocol, and a tab."""

import asyncio
import itertools
import json
import os
import signal
from abc import ABC, abstractmethod
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

START_S = 40.0  # deadlines, not measurements: machines are shared
ANSWER_S = 30.0
_POLL_S = 0.05
_LARGEST_MESSAGE = 2**26

Json = dict[str, Any]


class ScriptError(AssertionError):
    """A script in a page threw, or the page was refused; the message is the browser's."""


class Tab(ABC):
    """One tab. ``console`` is what it has written so far, uncaught errors too."""

    def __init__(self) -> None:
        self.console: list[str] = []

    @abstractmethod
    async def go(self, url: str) -> None:
        """Load another page in its place. Raises ScriptError where it cannot be had."""

    @abstractmethod
    async def before(self, script: str) -> None:
        """Run a script before those of each page that is loaded from now on."""

    @abstractmethod
    async def run(self, script: str, timeout_s: float = ANSWER_S) -> Any:  # noqa: ANN401  # JSON
        """The value of an expression, a promise's awaited. Raises ScriptError where it throws."""

    @abstractmethod
    async def ask(
        self, method: str, params: Json | None = None, timeout_s: float = ANSWER_S
    ) -> Json:
        """Any other command of the browser's own protocol, to this tab."""

    async def until(self, script: str, timeout_s: float = ANSWER_S) -> Any:  # noqa: ANN401
        """The value of an expression once it is true. AssertionError where that takes too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while True:
                    if value := await self.run(script):
                        return value
                    await asyncio.sleep(_POLL_S)
        raise AssertionError(f"never true: {script}; console: {self.console[-5:]}")


class Driver(Protocol):
    """A running browser of any make."""

    async def open(self, url: str) -> Tab:
        """A new tab that has loaded ``url``. Raises ScriptError where it cannot."""


class Link:
    """The protocol's one connection: numbered questions, answers in any order, events between.

    Args:
        socket: Connection to the browser.
        tell: Called with each event.
    """

    def __init__(self, socket: ClientConnection, tell: Callable[[Json], None]) -> None:
        self._socket = socket
        self._tell = tell
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Json]] = {}

    async def ask(
        self, method: str, params: Json, timeout_s: float = ANSWER_S, session: str | None = None
    ) -> Json:
        """Send a command and return its result. Raises ScriptError where it is refused."""
        number = next(self._numbers)
        question = {"id": number, "method": method, "params": params}
        if session is not None:
            question["sessionId"] = session
        self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send(json.dumps(question))
            async with asyncio.timeout(timeout_s):
                answer = await self._waiting[number]
        finally:
            self._waiting.pop(number).cancel()
        if (error := answer.get("error")) is not None:
            said = error["message"] if isinstance(error, dict) else f"{error}: {answer['message']}"
            raise ScriptError(f"{method}: {said}")
        result: Json = answer["result"]
        return result

    async def listen(self) -> None:
        """Take answers and events until the connection ends."""
        with suppress(ConnectionClosed):
            async for text in self._socket:
                self._take(json.loads(text))
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ScriptError("the browser has ended"))

    def _take(self, message: Json) -> None:
        if isinstance(number := message.get("id"), int):
            waiting = self._waiting.get(number)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
        else:
            self._tell(message)


@asynccontextmanager
async def linked(
    argv: tuple[str, ...],
    noted: Callable[[], str | None],
    tell: Callable[[Json], None],
    env: Mapping[str, str] = os.environ,
) -> AsyncIterator[Link]:
    """Start a browser and connect to it; it ends, with all its children, with the block.

    Args:
        argv: Command line.
        noted: Reads from its profile where it listens; None: not yet.
        tell: Called with each event.
        env: Environment of the process.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=DEVNULL,
        env=env,
        start_new_session=True,  # so that its many children end with it
    )
    try:
        address = await _debugger(argv[0], process, noted)
        async with connect(address, max_size=_LARGEST_MESSAGE, proxy=None) as socket:
            link = Link(socket, tell)
            listening = asyncio.create_task(link.listen())
            try:
                yield link
            finally:
                listening.cancel()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _debugger(
    program: str, process: asyncio.subprocess.Process, noted: Callable[[], str | None]
) -> str:
    with suppress(TimeoutError):
        async with asyncio.timeout(START_S):
            while process.returncode is None:
                if (address := noted()) is not None:
                    return address
                await asyncio.sleep(_POLL_S)
    raise AssertionError(f"{program} does not start (exit code {process.returncode})")
