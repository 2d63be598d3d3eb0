"""One browser's media at Janus: a handle for each thing that it sends, watches or hears.

Every request to Janus is written here, out of a session description or a candidate and of names
that were looked up: none has a field about recording. The handle of the camera is joined from the
beginning, since Janus tells those who have joined who else publishes.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.adapters.janus.errors import JanusRefused, Trouble
from sfu_wrapper.adapters.janus.session import (
    AUDIO_BRIDGE,
    VIDEO_ROOM,
    Handle,
    JanusEvent,
    JanusSession,
    Json,
)
from sfu_wrapper.core.publishers import publisher_id, track_of
from sfu_wrapper.model.browsermedia import (
    Accept,
    Ask,
    FeedPublished,
    FeedUnpublished,
    IceCandidate,
    LineLost,
    MediaLost,
    MediaNews,
    Mix,
    Mute,
    Outcome,
    Place,
    Publish,
    Subscribe,
    Trickle,
    Unpublish,
    Unsubscribe,
)
from sfu_wrapper.model.errors import Code, Refused, Unavailable
from sfu_wrapper.model.media import Medium, Stream, Track

log = logging.getLogger(__name__)

_WAITING: Final = 64  # asks of one browser
_LEGS: Final = 64  # handles of one browser
_NO_SUCH_FEED: Final = 428
_NOT_PUBLISHED: Final = 435
_TRY_AGAIN_S: Final = (0.1, 0.2, 0.4, 0.8, 1.6, 2.0)  # while the media plane makes the room


@dataclass(frozen=True, slots=True, eq=False)
class _Leg:
    """One handle, and the task that reads its events."""

    handle: Handle
    reader: asyncio.Task[None]


class BrowserLine:
    """A ``Line``.

    It publishes under ids that nobody has had before, so that it need not wait until Janus has
    noticed that an earlier line of the same user is dead.
    """

    def __init__(
        self,
        place: Place,
        tell: Callable[[MediaNews], None],
        session: JanusSession,
        *,
        mixes: bool,
    ) -> None:
        self.place = place
        self._tell: Callable[[MediaNews], None] | None = tell
        self._session = session
        self._mixes = mixes
        self._asks: asyncio.Queue[tuple[Ask, Callable[[Outcome], None]] | None]
        self._asks = asyncio.Queue(_WAITING + 1)
        self._closing = False
        self._legs: dict[Track, _Leg] = {}
        self._feeds: dict[Track, str] = {}
        self._group: asyncio.TaskGroup | None = None

    def ask(self, ask: Ask, done: Callable[[Outcome], None]) -> None:
        """See ``Line``."""
        if self._closing or self._asks.qsize() >= _WAITING:
            done(Unavailable("the media server is away or busy; try again"))
        else:
            self._asks.put_nowait((ask, done))

    def close(self) -> None:
        """See ``Line``."""
        self._tell = None
        if not self._closing:
            self._closing = True
            self._asks.put_nowait(None)

    def lose(self) -> None:
        """It is over, and not by the browser's wish."""
        self._say(MediaLost())
        self.close()

    async def run(self) -> None:
        """Carry out what is asked, in order, until closed."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                try:
                    await self._serve()
                finally:
                    await self._let_go()
        finally:
            self._refuse_the_rest()

    async def _serve(self) -> None:
        try:
            await self._join(self._own(Stream.CAMERA))
        except (JanusRefused, Unavailable) as error:
            extra = {"room": self.place.room, "error": error.detail}
            log.warning("janus.line.notJoined", extra=extra)
            return
        while (waiting := await self._asks.get()) is not None:
            ask, done = waiting
            done(await self._outcome(ask))

    async def _outcome(self, ask: Ask) -> Outcome:
        try:
            return await self._carry_out(ask)
        except (Refused, Unavailable) as error:
            return error
        except JanusRefused as error:
            log.info("janus.line.refused", extra={"ask": type(ask).__name__, "error": error.detail})
            return Refused(Code.MEDIA_FAILED, "the media server refused this; try again")

    async def _carry_out(self, ask: Ask) -> Outcome:
        match ask:
            case Publish(stream=stream, offer=offer):
                return await self._publish(self._own(stream), offer)
            case Unpublish(stream=stream):
                await self._unpublish(self._own(stream))
            case Mix(offer=offer, muted=muted):
                return await self._mix(offer, muted=muted)
            case Mute(muted=muted):
                handle = self._leg(self._own(Stream.AUDIO)).handle
                await handle.ask({"request": "configure", "muted": muted})
            case Subscribe(feed=feed):
                return await self._subscribe(feed)
            case Accept(feed=feed, answer=answer):
                answered: Json = {"type": "answer", "sdp": answer}
                await self._leg(feed).handle.ask({"request": "start"}, answered)
            case Unsubscribe(feed=feed):
                await self._detach(feed)
            case Trickle(line=line, candidate=candidate):
                await self._leg(line).handle.trickle(_candidate_json(candidate))
        return None

    async def _publish(self, track: Track, offer: str) -> str:
        if track in self._legs and track.stream is not Stream.CAMERA:
            await self._detach(track)
        if track in self._legs:
            await self._unpublish(track)
        else:
            await self._join(track)
        return _sdp(await self._leg(track).handle.negotiate({"request": "publish"}, _offer(offer)))

    async def _unpublish(self, track: Track) -> None:
        """The camera's handle stays, to hear of others."""
        if track.stream is not Stream.CAMERA:
            await self._detach(track)
            return
        try:
            await self._leg(track).handle.ask({"request": "unpublish"})
        except JanusRefused as error:
            if error.number != _NOT_PUBLISHED:
                raise

    async def _join(self, track: Track) -> None:
        """Come into the VideoRoom as the sender of that track, without sending anything yet."""
        body: Json = {
            "request": "join",
            "ptype": "publisher",
            "room": self.place.room,
            "id": _fresh_id(track),
            "display": str(track.user),
        }
        data = await self._enter(track, VIDEO_ROOM, body)
        if track.stream is Stream.CAMERA:
            self._hear_of_publishers(data)

    async def _mix(self, offer: str, *, muted: bool) -> str:
        if not self._mixes:
            raise Refused(Code.NOT_FOUND, "the sound of this call is mixed elsewhere")
        mine = self._own(Stream.AUDIO)
        await self._detach(mine)
        body: Json = {
            "request": "join",
            "room": self.place.room,
            "id": _fresh_id(mine),
            "display": str(mine.user),
        }
        await self._enter(mine, AUDIO_BRIDGE, body)
        configure: Json = {"request": "configure", "muted": muted}
        return _sdp(await self._leg(mine).handle.negotiate(configure, _offer(offer)))

    async def _subscribe(self, feed: Track) -> str:
        publisher = self._feeds.get(feed)
        if publisher is None:
            raise _not_published()
        await self._detach(feed)
        body: Json = {
            "request": "join",
            "ptype": "subscriber",
            "room": self.place.room,
            "streams": [{"feed": publisher}],
        }
        leg = await self._attach(feed, VIDEO_ROOM)
        try:
            return _sdp(await leg.handle.negotiate(body))
        except JanusRefused as error:
            if error.number != _NO_SUCH_FEED:
                raise
            raise _not_published() from None

    async def _enter(self, track: Track, plugin: str, body: Json) -> Json:
        leg = await self._attach(track, plugin)
        return await _patiently(lambda: leg.handle.ask(body))

    async def _attach(self, line: Track, plugin: str) -> _Leg:
        if len(self._legs) >= _LEGS or self._group is None:
            raise Unavailable("too many connections of one browser")
        handle = await self._session.attach(plugin)
        leg = _Leg(handle, self._group.create_task(self._listen(line, handle)))
        self._legs[line] = leg
        return leg

    def _leg(self, line: Track) -> _Leg:
        leg = self._legs.get(line)
        if leg is None:
            raise Refused(Code.NOT_FOUND, "there is no such connection (any more)")
        return leg

    async def _detach(self, line: Track) -> None:
        leg = self._legs.pop(line, None)
        if leg is not None:
            leg.reader.cancel()
            await leg.handle.detach()

    async def _let_go(self) -> None:
        for line in tuple(self._legs):
            await self._detach(line)

    def _refuse_the_rest(self) -> None:
        while not self._asks.empty():
            waiting = self._asks.get_nowait()
            if waiting is not None:
                waiting[1](Unavailable("the media server is away; try again"))

    async def _listen(self, line: Track, handle: Handle) -> None:
        async for event in handle.events():
            if event.kind == "hangup":
                self._say(LineLost(line))
            elif event.kind == "event" and line == self._own(Stream.CAMERA):
                self._hear(event)

    def _hear(self, event: JanusEvent) -> None:
        data = event.data
        if data.get("videoroom") == "destroyed":
            self.lose()
        self._hear_of_publishers(data)
        for gone in ("unpublished", "leaving", "kicked"):
            publisher = data.get(gone)
            feed = _feed_of(publisher)
            if feed is not None and self._feeds.get(feed) == publisher:
                del self._feeds[feed]
                self._say(FeedUnpublished(feed))

    def _hear_of_publishers(self, data: Json) -> None:
        publishers = data.get("publishers")
        for each in publishers if isinstance(publishers, list) else ():
            publisher = each.get("id") if isinstance(each, dict) else None
            feed = _feed_of(publisher)
            if feed is not None and feed.user != self.place.shown:
                self._feeds[feed] = str(publisher)
                self._say(FeedPublished(feed))

    def _say(self, news: MediaNews) -> None:
        if self._tell is not None:
            self._tell(news)

    def _own(self, stream: Stream) -> Track:
        return Track(self.place.shown, stream)


