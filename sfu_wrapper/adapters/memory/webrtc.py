"""Media of browsers in memory: every offer gets an answer, nothing is ever sent.

For tests and for pages that are shown without an SFU. Keeps what each line asked.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from sfu_wrapper.model.errors import Code, Refused, Unavailable
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.model.media import Stream, Track
from sfu_wrapper.model.webrtc import (
    Accept,
    Ask,
    FeedPublished,
    FeedUnpublished,
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
    """One browser's media; ``asked`` is what it has asked so far."""

    place: MediaPlace
    report: Callable[[MediaNews], None]
    media: "MemoryBrowserMedia"
    asked: list[Ask] = field(default_factory=list)
    own: set[Stream] = field(default_factory=set)
    watched: set[Track] = field(default_factory=set)
    open: bool = True

    def ask(self, ask: Ask, done: Callable[[Outcome], None]) -> None:
        """See ``Line``."""
        self.asked.append(ask)
        outcome = self._outcome(ask) if self.open else Unavailable("the line is closed")
        asyncio.get_running_loop().call_soon(done, outcome)

    def close(self) -> None:
        """See ``Line``."""
        if self.open:
            self.open = False
            self.media.gone(self)

    def track(self, stream: Stream) -> Track:
        """Its own camera or screen, as others know it."""
        return Track(self.place.shown, stream)

    def say(self, news: MediaNews) -> None:
        """Tell news, soon."""

        def deliver() -> None:
            if self.open:
                self.report(news)

        asyncio.get_running_loop().call_soon(deliver)

    def _outcome(self, ask: Ask) -> Outcome:
        match ask:
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
                    return Refused(Code.NOT_FOUND, "there is no such connection")
            case Subscribe(feed=feed):
                if feed not in self.media.feeds(self):
                    return Refused(Code.NOT_FOUND, "this is not published (any more)")
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
                    return Refused(Code.NOT_FOUND, "there is no such connection")
        return None


class MemoryBrowserMedia:
    """A ``BrowserMedia`` without media. there: whether lines can be opened."""

    def __init__(self) -> None:
        self.there = True
        self.lines: list[MemoryLine] = []

    async def run(self) -> None:
        """See ``BrowserMedia``; there is nothing to do."""
        await asyncio.Event().wait()

    def open(self, place: MediaPlace, report: Callable[[MediaNews], None]) -> MemoryLine:
        """See ``BrowserMedia``."""
        if not self.there:
            raise Unavailable("the media server is away; try again")
        for older in [each for each in self.lines if each.place == place]:
            older.say(MediaLost())
            asyncio.get_running_loop().call_soon(older.close)
            self.gone(older)
        line = MemoryLine(place, report, self)
        self.lines.append(line)
        for feed in self.feeds(line):
            line.say(FeedPublished(feed))
        return line

    def lose(self) -> None:
        """The SFU is gone, with all lines; ``there`` says when it is back."""
        self.there = False
        lines, self.lines = self.lines, []
        for line in lines:
            line.report(MediaLost())
            line.open = False

    def feeds(self, line: MemoryLine) -> list[Track]:
        """What others in its room publish."""
        return [
            other.track(stream)
            for other in self._others(line, line.place.room)
            for stream in sorted(other.own - {Stream.AUDIO})
        ]

    def announce(self, line: MemoryLine, news: MediaNews) -> None:
        """Tell the others in its room."""
        for other in self._others(line, line.place.room):
            other.say(news)

    def gone(self, line: MemoryLine) -> None:
        """A line is closed."""
        if line in self.lines:
            self.lines.remove(line)
            for stream in sorted(line.own - {Stream.AUDIO}):
                self.announce(line, FeedUnpublished(line.track(stream)))

    def _others(self, line: MemoryLine, room: RoomUuid) -> list[MemoryLine]:
        return [each for each in self.lines if each is not line and each.place.room == room]
