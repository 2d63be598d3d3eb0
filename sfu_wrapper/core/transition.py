"""Transition of a room: the next room and the effects, as far as one step has built them.

Lives for one ``step``. A refusal discards all of it, so that no room is left half-updated.
"""

from dataclasses import replace

from sfu_wrapper.core.effects import (
    Announce,
    Announcement,
    Answer,
    Effect,
    Note,
    Notify,
    Reply,
    Request,
    Warn,
)
from sfu_wrapper.core.media_plane import PlaneRequest
from sfu_wrapper.core.room import Capture, Room, Rules, Segment
from sfu_wrapper.model.identity import UserKey
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.model.trace import TraceContext


class Transition:
    """Draft of the next room; ``at``, ``rules`` and ``trace`` are fixed during the step."""

    __slots__ = ("_others", "_replies", "at", "room", "rules", "trace")

    def __init__(
        self, room: Room, rules: Rules, at: Instant, trace: TraceContext | None = None
    ) -> None:
        self.room = room
        self.rules = rules
        self.at = at
        self.trace = trace
        self._replies: list[Effect] = []
        self._others: list[Effect] = []

    @property
    def effects(self) -> tuple[Effect, ...]:
        """Effects, replies first: a response precedes the events that it causes (protocol.md)."""
        return (*self._replies, *self._others)

    def request(self, request: PlaneRequest) -> None:
        """Send a request to the media plane."""
        self._others.append(Request(request))

    def reply(self, ref: str, answer: Answer) -> None:
        """Answer a request."""
        self._replies.append(Reply(ref, answer))

    def warn(self, action: str, *, alarm: bool = False) -> None:
        """Write a line to the log."""
        self._others.append(Warn(action, alarm))

    def announce(self, announcement: Announcement) -> None:
        """Publish to the broker."""
        self._others.append(Announce(announcement))

    def notify(self, note: Note, *, only: UserKey | None = None) -> None:
        """Send an event to the participants, the owner and the creator; or to ``only`` one user."""
        audience = (only,) if only is not None else self._audience()
        self._others.append(Notify(audience, note))

    def _audience(self) -> tuple[UserKey, ...]:
        room = self.room
        others = dict.fromkeys((*room.final_audience, room.owner_key))
        if room.creator is not None:
            others[room.creator] = None
        keys = [participant.key for participant in room.participants]
        keys.extend(key for key in others if key not in room.participants)
        return tuple(keys)

    def put_segment(self, segment: Segment) -> Segment:
        """Store the segment under its number."""
        self.room = replace(self.room, segments=self.room.segments.put(segment))
        return segment

    def put_capture(self, segment: Segment, capture: Capture) -> Segment:
        """Replace the segment's capture of that medium."""
        captures = tuple(
            capture if each.medium is capture.medium else each for each in segment.captures
        )
        return self.put_segment(replace(segment, captures=captures))
