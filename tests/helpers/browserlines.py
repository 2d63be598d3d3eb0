"""Lines of browsers' media, as tests ask over them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import DomainId, RoomUuid, UserId, UserKey
from sfu_wrapper.model.webrtc import LineRequest, MediaNews, MediaPlace, Outcome
from sfu_wrapper.ports.media_plane import BrowserMedia, Line

ALICE, BOB = UserId("alice"), UserId("bob")
SOON_S = 20.0


@dataclass(slots=True)
class Heard:
    """A line, and what it was told."""

    line: Line
    news: list[MediaNews]

    async def request(self, line_request: LineRequest) -> Outcome:
        """What comes of it."""
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.line.request(line_request, answer.set_result)
        async with asyncio.timeout(SOON_S):
            return await answer

    async def told(self, news: MediaNews) -> None:
        """Wait for it."""
        async with asyncio.timeout(SOON_S):
            while news not in self.news:  # noqa: ASYNC110  # what is waited for has no event
                await asyncio.sleep(0.005)


@dataclass(slots=True)
class Bench:
    """One implementation that runs. lose: the SFU is gone; back: it is there again."""

    media: BrowserMedia
    lose: Callable[[], Any]
    back: Callable[[], Any]

    async def line(self, user: UserId, room: str = "room-1") -> Heard:
        """A line of its own, once it can be had."""
        place = MediaPlace(RoomUuid(room), UserKey(DomainId("example"), user), user)
        news: list[MediaNews] = []
        async with asyncio.timeout(SOON_S):
            while True:
                try:
                    return Heard(self.media.open(place, news.append), news)
                except Unavailable:
                    await asyncio.sleep(0.005)
