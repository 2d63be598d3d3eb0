"""Browser media over VideoRoom and AudioBridge (``ports.media_plane``).

Browsers have their own session at Janus, apart from that of the media plane, so that they never
delay a recording. This module keeps the session and opens one line per browser; ``webrtc_session``
has the line itself.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sfu_wrapper.adapters.janus.plane import keep_connected
from sfu_wrapper.adapters.janus.session import JanusAddress, JanusSession
from sfu_wrapper.adapters.janus.webrtc_session import BrowserLine
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.webrtc import MediaNews, MediaPlace

log = logging.getLogger(__name__)

_DEADLINE_S: Final = 10.0


class JanusBrowsers:
    """``BrowserMedia`` over Janus, in rooms that the media plane creates.

    Args:
        address: Address of Janus.
        mixes: True if the AudioBridge is the mixer; otherwise browsers get no audio from Janus.
    """

    def __init__(self, address: JanusAddress, *, mixes: bool = True) -> None:
        self._address = replace(address, deadline_s=min(address.deadline_s, _DEADLINE_S))
        self._mixes = mixes
        self._session: JanusSession | None = None
        self._group: asyncio.TaskGroup | None = None
        self._lines: dict[MediaPlace, BrowserLine] = {}

    async def run(self) -> None:
        """See ``BrowserMedia``."""
        await keep_connected(self._address, self._serve)

    def open(self, place: MediaPlace, report: Callable[[MediaNews], None]) -> BrowserLine:
        """See ``BrowserMedia``."""
        session, group = self._session, self._group
        if session is None or group is None or session.lost.is_set():
            raise Unavailable("the media server is unavailable; try again")
        older = self._lines.get(place)
        if older is not None:
            older.lose()
        line = BrowserLine(place, report, session, mixes=self._mixes)
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
        except Exception:  # a bug in one line must not end the others
            log.exception("janus.webrtcFailed")
        finally:
            line.lose()
            if self._lines.get(line.place) is line:
                del self._lines[line.place]
