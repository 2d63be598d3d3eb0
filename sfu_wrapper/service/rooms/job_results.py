"""Job results: the latest message of the recording service about each segment.

In memory and bounded: only messages since the start of this controller, about the segments with the
latest messages. A consumer that must not miss a result reads ``processed_queue`` and
``failure_queue``.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from sfu_wrapper.core.room import Room
from sfu_wrapper.model.identity import RoomUuid, SegmentNo
from sfu_wrapper.model.segment import Failed, JobProgress, News, Processed

LIMIT: Final = 5_000
FILES_LIMIT: Final = 100_000  # of all segments together


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


def _files(news: News) -> int:
    return len(news.files) if isinstance(news, Processed) else 0


def _slim(news: News) -> News:
    """Return news without the fields that no client receives."""
    match news:
        case Processed():
            return replace(news, warnings=(), sync=())
        case Failed():
            return replace(news, kept=())
        case JobProgress():
            return news
