"""Carries what the recording service publishes to the people of its rooms.

Each controller hears everything and tells its own clients. It only hears, at most once: whoever
must not miss anything reads the queues. Nothing that is published can end it.
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
LIMIT: Final = 1_000  # messages that wait to be heard
SETTLED: Final = 16  # rooms that are kept at hand after their end
AGAIN_S: Final = 0.2  # before it asks again whether the broker is open

log = logging.getLogger(__name__)


class Notifications:
    """Tells owners, creating services and watchers. find: a room, living or over."""

    def __init__(
        self,
        broker: Broker,
        find: Callable[[RoomUuid], Room | None],
        sessions: Sessions,
        outcomes: JobResults,
        watchers: Subscriptions,
    ) -> None:
        self._broker = broker
        self._find = find
        self._sessions = sessions
        self._outcomes = outcomes
        self._watchers = watchers
        self._settled: OrderedDict[RoomUuid, Room] = OrderedDict()

    async def run(self) -> None:
        """Listen until cancelled; somebody else opens the broker."""
        while True:
            async with aclosing(self._broker.listen(KEYS, LIMIT)) as messages:
                async for heard in messages:
                    self._take(heard)
                    await asyncio.sleep(0)  # a thousand at once must not hold up the clients
            await asyncio.sleep(AGAIN_S)

    def _take(self, heard: ReceivedMessage) -> None:
        try:
            news = _read(heard)
            room = self._room(news.uuid)
            if room is None or room.segment(news.segment) is None:
                return  # of an installation that shares the broker
            if self._outcomes.note(news):
                self._tell(room, news)
        except Malformed as error:
            log.debug("notice.unreadable", extra={"error": error.detail})
        except RecordingError as error:
            log.warning("notice.notTold", extra={"error": error.detail})
        except Exception:
            log.exception("notice.broke", extra={"message_id": heard.message_id})

    def _room(self, uuid: RoomUuid) -> Room | None:
        """Return a room; one that is settled changes no more, and is read once for all its news."""
        if uuid in self._settled:
            self._settled.move_to_end(uuid)
            return self._settled[uuid]
        room = self._find(uuid)
        if room is not None and room.fully_closed:
            self._settled[uuid] = room
            if len(self._settled) > SETTLED:
                self._settled.popitem(last=False)
        return room

    def _tell(self, room: Room, news: News) -> None:
        if not isinstance(news, JobProgress):
            told = [room.owner_key] if room.creator is None else [room.owner_key, room.creator]
            self._sessions.send_event(room.domain, dict.fromkeys(told), *result_note(room.id, news))
        self._watchers.worked_on(room, news.segment)


def _read(heard: ReceivedMessage) -> News:
    """Raises Malformed."""
    if heard.routing_key == PROGRESS:
        return parse_progress(heard.body)
    with suppress(Malformed):
        return parse_outcome(heard.body)
    # What the broker itself gave up on comes as it was: the job, not its result.
    info, why = parse_event(heard.body), no_result(0)
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
