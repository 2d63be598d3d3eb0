"""Job results: messages of the recording service about segments, kept and forwarded to clients.

Each controller receives all messages, keeps the latest one a segment in memory (``JobResults``,
bounded) and notifies its own clients at most once (``Notifications``). Results are stored with
their room, so that they are known after a restart too. Those that no controller received arrive
later, from the queue of the index (``service.recordings.feed``). No received message can end the
task.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from sfu_wrapper.core.job import no_result
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Malformed, RecordingError
from sfu_wrapper.model.identity import RoomUuid, SegmentNo
from sfu_wrapper.model.segment import Failed, JobProgress, News, Processed
from sfu_wrapper.ports.broker import Broker, ReceivedMessage
from sfu_wrapper.ports.store import Commit, OutboxRow, PartRow, Store
from sfu_wrapper.service.rooms.sessions import Sessions
from sfu_wrapper.wire.answers import result_note
from sfu_wrapper.wire.job_messages import PROGRESS, encode_failed, encode_processed
from sfu_wrapper.wire.job_results import parse_outcome, parse_progress
from sfu_wrapper.wire.recording_info import parse_event
from sfu_wrapper.wire.room_state import StoredRoom, result_part, stored_results

LIMIT: Final = 5_000  # segments
FILES_LIMIT: Final = 100_000  # of all segments together
KEYS: Final = ("processed", "failed", PROGRESS)
WAITING_LIMIT: Final = 1_000  # received messages that wait
RECENT_ROOMS: Final = 16  # closed rooms kept decoded
RETRY_S: Final = 0.2  # until listening is retried while the broker is not open

log = logging.getLogger(__name__)


class JobResults:
    """Latest news of each segment.

    Args:
        limit: maximum number of segments.
        files_limit: maximum number of files of all segments; the latest news may exceed it.
    """

    def __init__(self, limit: int = LIMIT, files_limit: int = FILES_LIMIT) -> None:
        self._limit = limit
        self._files_limit = files_limit
        self._rooms: OrderedDict[RoomUuid, dict[SegmentNo, News]] = OrderedDict()
        self._count = 0
        self._files = 0

    def note(self, news: News) -> bool:
        """Store news. Returns False for a repeat, and for progress after the result."""
        known = self.of(news.uuid, news.segment)
        if isinstance(known, Processed):  # final
            return False
        if isinstance(known, Failed) and isinstance(news, Failed):
            return False
        self._forget(news.uuid, news.segment)
        of_room = self._rooms.setdefault(news.uuid, {})
        of_room[news.segment] = _slim(news)
        self._count += 1
        self._files += _files(news)
        self._rooms.move_to_end(news.uuid)
        self._forget_the_oldest()
        return True

    def load(self, stored: StoredRoom) -> None:
        """Take up the results that an earlier controller stored with a room."""
        for body in stored_results(stored):
            with suppress(Malformed):  # a damaged one is none
                self.note(parse_outcome(body))

    def of(self, uuid: RoomUuid, segment: SegmentNo) -> News | None:
        """Return the latest news of a segment."""
        return self._rooms.get(uuid, {}).get(segment)

    def of_room(self, room: Room) -> Mapping[SegmentNo, News]:
        """Return the latest news of each segment of a room; a view, valid until the next change."""
        return MappingProxyType(self._rooms.get(room.uuid, {}))

    def _forget_the_oldest(self) -> None:
        """Remove the oldest rooms; of the last remaining room, its oldest segments."""
        while self._count > self._limit or (self._files > self._files_limit and self._count > 1):
            uuid, of_room = next(iter(self._rooms.items()))
            whole = len(self._rooms) > 1
            for segment in list(of_room) if whole else [next(iter(of_room))]:
                self._forget(uuid, segment)

    def _forget(self, uuid: RoomUuid, segment: SegmentNo) -> None:
        of_room = self._rooms.get(uuid, {})
        news = of_room.pop(segment, None)
        if news is not None:
            self._count -= 1
            self._files -= _files(news)
        if not of_room:
            self._rooms.pop(uuid, None)


class Notifications:
    """Forwarder of job messages to owners, creating services and watching clients.

    Args:
        broker: source of the messages.
        find: returns a room, living or ended.
        sessions: connections of the users.
        job_results: keeps the latest messages.
        worked_on: called with the room and the segment of each new message.
        keep: stores a part of a room.

    Attributes:
        progressed: called with each progress of a segment of these rooms.
    """

    def __init__(
        self,
        broker: Broker,
        find: Callable[[RoomUuid], Room | None],
        sessions: Sessions,
        job_results: JobResults,
        worked_on: Callable[[Room, SegmentNo], None],
        keep: Callable[[PartRow], None],
    ) -> None:
        self._broker = broker
        self._find = find
        self._sessions = sessions
        self._job_results = job_results
        self._worked_on = worked_on
        self._keep = keep
        self.progressed: Callable[[JobProgress], None] = _ignore
        self._recent: OrderedDict[RoomUuid, Room] = OrderedDict()

    async def run(self) -> None:
        """Listen until cancelled; the relay opens the broker."""
        while True:
            async with aclosing(self._broker.listen(KEYS, WAITING_LIMIT)) as messages:
                async for received in messages:
                    self.take(received)
                    await asyncio.sleep(0)  # a burst of messages must not delay the clients
            await asyncio.sleep(RETRY_S)

    def take(self, received: ReceivedMessage) -> None:
        """Take a message, from the notices or from the queue of the index; repeats are dropped."""
        try:
            news = read_news(received)
            room = self._room(news.uuid)
            if room is None or room.segments.get(news.segment) is None:
                return  # from another installation on the same broker
            if isinstance(news, JobProgress):
                self.progressed(news)
            if self._job_results.note(news):
                self._store(news)
                self._notify(room, news)
        except Malformed as error:
            log.debug("notification.unreadable", extra={"error": error.detail})
        except RecordingError as error:
            log.warning("notification.notSent", extra={"error": error.detail})
        except Exception:
            log.exception("notification.failed", extra={"message_id": received.message_id})

    def _room(self, uuid: RoomUuid) -> Room | None:
        """Return a room; one that is settled changes no more, and is read once for all its news."""
        if uuid in self._recent:
            self._recent.move_to_end(uuid)
            return self._recent[uuid]
        room = self._find(uuid)
        if room is not None and room.fully_closed:
            self._recent[uuid] = room
            if len(self._recent) > RECENT_ROOMS:
                self._recent.popitem(last=False)
        return room

    def _store(self, news: News) -> None:
        match _slim(news):
            case JobProgress():
                return
            case Processed() as result:
                body = encode_processed(result)
            case Failed() as failure:
                body = encode_failed(failure)
        self._keep(PartRow(news.uuid, result_part(news.segment), body))

    def _notify(self, room: Room, news: News) -> None:
        if not isinstance(news, JobProgress):
            audience = [room.owner_key] if room.creator is None else [room.owner_key, room.creator]
            self._sessions.send_event(
                room.domain, dict.fromkeys(audience), *result_note(room.id, news)
            )
        self._worked_on(room, news.segment)


def _ignore(_: JobProgress) -> None:
    """Do nothing."""


def result_keeper(store: Store, epoch: int) -> Callable[[PartRow], None]:
    """Return a function that stores a result with its room, and logs a failure."""

    def keep(part: PartRow) -> None:
        def stored(done: "asyncio.Future[tuple[OutboxRow, ...]]") -> None:
            error = None if done.cancelled() else done.exception()
            if error is not None:
                log.warning("result.notStored", extra={"room": part.room, "error": str(error)})

        store.commit(Commit(parts=(part,)), epoch).add_done_callback(stored)

    return keep


def read_news(received: ReceivedMessage) -> News:
    """Parse a message of the recording service, or a dead-lettered job. Raises Malformed."""
    if received.routing_key == PROGRESS:
        return parse_progress(received.body)
    with suppress(Malformed):
        return parse_outcome(received.body)
    # A dead-lettered message is the job itself, without a result.
    info, why = parse_event(received.body), no_result(0)
    return Failed(
        room=info.room,
        uuid=info.uuid,
        segment=info.segment or SegmentNo(1),
        stage=why.stage,
        code=why.code,
        detail="the broker gave up on it",
        file=None,
        attempts=0,
    )


def _files(news: News) -> int:
    return len(news.files) if isinstance(news, Processed) else 0


def _slim(news: News) -> News:
    """Return news without the fields that no client receives."""
    match news:
        case Processed():
            return replace(news, warnings=(), sync=())
        case Failed():
            return replace(news, kept=(), event=None)
        case JobProgress():
            return news
