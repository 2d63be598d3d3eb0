"""A client of Asterisk's manager interface (AMI) that stays connected.

Every action has a deadline, and fails at once where the link is or goes away. Events come out of
one bounded queue, between marks that say when the link came and went: Asterisk replays nothing,
so whoever listens has to look again after each ``LinkUp``.
"""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from sfu_wrapper.adapters.asterisk.messages import END, LIMIT_BYTES, Fields, Message, decode, encode
from sfu_wrapper.model.errors import RecordingError, Unavailable

log = logging.getLogger(__name__)

_QUEUE: Final = 10_000
_BANNER: Final = b"Asterisk Call Manager/"
_BACK_OFF_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
_SOUND_AFTER_S: Final = 10.0  # a link that lived longer starts the back-off anew
_PARTING_S: Final = 1.0  # for the socket to close
_LIST_LIMIT: Final = 100_000  # entries of one list


class Declined(RecordingError):
    """Asterisk answered ``Error``; ``detail`` is its own message."""


@dataclass(frozen=True, slots=True)
class AmiSettings:
    """Where and as whom to log in. timeout_s: for one answer; ping_s: of silence before a ping."""

    host: str
    port: int
    user: str
    secret: str = field(repr=False)
    timeout_s: float = 5.0
    ping_s: float = 10.0


