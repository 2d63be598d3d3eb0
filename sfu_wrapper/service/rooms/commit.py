"""Draft of a commit: collects the applied commands of one room, and encodes them for the store.

A change becomes these rows: the parts of the room that differ from the last commit, one message for
each announcement, and one answer for each reply. Answers are kept for repeats, except those after
which the same request may be sent again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sfu_wrapper.core.effects import Announce, Effect, Refusal, Reply
from sfu_wrapper.core.policy import PolicySettings
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.identity import UserKey
from sfu_wrapper.ports.store import Commit, OutboxRow, PartRow, RoomRow
from sfu_wrapper.service.rooms.idempotency import NOT_KEPT, IdempotencyStore, RequestRef, parse_ref
from sfu_wrapper.service.rooms.mailbox import Command
from sfu_wrapper.service.rooms.messages import encode_answer, outbox_row
from sfu_wrapper.wire.room_state import encode_room


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
    draft: Draft, idempotency: IdempotencyStore, policy: PolicySettings, now_ms: int
) -> Commit:
    """Return the rows to be stored, and fill in the answers.

    Args:
        draft: content of the commit.
        idempotency: selects the answers to evict.
        policy: for the decisions that answers show.
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
            yield outbox_row(draft.room.uuid, effect.announcement, now_ms)


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
