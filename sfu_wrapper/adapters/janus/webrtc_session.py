"""Media line of one browser at Janus: all that it sends and receives in one room.

Each track has a handle at Janus of its own, and a task that reads its events: a leg. Requests of
the gateway enter by ``request``; ``run`` carries them out in order and calls ``done`` with the
outcome. Events of Janus leave as news by ``report``. The gateway ends a line with ``close``, the
loss of Janus with ``lose``.

Rules of this file
    1. Every request to Janus is built here from a session description or candidate and from names
       that we looked up. No request has a field about recording.
    2. The camera's handle joins the room at once, because Janus informs only members of who else
       publishes.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import islice
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
from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.core.publisher_ids import publisher_id, track_of
from sfu_wrapper.model.errors import Code, Refused, Unavailable
from sfu_wrapper.model.media import Medium, Stream, Track
from sfu_wrapper.model.webrtc import (
    Accept,
    FeedPublished,
    FeedUnpublished,
    IceCandidate,
    LineLost,
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

log = logging.getLogger(__name__)

_WAITING: Final = 64  # requests of one browser
_LEGS: Final = 64  # handles of one browser
_NO_SUCH_FEED: Final = 428
_NOT_PUBLISHED: Final = 435
_BACKOFF: Final = Backoff(0.1, 2.0)  # while the media plane makes the room
_RETRIES: Final = 6


@dataclass(frozen=True, slots=True, eq=False)
class _Leg:
    """Handle of one track, and the task that reads its events."""

    handle: Handle
    reader: asyncio.Task[None]


class BrowserLine:
    """``Line`` of one browser.

    Each line publishes under fresh ids, so it need not wait until Janus notices that an earlier
    line of the same user is dead.

    Args:
        place: Room and user.
        report: Called with news for the browser.
        session: Session at Janus.
        mixes: True if the AudioBridge is the mixer.
    """

    def __init__(
        self,
        place: MediaPlace,
        report: Callable[[MediaNews], None],
        session: JanusSession,
        *,
        mixes: bool,
    ) -> None:
        self.place = place
        self._report: Callable[[MediaNews], None] | None = report
        self._session = session
        self._mixes = mixes
        self._requests: asyncio.Queue[tuple[LineRequest, Callable[[Outcome], None]] | None]
        self._requests = asyncio.Queue(_WAITING + 1)
        self._closing = False
        self._legs: dict[Track, _Leg] = {}
        self._feeds: dict[Track, str] = {}
        self._group: asyncio.TaskGroup | None = None

    def request(self, request: LineRequest, done: Callable[[Outcome], None]) -> None:
        """See ``Line``."""
        if self._closing or self._requests.qsize() >= _WAITING:
            done(Unavailable("the media server is unavailable or busy; try again"))
        else:
            self._requests.put_nowait((request, done))

    def close(self) -> None:
        """See ``Line``."""
        self._report = None
        if not self._closing:
            self._closing = True
            self._requests.put_nowait(None)

    def lose(self) -> None:
        """Report that the media is lost, and close the line."""
        self._emit(MediaLost())
        self.close()

    async def run(self) -> None:
        """Carry out requests in order, until closed."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                try:
                    await self._serve()
                finally:
                    await self._detach_all()
        finally:
            self._refuse_remaining()

    async def _serve(self) -> None:
        try:
            await self._join(self._own(Stream.CAMERA))
        except (JanusRefused, Unavailable) as error:
            extra = {"room": self.place.room, "error": error.detail}
            log.warning("janus.webrtcNotJoined", extra=extra)
            return
        while (waiting := await self._requests.get()) is not None:
            request, done = waiting
            done(await self._outcome(request))

    async def _outcome(self, request: LineRequest) -> Outcome:
        try:
            return await self._carry_out(request)
        except (Refused, Unavailable) as error:
            return error
        except JanusRefused as error:
            extra = {"request": type(request).__name__, "error": error.detail}
            log.info("janus.webrtcRefused", extra=extra)
            return Refused(Code.MEDIA_FAILED, "the media server refused the request; try again")

    async def _carry_out(self, request: LineRequest) -> Outcome:
        match request:
            case Publish(stream=stream, offer=offer):
                return await self._publish(self._own(stream), offer)
            case Unpublish(stream=stream):
                await self._unpublish(self._own(stream))
            case Mix(offer=offer, muted=muted):
                return await self._mix(offer, muted=muted)
            case Mute(muted=muted):
                handle = self._leg(self._own(Stream.AUDIO)).handle
                await handle.request({"request": "configure", "muted": muted})
            case Subscribe(feed=feed):
                return await self._subscribe(feed)
            case Accept(feed=feed, answer=answer):
                answered: Json = {"type": "answer", "sdp": answer}
                await self._leg(feed).handle.request({"request": "start"}, answered)
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
        """Unpublish a track; the camera's handle stays, to get events about other publishers."""
        if track.stream is not Stream.CAMERA:
            await self._detach(track)
            return
        try:
            await self._leg(track).handle.request({"request": "unpublish"})
        except JanusRefused as error:
            if error.number != _NOT_PUBLISHED:
                raise

    async def _join(self, track: Track) -> None:
        """Join the VideoRoom as the publisher of a track, without publishing yet."""
        body: Json = {
            "request": "join",
            "ptype": "publisher",
            "room": self.place.room,
            "id": _fresh_id(track),
            "display": str(track.user),
        }
        data = await self._enter(track, VIDEO_ROOM, body)
        if track.stream is Stream.CAMERA:
            self._add_publishers(data)

    async def _mix(self, offer: str, *, muted: bool) -> str:
        if not self._mixes:
            raise Refused(Code.NOT_FOUND, "Janus does not mix the audio of this call")
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
        return await _retry_until_room_exists(lambda: leg.handle.request(body))

    async def _attach(self, track: Track, plugin: str) -> _Leg:
        if len(self._legs) >= _LEGS or self._group is None:
            raise Unavailable("too many media connections of one browser; close some first")
        handle = await self._session.attach(plugin)
        leg = _Leg(handle, self._group.create_task(self._listen(track, handle)))
        self._legs[track] = leg
        return leg

    def _leg(self, track: Track) -> _Leg:
        leg = self._legs.get(track)
        if leg is None:
            raise Refused(Code.NOT_FOUND, "media connection not found")
        return leg

    async def _detach(self, track: Track) -> None:
        leg = self._legs.pop(track, None)
        if leg is not None:
            leg.reader.cancel()
            await leg.handle.detach()

    async def _detach_all(self) -> None:
        for track in tuple(self._legs):
            await self._detach(track)

    def _refuse_remaining(self) -> None:
        while not self._requests.empty():
            waiting = self._requests.get_nowait()
            if waiting is not None:
                waiting[1](Unavailable("the media server is unavailable; try again"))

    async def _listen(self, track: Track, handle: Handle) -> None:
        async for event in handle.events():
            if event.kind == "hangup":
                self._emit(LineLost(track))
            elif event.kind == "event" and track == self._own(Stream.CAMERA):
                self._on_event(event)

    def _on_event(self, event: JanusEvent) -> None:
        data = event.data
        if data.get("videoroom") == "destroyed":
            self.lose()
        self._add_publishers(data)
        for gone in ("unpublished", "leaving", "kicked"):
            publisher = data.get(gone)
            feed = _feed_of(publisher)
            if feed is not None and self._feeds.get(feed) == publisher:
                del self._feeds[feed]
                self._emit(FeedUnpublished(feed))

    def _add_publishers(self, data: Json) -> None:
        publishers = data.get("publishers")
        for each in publishers if isinstance(publishers, list) else ():
            publisher = each.get("id") if isinstance(each, dict) else None
            feed = _feed_of(publisher)
            if feed is not None and feed.user != self.place.shown:
                self._feeds[feed] = str(publisher)
                self._emit(FeedPublished(feed))

    def _emit(self, news: MediaNews) -> None:
        if self._report is not None:
            self._report(news)

    def _own(self, stream: Stream) -> Track:
        return Track(self.place.shown, stream)


def _fresh_id(track: Track) -> str:
    return f"{publisher_id(track)}~{secrets.token_hex(4)}"


def _feed_of(publisher: object) -> Track | None:
    return track_of(publisher, Medium.VIDEO) if isinstance(publisher, str) else None


async def _retry_until_room_exists(request: Callable[[], Awaitable[Json]]) -> Json:
    for pause_s in islice(_BACKOFF, _RETRIES):
        try:
            return await request()
        except JanusRefused as error:
            if error.trouble is not Trouble.NO_SUCH_ROOM:
                raise
            await asyncio.sleep(pause_s)
    return await request()


def _not_published() -> Refused:
    return Refused(Code.NOT_FOUND, "the track is not published")


def _offer(sdp: str) -> Json:
    return {"type": "offer", "sdp": sdp}


def _sdp(answer: tuple[Json, Json | None]) -> str:
    _, jsep = answer
    sdp = None if jsep is None else jsep.get("sdp")
    if not isinstance(sdp, str):
        raise Refused(Code.MEDIA_FAILED, "the media server sent an invalid answer; try again")
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
