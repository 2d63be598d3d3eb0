"""Who watches rooms and recordings, and what they are told when something changes.

Changes are collected for a moment and told once a room, as it is by then, whatever happened in
between. Nothing is kept for a watcher: one that does not read is given up by its own connection.
Decides nothing about who may see what: that is ``core.access``.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from sfu_wrapper.core.access import sees, sees_recordings
from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.room import Room, Segment
from sfu_wrapper.model.errors import RecordingError
from sfu_wrapper.model.identity import DomainId, RoomUuid, SegmentNo, UserKey
from sfu_wrapper.model.persistent import PersistentSet
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.rooms.job_results import JobResults
from sfu_wrapper.service.rooms.messages import requester
from sfu_wrapper.service.rooms.room_queries import Page, RoomQueries
from sfu_wrapper.service.rooms.sessions import Client
from sfu_wrapper.wire.answers import (
    followed_json,
    latest_segments,
    listed_json,
    segment_json,
)
from sfu_wrapper.wire.signaling import RECORDINGS, ROOMS, Topic, event

TICK_S: Final = 0.2  # for which changes are collected
BREATH_S: Final = 0.002  # between two lots of one tick
AT_ONCE: Final = 10  # rooms of one lot; a lot is handled in one round of the event loop
SHOWN_RECORDINGS: Final = 500
_NOBODY: Final = PersistentSet[UserKey]()

log = logging.getLogger(__name__)

Json = dict[str, object]
_Scope = UserKey | DomainId | None  # what is watched: of a user, of a domain, everything


@dataclass(slots=True, eq=False)
class _Watch:
    """One client that watches."""

    client: Client
    scopes: tuple[_Scope, ...]
    topics: set[Topic] = field(default_factory=set)


@dataclass(slots=True)
class _Change:
    """What is to be told of a room. before: as it was told last."""

    before: Room | None
    room: Room
    worked_on: set[SegmentNo] = field(default_factory=set)


class Subscriptions:
    """Everybody who watches."""

    def __init__(self, reader: RoomQueries, outcomes: JobResults, clock: Clock) -> None:
        self._reader = reader
        self._outcomes = outcomes
        self._clock = clock
        self._watches: dict[str, _Watch] = {}
        self._by_scope: dict[_Scope, dict[str, _Watch]] = {}
        self._users: dict[UserKey, None] = {}  # those scopes that are users
        self._changes: dict[RoomUuid, _Change] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, client: Client, topics: Iterable[Topic]) -> Json:
        """Tell the client of every change from now on; returns the present state.

        Raises:
            Unavailable: the store cannot be read; then nothing has changed.
        """
        wanted = set(topics)
        by = requester(client.identity)
        page = self._reader.page(by)
        known = self._watches.get(client.key)
        state = self._state(by, page, wanted)
        topics_now = wanted | (known.topics if known is not None else set())
        self.forget(client)
        self._add(_Watch(client, _scopes(by), topics_now))
        return {"topics": sorted(topics_now), **state}

    def unwatch(self, client: Client, topics: Iterable[Topic] | None) -> Json:
        """Tell it of these topics, or of all, no more."""
        watch = self._watches.get(client.key)
        if watch is None:
            return {"topics": []}
        watch.topics -= set(watch.topics if topics is None else topics)
        if not watch.topics:
            self.forget(client)
        return {"topics": sorted(watch.topics)}

    def forget(self, client: Client) -> None:
        """It watches nothing any more."""
        watch = self._watches.pop(client.key, None)
        for scope in watch.scopes if watch is not None else ():
            of_scope = self._by_scope.get(scope, {})
            of_scope.pop(client.key, None)
            if not of_scope:
                self._by_scope.pop(scope, None)
                if isinstance(scope, UserKey):
                    self._users.pop(scope, None)

    def room_changed(self, before: Room | None, after: Room) -> None:
        """A room is another than it was. Costs the same whoever is in it, and whoever watches."""
        if self._watches:
            self._change(before, after)

    def worked_on(self, room: Room, segment: SegmentNo) -> None:
        """There is news of the work on a segment."""
        if self._watches:
            self._change(room, room).worked_on.add(segment)

    def close(self) -> None:
        """Tell nobody anything any more."""
        self._watches.clear()
        self._by_scope.clear()
        self._users.clear()
        self._changes.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _add(self, watch: _Watch) -> None:
        self._watches[watch.client.key] = watch
        for scope in watch.scopes:
            self._by_scope.setdefault(scope, {})[watch.client.key] = watch
            if isinstance(scope, UserKey):
                self._users[scope] = None

    def _change(self, before: Room | None, after: Room) -> _Change:
        change = self._changes.setdefault(after.uuid, _Change(before, after))
        change.room = after
        if self._timer is None:
            self._ring_in(TICK_S)
        return change

    def _ring_in(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._ring)

    def _ring(self) -> None:
        """Tell of one lot of rooms; what changes again meanwhile waits for its next turn."""
        self._timer = None
        pause_s = BREATH_S
        for uuid in list(self._changes)[:AT_ONCE]:
            change = self._changes.pop(uuid)
            try:
                self._tell(change)
            except RecordingError as error:
                log.warning("watch.notTold", extra={"error": error.detail})
                self._changes[uuid] = change  # it stays one a room
                pause_s = TICK_S
                break
            except Exception:  # one room must not keep the others from being told of
                log.exception("watch.broke", extra={"room": uuid})
        if self._changes:
            self._ring_in(pause_s)

    def _tell(self, change: _Change) -> None:
        audience = list(self._audience(change))
        if any(ROOMS in watch.topics for watch, _ in audience):
            self._tell_of_room(change, [each for each in audience if ROOMS in each[0].topics])
        followers = [
            watch
            for watch, by in audience
            if RECORDINGS in watch.topics and sees_recordings(change.room, by)
        ]
        if followers:
            for message in self._of_recordings(change):
                for watch in followers:
                    watch.client.deliver(message)

    def _audience(self, change: _Change) -> Iterator[tuple[_Watch, Requester]]:
        """Who watches where the room is, and may be told right now."""
        now_ms = self._clock.now().wall_ms
        found: dict[str, _Watch] = {}
        for scope in (None, change.room.domain, *self._concerned(change)):
            found |= self._by_scope.get(scope, {})
        for watch in found.values():
            identity = watch.client.identity
            if identity.expires_ms is None or identity.expires_ms > now_ms:
                yield watch, requester(identity)

    def _concerned(self, change: _Change) -> Iterator[UserKey]:
        """Yield the watching users whom the change may concern.

        Costs as much as fewer of the two: those who watch for themselves, and the people of the
        room.
        """
        room, before = change.room, change.before
        people = [room.participants, *([] if before is None else [before.participants])]
        members = room.members if room.life is Life.ENDED else _NOBODY
        yield room.owner_key
        if len(self._users) <= sum(map(len, people)) + len(members):
            for user in self._users:
                if user in members or any(user in each for each in people):
                    yield user
            return
        yield from members
        for each in people:
            yield from (participant.key for participant in each)

    def _tell_of_room(self, change: _Change, audience: list[tuple[_Watch, Requester]]) -> None:
        room, before = change.room, change.before
        snapshot = self._reader.snapshot_of(room)
        policy = self._reader.policy
        shown = listed_json(room, snapshot.permissions, policy)
        told = before is not None and listed_json(before, snapshot.permissions, policy) == shown
        body = listed_json(room, snapshot.permissions, policy, snapshot.news)
        message = event("roomChanged", body)
        gone = event("roomChanged", {"room": room.id, "uuid": room.uuid, "gone": True})
        for watch, by in audience:
            if sees(room, by):
                if not told:
                    watch.client.deliver(message)
            elif before is not None and sees(before, by):
                watch.client.deliver(gone)

    def _of_recordings(self, change: _Change) -> Iterator[bytes]:
        room = change.room
        for segment in _touched(change):
            if segment.number in change.worked_on or _looks_different(change, segment):
                news = self._outcomes.of(room.uuid, segment.number)
                yield event("recordingChanged", followed_json(room, segment, news))

    def _state(self, by: Requester, page: Page, wanted: set[Topic]) -> Json:
        state: Json = {}
        if ROOMS in wanted:
            policy = self._reader.policy
            state["rooms"] = [
                listed_json(each.room, each.permissions, policy, each.news) for each in page.rooms
            ]
        if page.next is not None:
            state["next"] = page.next
        if RECORDINGS in wanted:
            found = (
                (each, segment)
                for each in page.rooms
                if sees_recordings(each.room, by)
                for segment in reversed(latest_segments(each.room, SHOWN_RECORDINGS + 1))
            )
            segments = list(islice(found, SHOWN_RECORDINGS + 1))
            state["recordings"] = [
                followed_json(each.room, segment, each.news.get(segment.number))
                for each, segment in segments[:SHOWN_RECORDINGS]
            ]
            state["more"] = page.next is not None or len(segments) > SHOWN_RECORDINGS
        return state


def _scopes(by: Requester) -> tuple[_Scope, ...]:
    """What a client is to be looked up by; whether it may see a room is asked at the time."""
    if by.service:
        return (None,)
    return (by.key.domain, by.key) if by.admin else (by.key,)


def _touched(change: _Change) -> Iterator[Segment]:
    """Yield the segments that may look different, in order; the others are not looked at."""
    room, before = change.room, change.before
    earlier = None if before is None else before.segments
    numbers = {now.number for _, now in room.segments.changes(earlier) if now is not None}
    for each in (room, before):
        open_segment = None if each is None else each.open_segment
        if open_segment is not None:
            numbers.add(open_segment.number)
    for number in sorted(numbers | change.worked_on):
        segment = room.segment(number)
        if segment is not None:
            yield segment


def _looks_different(change: _Change, segment: Segment) -> bool:
    room, before = change.room, change.before
    was = before.segment(segment.number) if before is not None else None
    if before is None or was is None:
        return True
    if was is segment and before.capture is room.capture:
        return False
    return segment_json(before, was) != segment_json(room, segment)
