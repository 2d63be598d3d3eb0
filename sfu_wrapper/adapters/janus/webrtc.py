"""Media of browsers over VideoRoom and AudioBridge (``ports.browsermedia``).

A session of its own, beside that of the media plane, so that what browsers do never holds up a
recording. Here it is kept, and lines are opened; what a line does is in ``browserline``.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sfu_wrapper.adapters.janus.reconnect import keep_connected
from sfu_wrapper.adapters.janus.session import JanusAddress, JanusSession
from sfu_wrapper.adapters.janus.webrtc_session import BrowserLine
from sfu_wrapper.model.browsermedia import MediaNews, Place
from sfu_wrapper.model.errors import Unavailable

log = logging.getLogger(__name__)

_DEADLINE_S: Final = 10.0


class JanusBrowsers:
    """A ``BrowserMedia``; its rooms are made by the media plane.

    mixes: whether the AudioBridge is the mixer; otherwise no sound is had here.
    """

    def __init__(self, address: JanusAddress, *, mixes: bool = True) -> None:
        self._address = replace(address, deadline_s=min(address.deadline_s, _DEADLINE_S))
        self._mixes = mixes
        self._session: JanusSession | None = None
        self._group: asyncio.TaskGroup | None = None
        self._lines: dict[Place, BrowserLine] = {}

    async def run(self) -> None:
        """See ``BrowserMedia``."""
        await keep_connected(self._address, self._serve)

    def open(self, place: Place, tell: Callable[[MediaNews], None]) -> BrowserLine:
        """See ``BrowserMedia``."""
        session, group = self._session, self._group
        if session is None or group is None or session.lost.is_set():
            raise Unavailable("the media server is away; try again")
        older = self._lines.get(place)
        if older is not None:
            older.lose()
        line = BrowserLine(place, tell, session, mixes=self._mixes)
        self._lines[place] = line
        group.create_task(self._run(line))
        return line

    async def _serve(self, session: JanusSession) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._session, self._group = session, group
                await session.lost.wait()
                for line in tuple(self._lines.values()):
                    line.lose()
        finally:
            self._session = self._group = None

    async def _run(self, line: BrowserLine) -> None:
        try:
            await line.run()
        except Exception:  # one browser's, so nobody else's
            log.exception("janus.line.broke")
        finally:
            line.lose()
            if self._lines.get(line.place) is line:
                del self._lines[line.place]
