"""Client of Asterisk's manager interface (AMI) that stays connected.

``run`` opens one link after another. On each link one task logs in and sends pings, another reads
blocks and matches them with actions by ``ActionID``. ``act`` sends an action: it has a deadline,
and fails at once if there is no link or the link breaks. Events leave through ``news``, one bounded
queue that also marks when a link came up (``LinkUp``) and went down (``LinkDown``). Asterisk
replays nothing, so the reader must check the state of Asterisk after each ``LinkUp``.

Asterisk takes logins before it has loaded its modules, up to a second on an idle machine: a link
is up only once Asterisk knows the actions of ConfBridge. Calls may arrive before that, so events
are passed on from the login on.

Messages of Asterisk's manager interface: blocks of ``Key: value`` lines.

Pure. A value that we send can neither end its line nor begin another; a repeated key keeps all its
values.
"""

import asyncio
import itertools
import logging
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.model.errors import Malformed, RecordingError, Unavailable

END = b"\r\n\r\n"
LIMIT_BYTES = 65_536  # of one block; Asterisk sends no longer ones

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_BREAKING = re.compile(r"[\r\n\x00]")
_MILLI = 1000

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Message:
    """Block: an answer or an event, with its fields in order."""

    fields: Fields

    def get(self, key: str) -> str:
        """Return the first value of a key; empty if there is none."""
        return next(iter(self.all(key)), "")

    def all(self, key: str) -> tuple[str, ...]:
        """Return every value of a key, compared without case as Asterisk does."""
        wanted = key.lower()
        return tuple(value for name, value in self.fields if name.lower() == wanted)

    @property
    def event(self) -> str:
        """Name of the event; empty if this is an answer."""
        return self.get("Event")

    @property
    def action_id(self) -> str:
        """Id of the action that this message answers."""
        return self.get("ActionID")

    @property
    def at_ms(self) -> int | None:
        """Time of the event, epoch ms; None without ``timestampevents = yes``."""
        try:
            return round(float(self.get("Timestamp")) * _MILLI)
        except (ValueError, OverflowError):
            return None


def encode(action: str, action_id: str, fields: Fields = ()) -> bytes:
    """Return an action as bytes to send.

    Raises:
        Malformed: A key or a value would break out of its line.
    """
    lines = []
    for key, value in (("Action", action), ("ActionID", action_id), *fields):
        if not _KEY.fullmatch(key) or _BREAKING.search(value):
            raise Malformed(
                f"{key!r}: {value!r} cannot be sent to Asterisk: it would break its line"
            )
        lines.append(f"{key}: {value}\r\n")
    return "".join((*lines, "\r\n")).encode()


def decode(block: bytes) -> Message:
    """Parse a block. Never raises: skips lines without a colon and replaces invalid UTF-8."""
    fields = []
    for line in block.decode("utf-8", "replace").split("\r\n"):
        key, colon, value = line.partition(":")
        if colon:
            fields.append((key.strip(), value.strip()))
    return Message(tuple(fields))


log = logging.getLogger(__name__)

_QUEUE: Final = 10_000
_BANNER: Final = b"Asterisk Call Manager/"
_BACKOFF: Final = Backoff(0.1, 5.0, factor=3.0)
_STABLE_AFTER_S: Final = 10.0  # a link that lasted longer resets the back-off
_CLOSE_S: Final = 1.0  # for the socket to close
_LIST_LIMIT: Final = 100_000  # entries of one list
_NEEDED: Final = "ConfbridgeStartRecord"
_LOOK_S: Final = 0.1  # between two looks for it


class Declined(RecordingError):
    """Asterisk answered ``Error``; ``detail`` is its own message."""


@dataclass(frozen=True, slots=True)
class AmiSettings:
    """Address and login of the manager interface.

    Attributes:
        host: Host name or address.
        port: TCP port.
        user: Name of the manager user.
        secret: Password of the manager user.
        timeout_s: Time for one answer.
        ping_s: Interval of pings.
        loaded_s: Time for ConfBridge to be loaded; then the link is up without it.
    """

    host: str
    port: int
    user: str
    secret: str = field(repr=False)
    timeout_s: float = 5.0
    ping_s: float = 10.0
    loaded_s: float = 10.0


@dataclass(frozen=True, slots=True)
class LinkUp:
    """Mark of a successful login; ``version`` is that of the interface, from its banner."""

    version: str


@dataclass(frozen=True, slots=True)
class LinkDown:
    """Mark of a lost link; later events are missed until the next ``LinkUp``."""


@dataclass(frozen=True, slots=True)
class Reminder:
    """Mark that a reader has asked for."""


