"""Outcome of a step: what is stored of it, and the effects that follow once it is stored.

A ``Draft`` collects the applied commands of one room; ``encode`` makes these rows of it: the parts
of the room that differ from the last commit, one message for each announcement, and one answer for
each reply. Answers are kept for repeats, except those after which the same request may be sent
again.

The ``EffectRunner`` gets the effects of a commit after it is stored (``start``). What leaves:
events to connected clients, requests to the media plane, log records and alarms. Answers and
announcements are sent with the commit. The runner then calls ``on_done``; only then does the room
actor start its next commit, so the effects of one room never overlap.

Rule: one room may have a thousand participants, each of whom gets every event. At most
``NOTICES_PER_ROUND`` notifications are sent in one round of the event loop over all rooms, and the
rooms take turns, ``NOTICES_PER_TURN`` at a time. So a small room waits for one round, not for the
thousand participants of another room. A failing effect does not stop the ones after it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from sfu_wrapper.core.effects import (
    Announce,
    Announcement,
    Effect,
    Notify,
    RecordingFailed,
    RecordingStarted,
    RecordingStopped,
    Refusal,
    Reply,
    Request,
    RoomEnded,
    Warn,
)
from sfu_wrapper.core.policy import PolicySettings
from sfu_wrapper.core.room import Room
from sfu_wrapper.core.segment_report import facts_of
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import RoomUuid, UserKey
from sfu_wrapper.model.recording import RecordingEvent
from sfu_wrapper.model.segment import SegmentInfo
from sfu_wrapper.ports.media_plane import MediaPlane
from sfu_wrapper.ports.recordings import SegmentFacts
from sfu_wrapper.ports.store import Commit, OutboxRow, PartRow, RoomRow
from sfu_wrapper.service.recordings.audit import Refusals, recording_entries
from sfu_wrapper.service.rooms.idempotency import NOT_KEPT, IdempotencyStore, RequestRef, parse_ref
from sfu_wrapper.service.rooms.maintenance import Monitor
from sfu_wrapper.service.rooms.messages import encode_answer, outbox_row
from sfu_wrapper.service.rooms.scheduling import Command
from sfu_wrapper.service.rooms.sessions import Sessions
from sfu_wrapper.wire.answers import SYSTEM, note_payload
from sfu_wrapper.wire.recording_events import announced_events
from sfu_wrapper.wire.room_state import encode_room

NOTICES_PER_ROUND: Final = 32  # notifications in one round of the event loop
NOTICES_PER_TURN: Final = 8  # notifications of one room until the turn of the next room

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to one request; ``keep``: store it for repeats."""

    ref: RequestRef
    body: bytes
    keep: bool


@dataclass(slots=True)
class Draft:
    """Content of one commit.

    Attributes:
        before: the room as last committed.
        room: the room after all items.
        rewrite: True to write all of the room, since the store has it in an earlier format.
        items: commands applied.
        effects: effects of the items, in order.
        answers: filled by ``encode``.
        joins: users who join by the items.
    """

    before: Room | None
    room: Room | None
    rewrite: bool
    items: list[Command] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    joins: set[UserKey] = field(default_factory=set)

    def add(self, item: Command, room: Room | None, effects: tuple[Effect, ...]) -> None:
        """Add an applied item; one that changed nothing and has no effects is left out."""
        if not effects and room == self.room:
            return
        self.room = room
        self.items.append(item)
        self.effects.extend(effects)
        if item.joins is not None:
            self.joins.add(item.joins)


def encode(
    draft: Draft,
    idempotency: IdempotencyStore,
    policy: PolicySettings,
    refusals: Refusals,
    now_ms: int,
) -> Commit:
    """Return the rows to be stored, and fill in the answers.

    Args:
        draft: content of the commit.
        idempotency: selects the answers to evict.
        policy: for the decisions that answers show.
        refusals: limits the audit entries about refused requests.
        now_ms: current time, epoch ms.
    """
    draft.answers = list(_answers(draft, policy))
    kept = ((answer.ref, answer.body) for answer in draft.answers if answer.keep)
    answers, evicted = idempotency.rows(kept, now_ms)
    room, parts = _room_rows(draft)
    return Commit(
        room=room,
        outbox=tuple(_messages(draft, now_ms)),
        answers=answers,
        parts=parts,
        forgotten=evicted,
        recordings=tuple(_recordings(draft)),
        events=tuple(_events(draft, now_ms)),
        audit=tuple(recording_entries(draft.room, draft.effects, now_ms, refusals)),
    )


def _answers(draft: Draft, policy: PolicySettings) -> Iterator[Answer]:
    for effect in draft.effects:
        if isinstance(effect, Reply):
            ref, answer = parse_ref(effect.ref), effect.answer
            keep = not (isinstance(answer, Refusal) and answer.code in NOT_KEPT)
            yield Answer(ref, encode_answer(ref, answer, policy), keep)


def _messages(draft: Draft, now_ms: int) -> Iterator[OutboxRow]:
    for effect in draft.effects:
        if isinstance(effect, Announce) and draft.room is not None:
            yield outbox_row(draft.room, effect.announcement, now_ms)


def _recordings(draft: Draft) -> Iterator[SegmentFacts]:
    """Yield what the index of recordings learns from the announcements."""
    for effect in draft.effects:
        if isinstance(effect, Announce) and draft.room is not None:
            facts = facts_of(draft.room, effect.announcement)
            if facts is not None:
                yield SegmentFacts(facts)


def _events(draft: Draft, now_ms: int) -> Iterator[RecordingEvent]:
    for effect in draft.effects:
        if isinstance(effect, Announce) and draft.room is not None:
            yield from announced_events(draft.room, effect.announcement, now_ms)


