"""WebRTC media of browsers in memory: answers every offer, and sends no media.

For tests, and for call pages without an SFU. Each line keeps its requests.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from sfu_wrapper.model.errors import Code, Refused, Unavailable
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.model.media import Stream, Track
from sfu_wrapper.model.webrtc import (
    Accept,
    FeedPublished,
    FeedUnpublished,
    LineRequest,
    MediaLost,
    MediaNews,
    MediaPlace,
    Mix,
    Mute,
    Outcome,
    Publish,
    Subscribe,
    Trickle,
    Unpublish,
    Unsubscribe,
)

SDP = "v=0\r\ns=nobody\r\n"


@dataclass(eq=False)
class MemoryLine:
    """Line of a browser; ``requests`` has all its requests in order."""

    place: MediaPlace
    report: Callable[[MediaNews], None]
    media: "MemoryBrowserMedia"
    requests: list[LineRequest] = field(default_factory=list)
    own: set[Stream] = field(default_factory=set)
    watched: set[Track] = field(default_factory=set)
    open: bool = True

    def request(self, request: LineRequest, done: Callable[[Outcome], None]) -> None:
        """See ``Line``."""
        self.requests.append(request)
        outcome = self._outcome(request) if self.open else Unavailable("the line is closed")
        asyncio.get_running_loop().call_soon(done, outcome)

    def close(self) -> None:
        """See ``Line``."""
        if self.open:
            self.open = False
            self.media.gone(self)

    def track(self, stream: Stream) -> Track:
        """Return its own camera or screen as other participants see it."""
        return Track(self.place.shown, stream)

    def emit(self, news: MediaNews) -> None:
        """Report news on the next iteration of the event loop."""

        def deliver() -> None:
            if self.open:
                self.report(news)

        asyncio.get_running_loop().call_soon(deliver)

    def _outcome(self, request: LineRequest) -> Outcome:
        match request:
            case Publish(stream=stream):
                self.own.add(stream)
                self.media.announce(self, FeedPublished(self.track(stream)))
                return SDP
            case Unpublish(stream=stream):
                if stream in self.own:
                    self.own.remove(stream)
                    self.media.announce(self, FeedUnpublished(self.track(stream)))
            case Mix():
                self.own.add(Stream.AUDIO)
                return SDP
            case Mute():
                if Stream.AUDIO not in self.own:
                    return Refused(Code.NOT_FOUND, "no such connection")
            case Subscribe(feed=feed):
                if feed not in self.media.feeds(self):
                    return Refused(Code.NOT_FOUND, "the feed is not published")
                self.watched.add(feed)
                return SDP
            case Accept(feed=feed):
                if feed not in self.watched:
                    return Refused(Code.NOT_FOUND, "subscribe first")
            case Unsubscribe(feed=feed):
                self.watched.discard(feed)
            case Trickle(line=line):
                own = line.user == self.place.shown and line.stream in self.own
                if not own and line not in self.watched:
                    return Refused(Code.NOT_FOUND, "no such connection")
        return None


class MemoryBrowserMedia:
    """A ``BrowserMedia`` without media.

    Attributes:
        available: lines can be opened while True.
        lines: the open lines.
    """

    def __init__(self) -> None:
        self.available = True
        self.lines: list[MemoryLine] = []

    async def run(self) -> None:
        """See ``BrowserMedia``; does nothing."""
        await asyncio.Event().wait()

    def open(self, place: MediaPlace, report: Callable[[MediaNews], None]) -> MemoryLine:
        """See ``BrowserMedia``."""
        if not self.available:
            raise Unavailable("the media server is unavailable: try again")
        for older in [each for each in self.lines if each.place == place]:
            older.emit(MediaLost())
            asyncio.get_running_loop().call_soon(older.close)
            self.gone(older)
        line = MemoryLine(place, report, self)
        self.lines.append(line)
        for feed in self.feeds(line):
            line.emit(FeedPublished(feed))
        return line

    def lose(self) -> None:
        """Lose the SFU with all lines, until ``available`` is set again."""
        self.available = False
        lines, self.lines = self.lines, []
        for line in lines:
            line.report(MediaLost())
            line.open = False

    def feeds(self, line: MemoryLine) -> list[Track]:
        """Return the cameras and screens that others in its room publish."""
        return [
            other.track(stream)
            for other in self._others(line, line.place.room)
            for stream in sorted(other.own - {Stream.AUDIO})
        ]

    def announce(self, line: MemoryLine, news: MediaNews) -> None:
        """Send news to the other lines in its room."""
        for other in self._others(line, line.place.room):
            other.emit(news)

    def gone(self, line: MemoryLine) -> None:
        """Remove a closed line."""
        if line in self.lines:
            self.lines.remove(line)
            for stream in sorted(line.own - {Stream.AUDIO}):
                self.announce(line, FeedUnpublished(line.track(stream)))

    def _others(self, line: MemoryLine, room: RoomUuid) -> list[MemoryLine]:
        return [each for each in self.lines if each is not line and each.place.room == room]
