"""Subscriptions: events about rooms and recordings for the clients that watch them.

What enters: changes of rooms, from the router after each commit, and news about jobs, from the
recording service. What leaves: ``roomChanged`` and ``recordingChanged`` events to clients, and
``roomRecordingUnattended``.

Rule: changes are collected for ``TICK_S`` and published once a room, in its latest state. Nothing
is kept for a client: its own connection is closed if it does not read. ``core.access`` decides who
may see what.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from sfu_wrapper.core.access import requester, sees, sees_recordings
from sfu_wrapper.core.effects import RecordingUnattended
from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.intent import Absence
from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.room import Room, Segment
from sfu_wrapper.model.errors import RecordingError
from sfu_wrapper.model.identity import DomainId, RoomUuid, SegmentNo, UserKey
from sfu_wrapper.model.persistent import PersistentSet
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.rooms.job_results import JobResults
from sfu_wrapper.service.rooms.room_queries import Page, RoomQueries
from sfu_wrapper.service.rooms.sessions import Client
from sfu_wrapper.wire.answers import (
    followed_json,
    latest_segments,
    listed_json,
    note_payload,
    segment_json,
)
from sfu_wrapper.wire.signaling import RECORDINGS, ROOMS, Topic, event

TICK_S: Final = 0.2  # time for which changes are collected
PAUSE_S: Final = 0.002  # between two lots of one tick
ROOMS_PER_BATCH: Final = 10  # rooms of one lot; a lot is handled in one round of the event loop
SHOWN_RECORDINGS: Final = 500
_NO_USERS: Final = PersistentSet[UserKey]()

log = logging.getLogger(__name__)

Json = dict[str, object]
_Scope = UserKey | DomainId | None  # rooms of a user, of a domain, all rooms


@dataclass(slots=True, eq=False)
class _Watch:
    """Subscription of one client."""

    client: Client
    scopes: tuple[_Scope, ...]
    topics: set[Topic] = field(default_factory=set)


@dataclass(slots=True)
class _Change:
    """Unpublished change of a room.

    Attributes:
        before: the room as last published; None for a new room.
        room: the room as last committed.
        worked_on: segments with news about their jobs.
    """

    before: Room | None
    room: Room
    worked_on: set[SegmentNo] = field(default_factory=set)


class Subscriptions:
    """Subscriptions of all clients.

    Args:
        queries: reads of rooms.
        job_results: latest news about jobs.
        clock: for the expiry of tokens.
    """

    def __init__(self, queries: RoomQueries, job_results: JobResults, clock: Clock) -> None:
        self._queries = queries
        self._job_results = job_results
        self._clock = clock
        self._watches: dict[str, _Watch] = {}
        self._by_scope: dict[_Scope, dict[str, _Watch]] = {}
        self._users: dict[UserKey, None] = {}  # those scopes that are users
        self._changes: dict[RoomUuid, _Change] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, client: Client, topics: Iterable[Topic]) -> Json:
        """Subscribe the client to these topics. Returns the current state.

        Raises:
            Unavailable: the store cannot be read; the subscription is unchanged.
        """
        wanted = set(topics)
        by = requester(client.identity)
        page = self._queries.page(by)
        known = self._watches.get(client.key)
        state = self._state(by, page, wanted)
        topics_now = wanted | (known.topics if known is not None else set())
        self.forget(client)
        self._add(_Watch(client, _scopes(by), topics_now))
        return {"topics": sorted(topics_now), **state}

    def unwatch(self, client: Client, topics: Iterable[Topic] | None) -> Json:
        """Unsubscribe the client from these topics; None: from all."""
        watch = self._watches.get(client.key)
        if watch is None:
            return {"topics": []}
        watch.topics -= set(watch.topics if topics is None else topics)
        if not watch.topics:
            self.forget(client)
        return {"topics": sorted(watch.topics)}

    def forget(self, client: Client) -> None:
        """Remove the subscription of a client."""
        watch = self._watches.pop(client.key, None)
        for scope in watch.scopes if watch is not None else ():
            of_scope = self._by_scope.get(scope, {})
            of_scope.pop(client.key, None)
            if not of_scope:
                self._by_scope.pop(scope, None)
                if isinstance(scope, UserKey):
                    self._users.pop(scope, None)

    def room_changed(self, before: Room | None, after: Room) -> None:
        """Record a change of a room; the cost is independent of participants and watchers."""
        if self._watches:
            self._change(before, after)
            if after.absence is not None and (before is None or before.absence is None):
                self._publish_absence(_Change(before, after), after.absence)

    def worked_on(self, room: Room, segment: SegmentNo) -> None:
        """Record news about the job of a segment."""
        if self._watches:
            self._change(room, room).worked_on.add(segment)

    def close(self) -> None:
        """Remove all subscriptions and drop unpublished changes."""
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
            self._start_timer(TICK_S)
        return change

    def _start_timer(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        """Publish one batch of rooms; later changes wait for the next batch."""
        self._timer = None
        pause_s = PAUSE_S
        for uuid in list(self._changes)[:ROOMS_PER_BATCH]:
            change = self._changes.pop(uuid)
            try:
                self._publish(change)
            except RecordingError as error:
                log.warning("watch.deferred", extra={"error": error.detail})
                self._changes[uuid] = change  # still one entry a room
                pause_s = TICK_S
                break
            except Exception:  # a bug in one room must not block the others
                log.exception("watch.failed", extra={"room": uuid})
        if self._changes:
            self._start_timer(pause_s)

    def _publish(self, change: _Change) -> None:
        audience = list(self._audience(change))
        if any(ROOMS in watch.topics for watch, _ in audience):
            self._publish_room(change, [each for each in audience if ROOMS in each[0].topics])
        followers = [
            watch
            for watch, by in audience
            if RECORDINGS in watch.topics and sees_recordings(change.room, by)
        ]
        if followers:
            for message in self._recording_events(change):
                for watch in followers:
                    watch.client.deliver(message)

    def _audience(self, change: _Change) -> Iterator[tuple[_Watch, Requester]]:
        """Yield the subscriptions in whose scope the room is, unless the token has expired."""
        now_ms = self._clock.now().wall_ms
        found: dict[str, _Watch] = {}
        for scope in (None, change.room.domain, *self._affected_users(change)):
            found |= self._by_scope.get(scope, {})
        for watch in found.values():
            identity = watch.client.identity
            if identity.expires_ms is None or identity.expires_ms > now_ms:
                yield watch, requester(identity)

    def _affected_users(self, change: _Change) -> Iterator[UserKey]:
        """Yield users that the change may affect.

        The cost is that of the smaller set: subscribed users, or the room's owner, participants and
        members.
        """
        room, before = change.room, change.before
        people = [room.participants, *([] if before is None else [before.participants])]
        members = room.members if room.life is Life.ENDED else _NO_USERS
        yield room.owner_key
        if len(self._users) <= sum(map(len, people)) + len(members):
            for user in self._users:
                if user in members or any(user in each for each in people):
                    yield user
            return
        yield from members
        for each in people:
            yield from (participant.key for participant in each)

    def _publish_room(self, change: _Change, audience: list[tuple[_Watch, Requester]]) -> None:
        room, before = change.room, change.before
        snapshot = self._queries.snapshot_of(room)
        policy = self._queries.policy
        shown = listed_json(room, snapshot.permissions, policy)
        unchanged = (
            before is not None and listed_json(before, snapshot.permissions, policy) == shown
        )
        body = listed_json(room, snapshot.permissions, policy, snapshot.news)
        message = event("roomChanged", body)
        gone = event("roomChanged", {"room": room.id, "uuid": room.uuid, "gone": True})
        for watch, by in audience:
            if sees(room, by):
                if not unchanged:
                    watch.client.deliver(message)
            elif before is not None and sees(before, by):
                watch.client.deliver(gone)

    def _publish_absence(self, change: _Change, absence: Absence) -> None:
        """Send roomRecordingUnattended at once to those who do not get it from the room itself."""
        room = change.room
        number = room.segments[-1].number
        name, body = note_payload(RecordingUnattended(room.id, number, absence.since.wall_ms))
        message = event(name, {**body, "domain": room.domain})
        for watch, by in self._audience(change):
            if by.key not in (room.owner_key, room.creator) and sees(room, by):
                watch.client.deliver(message)

    def _recording_events(self, change: _Change) -> Iterator[bytes]:
        room = change.room
        for segment in _touched(change):
            if segment.number in change.worked_on or _looks_different(change, segment):
                news = self._job_results.of(room.uuid, segment.number)
                yield event("recordingChanged", followed_json(room, segment, news))

    def _state(self, by: Requester, page: Page, wanted: set[Topic]) -> Json:
        state: Json = {}
        if ROOMS in wanted:
            policy = self._queries.policy
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
    """Return the scopes of a requester; access to a room is checked at each event."""
    if by.service:
        return (None,)
    return (by.key.domain, by.key) if by.admin else (by.key,)


def _touched(change: _Change) -> Iterator[Segment]:
    """Yield the segments that may have changed, in order."""
    room, before = change.room, change.before
    earlier = None if before is None else before.segments
    numbers = {now.number for _, now in room.segments.changes(earlier) if now is not None}
    for each in (room, before):
        open_segment = None if each is None else each.open_segment
        if open_segment is not None:
            numbers.add(open_segment.number)
    for number in sorted(numbers | change.worked_on):
        segment = room.segments.get(number)
        if segment is not None:
            yield segment


def _looks_different(change: _Change, segment: Segment) -> bool:
    room, before = change.room, change.before
    was = before.segments.get(segment.number) if before is not None else None
    if before is None or was is None:
        return True
    if was is segment and before.capture is room.capture:
        return False
    return segment_json(before, was) != segment_json(room, segment)