def _room_rows(draft: Draft) -> tuple[RoomRow | None, tuple[PartRow, ...]]:
    """Return the rows of the room that changed, if any."""
    room = draft.room
    if room is None or (room == draft.before and not draft.rewrite):
        return None, ()
    stored = encode_room(room, None if draft.rewrite else draft.before)
    parts = (PartRow(room.uuid, name, state) for name, state in stored.parts.items())
    return _row(room, stored.head), tuple(parts)


def _row(room: Room, head: bytes) -> RoomRow:
    return RoomRow(
        uuid=room.uuid,
        id=room.id,
        domain=room.domain,
        owner=room.owner,
        life=room.life,
        settled=room.fully_closed,
        created_ms=room.created.wall_ms,
        ended_ms=room.ended_ms,
        state=head,
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """Effects of one commit.

    Attributes:
        steps: yields after each notification.
        on_done: called after the last step.
    """

    steps: Iterator[None]
    on_done: Callable[[], None]


class EffectRunner:
    """Executor of the effects of all rooms.

    Args:
        sessions: connections of the users.
        plane: receives the media requests.
        monitor: receives alarms.
        per_round: maximum number of notifications in one round of the event loop.
    """

    def __init__(
        self,
        sessions: Sessions,
        plane: MediaPlane,
        monitor: Monitor,
        *,
        per_round: int = NOTICES_PER_ROUND,
    ) -> None:
        self._sessions = sessions
        self._plane = plane
        self._monitor = monitor
        self._per_round = per_round
        self._remaining = per_round
        self._waiting: deque[_Job] = deque()
        self._next: asyncio.Handle | None = None

    def start(
        self,
        room: Room | None,
        effects: Sequence[Effect],
        on_error: Callable[[Exception], None],
        on_done: Callable[[], None],
    ) -> None:
        """Execute effects in order, at once if the limit of this round permits.

        Args:
            room: the room as committed; None: no notifications are sent.
            effects: effects of one commit. The caller starts no others before ``on_done``.
            on_error: called with the exception of a failed effect; the others still execute.
            on_done: called once, after the last effect.
        """
        work = _Job(self._steps(room, effects, on_error), on_done)
        if self._waiting or not self._advance(work, self._remaining):
            self._waiting.append(work)

    def close(self) -> None:
        """Drop all effects that are not executed yet."""
        self._waiting.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _advance(self, work: _Job, most: int) -> bool:
        """Take up to ``most`` steps. Returns True once all are taken."""
        taken = sum(1 for _ in islice(work.steps, most))
        self._remaining -= taken
        if self._next is None and taken:
            self._next = asyncio.get_running_loop().call_soon(self._next_round)
        if taken == most:
            return False
        work.on_done()
        return True

    def _next_round(self) -> None:
        self._next = None
        self._remaining = self._per_round
        while self._waiting and self._remaining > 0:
            work = self._waiting.popleft()
            if not self._advance(work, min(NOTICES_PER_TURN, self._remaining)):
                self._waiting.append(work)

    def _steps(
        self,
        room: Room | None,
        effects: Sequence[Effect],
        on_error: Callable[[Exception], None],
    ) -> Iterator[None]:
        for effect in effects:
            try:
                match effect:
                    case Notify(audience=audience, note=note) if room is not None:
                        yield from self._sessions.send_stepwise(
                            room.domain, audience, *note_payload(note)
                        )
                    case Request() | Warn():
                        self._carry_out(effect, None if room is None else room.uuid)
                    case Announce(announcement=announcement) if room is not None:
                        _log_recording(room, announcement)
                        self._monitor.announced(announcement)
                    case Reply() | Announce() | Notify():
                        pass  # executed with the commit
            except Exception as bug:
                on_error(bug)

    def _carry_out(self, effect: Request | Warn, room: RoomUuid | None) -> None:
        match effect:
            case Request(request=request):
                try:
                    self._plane.send(request)
                    self._monitor.plane_request(sent=True)
                except Unavailable:
                    self._monitor.plane_request(sent=False)
                    # The deadline of the room handles it, as it does a lost request.
                    log.warning("plane.requestLost", extra={"request": type(request).__name__})
            case Warn(action=action, alarm=alarm):
                level = logging.ERROR if alarm else logging.WARNING
                log.log(level, action, extra={"room": room})
                if alarm:
                    self._monitor.recording_missed()


def _log_recording(room: Room, announcement: Announcement) -> None:
    """Log start and stop of a segment, for operators."""
    what: dict[str, object] = {"room": room.uuid, "owner": f"{room.owner} of {room.domain}"}
    if not isinstance(announcement, SegmentInfo | RoomEnded) and announcement.segment.trace:
        what["trace_id"] = announcement.segment.trace.trace_id
    match announcement:
        case RecordingStarted(segment=segment):
            by = segment.by or SYSTEM
            what |= {"segment": segment.number, "by": by, "type": segment.type.value}
            log.info("recording.started", extra=what)
        case RecordingStopped(segment=segment):
            what |= {"segment": segment.number, "by": segment.stopped_by or SYSTEM}
            seconds = (segment.duration_ms or 0) / 1000
            log.info("recording.stopped", extra=what | {"reason": segment.reason, "took": seconds})
        case RecordingFailed(segment=segment, code=code, message=message):
            what |= {"segment": segment.number, "by": segment.by or SYSTEM}
            log.warning("recording.notStarted", extra=what | {"code": code, "why": message})
        case _:
            pass  # the others follow from these


def notice_count(effects: Sequence[Effect]) -> int:
    """Return the number of notifications that these effects cause."""
    return sum(len(effect.audience) for effect in effects if isinstance(effect, Notify))