AmiNews = Message | LinkUp | LinkDown | Reminder


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to an action; ``listed`` has the entries if the answer is a list."""

    message: Message
    listed: tuple[Message, ...] = ()


@dataclass(slots=True)
class _Pending:
    future: "asyncio.Future[Answer]"
    answer: Message | None = None
    listed: list[Message] = field(default_factory=list)


class Ami:
    """Manager login that is renewed whenever its link breaks.

    ``run`` keeps the link up; the other methods may be called at any time.

    Args:
        settings: Address and login.
        queue: Limit of unread events; more break the link.
    """

    def __init__(self, settings: AmiSettings, *, queue: int = _QUEUE) -> None:
        self._settings = settings
        self._news: asyncio.Queue[AmiNews] = asyncio.Queue(queue + 1)  # LinkDown always fits
        self._pending: dict[str, _Pending] = {}
        self._ids = itertools.count(1)
        self._writer: asyncio.StreamWriter | None = None
        self._up = asyncio.Event()

    @property
    def up(self) -> bool:
        """True while the client is logged in, as far as known."""
        return self._up.is_set()

    async def is_up(self, within_s: float) -> bool:
        """Wait until the client is logged in. Returns False after ``within_s``."""
        try:
            async with asyncio.timeout(within_s):
                await self._up.wait()
        except TimeoutError:
            return False
        return True

    async def news(self) -> AsyncIterator[AmiNews]:
        """Yield events and link marks in order. One reader; never ends."""
        while True:
            yield await self._news.get()

    async def act(self, action: str, *fields: tuple[str, str]) -> Answer:
        """Send an action and return its answer.

        Raises:
            Malformed: A value would break out of its line; nothing was sent.
            Declined: Asterisk refused the action.
            Unavailable: No link, or no answer in time; Asterisk may have carried it out.
        """
        if not self.up:
            raise Unavailable("Asterisk's manager interface cannot be reached")
        return await self._request(action, fields)

    def remind(self, after_s: float) -> None:
        """Add a ``Reminder`` to the news after a time, unless the link is lost by then."""
        asyncio.get_running_loop().call_later(after_s, self._remind, self._writer)

    def _remind(self, writer: asyncio.StreamWriter | None) -> None:
        if self.up and self._writer is writer:
            with suppress(Unavailable):  # the link is about to break, and is checked then
                self._put(Reminder())

    async def link(self) -> None:
        """Open one link and serve it until it ends.

        Raises:
            Unavailable, Declined, OSError: The link ended, or could not be opened.
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
            self._disconnect(writer)
            writer.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await writer.wait_closed()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        loop = asyncio.get_running_loop()
        pauses_s = iter(_BACKOFF)
        while True:
            born = loop.time()
            try:
                await self.link()
            except (OSError, Unavailable, Declined) as error:
                log.warning("asterisk.disconnected", extra={"error": str(error)})
            if loop.time() - born > _STABLE_AFTER_S:
                pauses_s = iter(_BACKOFF)
            await asyncio.sleep(next(pauses_s))

    async def _banner(self, reader: asyncio.StreamReader) -> str:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                line = await reader.readuntil(b"\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            raise Unavailable("no manager interface answers at this address") from None
        if not line.startswith(_BANNER):
            raise Unavailable(f"not a manager interface: its first line is {line[:40]!r}")
        return line.removeprefix(_BANNER).decode("ascii", "replace").strip()

    async def _keep(self, version: str) -> None:
        """Log in, then send pings until one fails."""
        settings = self._settings
        await self._request("Login", (("Username", settings.user), ("Secret", settings.secret)))
        if not await self._is_loaded():
            log.warning("asterisk.notLoaded", extra={"action": _NEEDED})
        self._put(LinkUp(version))
        self._up.set()
        log.info("asterisk.connected", extra={"version": version})
        while True:
            await asyncio.sleep(settings.ping_s)
            await self._request("Ping")

    async def _is_loaded(self) -> bool:
        """Wait until Asterisk knows the actions of ConfBridge. Returns False after a time."""
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + self._settings.loaded_s
        with suppress(Declined):  # it cannot be known
            while not (await self._request("ListCommands")).message.all(_NEEDED):
                if loop.time() >= give_up_s:
                    return False
                await asyncio.sleep(_LOOK_S)
        return True

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                block = await reader.readuntil(END)
            except asyncio.IncompleteReadError:
                raise Unavailable("Asterisk closed the connection") from None
            except asyncio.LimitOverrunError:
                raise Unavailable(f"a message has more than {LIMIT_BYTES} bytes") from None
            self._on_message(decode(block))

    def _on_message(self, message: Message) -> None:
        pending = self._pending.get(message.action_id)
        if pending is None:
            if message.event:
                self._put(message)
        elif pending.answer is None and not message.event:
            self._on_answer(pending, message)
        elif message.get("EventList").lower() in ("complete", "cancelled"):
            _settle(pending, Answer(pending.answer or message, tuple(pending.listed)))
        elif len(pending.listed) < _LIST_LIMIT:
            pending.listed.append(message)

    def _on_answer(self, pending: _Pending, message: Message) -> None:
        if message.get("Response").lower() == "error":
            if not pending.future.done():
                pending.future.set_exception(Declined(message.get("Message") or "no reason given"))
        elif message.get("EventList").lower() == "start":
            pending.answer = message
        else:
            _settle(pending, Answer(message))

    def _put(self, news: AmiNews) -> None:
        if self._news.qsize() >= self._news.maxsize - 1:
            # A lost event goes unnoticed; after a lost link the plane checks everything.
            raise Unavailable("too many unread events of Asterisk")
        self._news.put_nowait(news)

    async def _request(self, action: str, fields: Fields = ()) -> Answer:
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

    def _disconnect(self, writer: asyncio.StreamWriter) -> None:
        """Fail every action that waits for an answer, and mark the link as down."""
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
    """Run coroutines until one ends, and raise its exception; of several, the first one's.

    A task group would raise only the failures of the tasks that it cancels.
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