def _fresh_id(track: Track) -> str:
    return f"{publisher_id(track)}~{secrets.token_hex(4)}"


def _feed_of(publisher: object) -> Track | None:
    return track_of(publisher, Medium.VIDEO) if isinstance(publisher, str) else None


async def _patiently(ask: Callable[[], Awaitable[Json]]) -> Json:
    for pause_s in _TRY_AGAIN_S:
        try:
            return await ask()
        except JanusRefused as error:
            if error.trouble is not Trouble.NO_SUCH_ROOM:
                raise
            await asyncio.sleep(pause_s)
    return await ask()


def _not_published() -> Refused:
    return Refused(Code.NOT_FOUND, "this is not published (any more)")


def _offer(sdp: str) -> Json:
    return {"type": "offer", "sdp": sdp}


def _sdp(answer: tuple[Json, Json | None]) -> str:
    _, jsep = answer
    sdp = None if jsep is None else jsep.get("sdp")
    if not isinstance(sdp, str):
        raise Refused(Code.MEDIA_FAILED, "the media server did not answer as it should; try again")
    return sdp


def _candidate_json(candidate: IceCandidate | None) -> Json:
    if candidate is None:
        return {"completed": True}
    found: Json = {"candidate": candidate.candidate}
    if candidate.sdp_mid is not None:
        found["sdpMid"] = candidate.sdp_mid
    if candidate.sdp_m_line_index is not None:
        found["sdpMLineIndex"] = candidate.sdp_m_line_index
    return found