@dataclass(frozen=True, slots=True)
class LinkUp:
    """Logged in. version: of the interface, as its banner has it."""

    version: str


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The link is gone; what happens from now on is not heard."""


AmiNews = Message | LinkUp | LinkDown


@dataclass(frozen=True, slots=True)
class Answer:
    """What an action came to. listed: the entries, where the answer was a list."""

    message: Message
    listed: tuple[Message, ...] = ()


@dataclass(slots=True)
class _Pending:
    future: "asyncio.Future[Answer]"
    answer: Message | None = None
    listed: list[Message] = field(default_factory=list)


class Ami:
    """One login that is renewed whenever it breaks. ``run`` keeps it; the rest may be called
    at any time."""

    def __init__(self, settings: AmiSettings, *, queue: int = _QUEUE) -> None:
        self._settings = settings
        self._news: asyncio.Queue[AmiNews] = asyncio.Queue(queue + 1)  # LinkDown always fits
        self._pending: dict[str, _Pending] = {}
        self._ids = itertools.count(1)
        self._writer: asyncio.StreamWriter | None = None
        self._up = asyncio.Event()

    @property
    def up(self) -> bool:
        """Whether it is logged in, as far as is known."""
        return self._up.is_set()

    async def is_up(self, within_s: float) -> bool:
        """Whether it is logged in, or is so soon."""
        try:
            async with asyncio.timeout(within_s):
                await self._up.wait()
        except TimeoutError:
            return False
        return True

    async def news(self) -> AsyncIterator[AmiNews]:
        """Events and the comings and goings of the link, in order. One reader; never ends."""
        while True:
            yield await self._news.get()

    async def act(self, action: str, *fields: tuple[str, str]) -> Answer:
        """Carry out one action.

        Raises:
            Malformed: a value would break out of its line; nothing was sent.
            Declined: Asterisk refused it.
            Unavailable: no link, or no answer in time; it may have been carried out.
        """
        if not self.up:
            raise Unavailable("Asterisk's manager interface cannot be reached")
        return await self._ask(action, fields)

    async def link(self) -> None:
        """The life of one link.

        Raises:
            Unavailable, Declined, OSError: it is over, or never came to be.
        """
        settings = self._settings
        try:
            async with asyncio.timeout(settings.timeout_s):
                reader, writer = await asyncio.open_connection(
                    settings.host, settings.port, limit=LIMIT_BYTES
                )
        except TimeoutError:
            raise Unavailable(f"no connection to {settings.host}:{settings.port} in time") from None
        self._writer = writer
        try:
            version = await self._banner(reader)
            await _first_end(self._keep(version), self._read(reader))
        finally:
            self._part(writer)
            writer.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(_PARTING_S):
                    await writer.wait_closed()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        loop = asyncio.get_running_loop()
        losses = 0
        while True:
            born = loop.time()
            try:
                await self.link()
            except (OSError, Unavailable, Declined) as error:
                log.warning("asterisk.gone", extra={"error": str(error)})
            if loop.time() - born > _SOUND_AFTER_S:
                losses = 0
            await asyncio.sleep(_BACK_OFF_S[min(losses, len(_BACK_OFF_S) - 1)])
            losses += 1

    async def _banner(self, reader: asyncio.StreamReader) -> str:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                line = await reader.readuntil(b"\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            raise Unavailable("no manager interface answers there") from None
        if not line.startswith(_BANNER):
            raise Unavailable(f"this is no manager interface: it says {line[:40]!r}")
        return line.removeprefix(_BANNER).decode("ascii", "replace").strip()

    async def _keep(self, version: str) -> None:
        """Log in, then ask for a sign of life again and again."""
        settings = self._settings
        await self._ask("Login", (("Username", settings.user), ("Secret", settings.secret)))
        self._put(LinkUp(version))
        self._up.set()
        log.info("asterisk.connected", extra={"version": version})
        while True:
            await asyncio.sleep(settings.ping_s)
            await self._ask("Ping")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                block = await reader.readuntil(END)
            except asyncio.IncompleteReadError:
                raise Unavailable("Asterisk closed the connection") from None
            except asyncio.LimitOverrunError:
                raise Unavailable(f"a message has more than {LIMIT_BYTES} bytes") from None
            self._take(decode(block))

    def _take(self, message: Message) -> None:
        pending = self._pending.get(message.action_id)
        if pending is None:
            if message.event and self.up:
                self._put(message)
        elif pending.answer is None and not message.event:
            self._answered(pending, message)
        elif message.get("EventList").lower() in ("complete", "cancelled"):
            _settle(pending, Answer(pending.answer or message, tuple(pending.listed)))
        elif len(pending.listed) < _LIST_LIMIT:
            pending.listed.append(message)

    def _answered(self, pending: _Pending, message: Message) -> None:
        if message.get("Response").lower() == "error":
            if not pending.future.done():
                pending.future.set_exception(Declined(message.get("Message") or "no reason given"))
        elif message.get("EventList").lower() == "start":
            pending.answer = message
        else:
            _settle(pending, Answer(message))

    def _put(self, news: AmiNews) -> None:
        if self._news.qsize() >= self._news.maxsize - 1:
            # Lost events would be worse than a lost link, after which everything is looked at anew.
            raise Unavailable("nobody reads what Asterisk says")
        self._news.put_nowait(news)

    async def _ask(self, action: str, fields: Fields = ()) -> Answer:
        action_id = str(next(self._ids))
        data = encode(action, action_id, fields)
        writer = self._writer
        if writer is None:
            raise Unavailable("Asterisk's manager interface cannot be reached")
        pending = _Pending(asyncio.get_running_loop().create_future())
        self._pending[action_id] = pending
        try:
            writer.write(data)
            async with asyncio.timeout(self._settings.timeout_s):
                return await pending.future
        except TimeoutError:
            raise Unavailable(f"Asterisk did not answer {action} in time") from None
        finally:
            del self._pending[action_id]

    def _part(self, writer: asyncio.StreamWriter) -> None:
        """Whoever waits for an answer is told that none will come."""
        if self._writer is writer:
            self._writer = None
        for pending in self._pending.values():
            if not pending.future.done():
                pending.future.set_exception(Unavailable("the link to Asterisk broke"))
        if self.up:
            self._up.clear()
            self._news.put_nowait(LinkDown())


def _settle(pending: _Pending, answer: Answer) -> None:
    if not pending.future.done():
        pending.future.set_result(answer)


async def _first_end(*work: Coroutine[object, object, None]) -> None:
    """Until one of them ends, with what it raised; the first of them where several have.

    Not a task group: one that fails while it is cancelled would tell of its failure only.
    """
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
