"""Notifications about jobs: messages of the recording service, forwarded to clients.

Each controller receives all messages and notifies its own clients, at most once. A consumer that
must not miss a message reads the queues instead. No received message can end this task.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Final

from sfu_wrapper.core.job import no_result
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Malformed, RecordingError
from sfu_wrapper.model.identity import RoomUuid, SegmentNo
from sfu_wrapper.model.segment import Failed, JobProgress, News
from sfu_wrapper.ports.broker import Broker, ReceivedMessage
from sfu_wrapper.service.rooms.job_results import JobResults
from sfu_wrapper.service.rooms.sessions import Sessions
from sfu_wrapper.service.rooms.subscriptions import Subscriptions
from sfu_wrapper.wire.answers import result_note
from sfu_wrapper.wire.job_messages import PROGRESS, parse_outcome, parse_progress
from sfu_wrapper.wire.recording_info import parse_event

KEYS: Final = ("processed", "failed", PROGRESS)
LIMIT: Final = 1_000  # received messages that wait
RECENT_ROOMS: Final = 16  # closed rooms kept decoded
RETRY_S: Final = 0.2  # until listening is retried while the broker is not open

log = logging.getLogger(__name__)


class Notifications:
    """Forwarder of job messages to owners, creating services and watching clients.

    Args:
        broker: source of the messages.
        find: returns a room, living or ended.
        sessions: connections of the users.
        job_results: keeps the latest messages.
        subscriptions: clients that watch.
    """

    def __init__(
        self,
        broker: Broker,
        find: Callable[[RoomUuid], Room | None],
        sessions: Sessions,
        job_results: JobResults,
        subscriptions: Subscriptions,
    ) -> None:
        self._broker = broker
        self._find = find
        self._sessions = sessions
        self._job_results = job_results
        self._subscriptions = subscriptions
        self._recent: OrderedDict[RoomUuid, Room] = OrderedDict()

    async def run(self) -> None:
        """Listen until cancelled; the relay opens the broker."""
        while True:
            async with aclosing(self._broker.listen(KEYS, LIMIT)) as messages:
                async for received in messages:
                    self._handle(received)
                    await asyncio.sleep(0)  # a burst of messages must not delay the clients
            await asyncio.sleep(RETRY_S)

    def _handle(self, received: ReceivedMessage) -> None:
        try:
            news = _read(received)
            room = self._room(news.uuid)
            if room is None or room.segment(news.segment) is None:
                return  # from another installation on the same broker
            if self._job_results.note(news):
                self._notify(room, news)
        except Malformed as error:
            log.debug("notice.unreadable", extra={"error": error.detail})
        except RecordingError as error:
            log.warning("notice.notTold", extra={"error": error.detail})
        except Exception:
            log.exception("notice.broke", extra={"message_id": received.message_id})

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

    def _notify(self, room: Room, news: News) -> None:
        if not isinstance(news, JobProgress):
            audience = [room.owner_key] if room.creator is None else [room.owner_key, room.creator]
            self._sessions.send_event(
                room.domain, dict.fromkeys(audience), *result_note(room.id, news)
            )
        self._subscriptions.worked_on(room, news.segment)


def _read(received: ReceivedMessage) -> News:
    """Parse a message. Raises Malformed."""
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
