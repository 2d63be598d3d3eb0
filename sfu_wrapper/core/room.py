"""The state of one room: frozen values and what can be read off them. Decides nothing.

Deadlines are milliseconds of the monotonic clock (``*_by_ms``, ``due_ms``); they are set anew
after a restart of the controller. Stamps are milliseconds since the epoch.

Whatever a room holds many of is a ``PersistentMap``: looked up by key, changed in constant time,
and compared with an earlier version by its difference alone. Nothing here walks over the people or
the segments of a room; those who must (an answer that lists them, a notice to all) do so once.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from sfu_wrapper.core.lifecycle import Life, Phase
from sfu_wrapper.core.media_plane import CaptureRef
from sfu_wrapper.core.people import Carried, Participant, Participants
from sfu_wrapper.core.policy import Decision, PolicySettings
from sfu_wrapper.core.quotas import Quotas
from sfu_wrapper.model.identity import (
    ConfbridgeId,
    DomainId,
    RecordingType,
    RoomId,
    RoomUuid,
    SegmentNo,
    UserId,
    UserKey,
    shown_user,
)
from sfu_wrapper.model.media import Medium, RawFile, Track
from sfu_wrapper.model.persistent import PersistentMap, PersistentSet
from sfu_wrapper.model.room import EndReason, Kind, Origin, StopReason
from sfu_wrapper.model.segment import Instant

WAITING_LIMIT = 16  # start and stop requests that one room lets wait


@dataclass(frozen=True, slots=True)
class Rules:
    """The configuration that the machine goes by (policy.md; times in milliseconds).

    carries: the media whose plane knows by itself who publishes what, and is believed.
    """

    policy: PolicySettings = field(default_factory=PolicySettings)
    media_timeout_ms: int = 5_000
    reconnect_grace_ms: int = 10_000
    answer_timeout_ms: int = 120_000
    unused_timeout_ms: int = 604_800_000
    carries: frozenset[Medium] = frozenset()
    quotas: Quotas = field(default_factory=Quotas)


class CaptureState(StrEnum):
    """One capture within its segment."""

    ASKED = "asked"  # start asked, no answer yet
    RUNNING = "running"
    FAILED = "failed"  # refused, unanswered or lost; asked again at ``due_ms``
    STOPPING = "stopping"  # stop asked, not confirmed yet
    CLOSED = "closed"  # nothing is written any more


@dataclass(frozen=True, slots=True)
class Capture:
    """The video or the audio of one segment, over every attempt.

    due_ms: monotonic; until when ASKED is answered, when FAILED is tried again, when the stop of
        STOPPING is asked again.
    failures: in a row, for the back-off.
    unanswered: the last start was never answered, so it may yet be carried out.
    written_ms: epoch; the last time known to be written when it was lost.
    """

    medium: Medium
    state: CaptureState
    due_ms: int | None = None
    files: tuple[RawFile, ...] = ()
    failures: int = 0
    unanswered: bool = False
    written_ms: int | None = None
    message: str | None = None

    @property
    def holds_media(self) -> bool:
        """Whether anything may have been written."""
        return any(file.holds_media for file in self.files)

    @property
    def lost(self) -> bool:
        """Whether it ended by being lost: no file was closed after that."""
        if self.written_ms is None:
            return False
        ends = [file.stopped_ms for file in self.files if file.holds_media]
        return all(end is not None and end <= self.written_ms for end in ends)


class Outcome(StrEnum):
    """How a segment ended."""

    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Stay:
    """One stay of a user during a segment; epoch ms. entry: as of the participant."""

    user: UserId
    joined_ms: int
    left_ms: int | None = None
    entry: int = 0


class Stays(PersistentMap[int, Stay]):
    """Stays by entry."""

    __slots__ = ()

    @staticmethod
    def key(value: Stay) -> int:
        """See ``PersistentMap``."""
        return value.entry

    order = key


@dataclass(frozen=True, slots=True)
class Segment:
    """One start-to-stop of recording.

    by: who started it; None: the system. stopped_by likewise.
    entries: how many had entered the room when it was asked for: those were there from its start.
    stays: of those who have left since. Those who are there are participants of the room; they are
        noted here when the segment fails, since it may have something to report later.
    started: when the first capture was confirmed.
    ran: it was confirmed as a whole, and everybody told.
    outcome: None while it is open.
    reason: set as soon as the stop is decided.
    stop_by_ms: monotonic; when an unconfirmed stop is given up.
    told: its recordingInfo is in the outbox.
    resumed: taken up by a restarted controller, not yet known whether it still runs.
    """

    number: SegmentNo
    by: UserId | None
    type: RecordingType
    asked: Instant
    captures: tuple[Capture, ...]
    entries: int = 0
    stays: Stays = Stays()  # noqa: RUF009 immutable
    started: Instant | None = None
    ran: bool = False
    stopped_ms: int | None = None
    duration_ms: int | None = None
    stopped_by: UserId | None = None
    outcome: Outcome | None = None
    reason: StopReason | None = None
    stop_by_ms: int | None = None
    missing: tuple[Medium, ...] = ()
    incomplete: str | None = None
    told: bool = False
    resumed: bool = False

    def capture(self, medium: Medium) -> Capture | None:
        """The capture of that medium, where the segment asks for it."""
        return next((capture for capture in self.captures if capture.medium is medium), None)

    def any_capture(self, *states: CaptureState) -> bool:
        """Whether a capture is in one of these states."""
        return any(capture.state in states for capture in self.captures)

    @property
    def pending(self) -> bool:
        """True while anything of the segment is still to be confirmed or decided."""
        closed = all(capture.state is CaptureState.CLOSED for capture in self.captures)
        return self.outcome is None or self.stop_by_ms is not None or not closed

    @property
    def holds_media(self) -> bool:
        """Whether anything may have been written."""
        return any(capture.holds_media for capture in self.captures)

    @property
    def cut_short(self) -> bool:
        """Whether a failure ended it: how far it got is for its files to say."""
        failed = self.outcome is Outcome.FAILED or self.reason is StopReason.FAILED
        return failed or self.resumed

    @property
    def lost(self) -> bool:
        """Whether all that was written was lost before anybody closed it: in a stop, too."""
        writers = [capture for capture in self.captures if capture.holds_media]
        return bool(writers) and all(capture.lost for capture in writers)

    @property
    def never_written(self) -> tuple[Medium, ...]:
        """What it asked for and never got."""
        return tuple(
            each.medium
            for each in self.captures
            if not each.holds_media and each.written_ms is None
        )

    @property
    def media_files(self) -> tuple[RawFile, ...]:
        """Every file in which anything may have been written."""
        return tuple(
            file for capture in self.captures for file in capture.files if file.holds_media
        )

    @property
    def not_running(self) -> tuple[Medium, ...]:
        """What it asks for and does not get at the moment, as far as is known."""
        running = {CaptureState.RUNNING}
        if self.resumed:
            running.add(CaptureState.ASKED)  # it ran before the restart
        return tuple(each.medium for each in self.captures if each.state not in running)


class Segments(PersistentMap[SegmentNo, Segment]):
    """Segments by number, from 1 without gaps. marked: those that are pending."""

    __slots__ = ()

    @staticmethod
    def key(value: Segment) -> SegmentNo:
        """See ``PersistentMap``."""
        return value.number

    order = key

    @staticmethod
    def marks(value: Segment) -> bool:
        """See ``PersistentMap``."""
        return value.pending

    def __getitem__(self, position: int) -> Segment:
        """Return the segment at that position; negative positions count from the end.

        Raises:
            IndexError: there is none.
        """
        segment = self.get(SegmentNo(position + 1 if position >= 0 else len(self) + position + 1))
        if segment is None:
            raise IndexError(position)
        return segment


class PendingKind(StrEnum):
    """What a waiting request wants."""

    START = "start"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A request that is answered later. ``due_ms``: monotonic; MEDIA_FAILED then."""

    ref: str
    by: UserId
    want: PendingKind
    type: RecordingType = RecordingType.NONE
    due_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RecordingIntent:
    """Recording is wanted (policy.md): the next segment starts by itself at ``due_ms``."""

    type: RecordingType
    failures: int = 0
    due_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """One room, from createRoom to the last of its segments' events.

    flag: the record flag as given. creator: the service identity that created it, if one did.
    entries: how many have entered it so far. members: users who took part at any time.
    farewell: who still took part when it ended, to be told of the end of its last segment too.
    decision: as it was at establishment.
    open_by_ms: monotonic; when a room that is still waiting ends by itself.
    halted: the controller is shutting down; nothing is started.
    carried: who publishes what, as far as the media plane knows by itself.
    """

    uuid: RoomUuid
    id: RoomId
    confbridge_id: ConfbridgeId
    kind: Kind
    origin: Origin
    domain: DomainId
    owner: UserId
    flag: bool | None
    created: Instant
    creator: UserKey | None = None
    invited: PersistentSet[UserId] | None = None
    life: Life = Life.WAITING
    capture: Phase = Phase.IDLE
    entries: int = 0
    participants: Participants = Participants()  # noqa: RUF009 immutable
    members: PersistentSet[UserKey] = PersistentSet()  # noqa: RUF009 immutable
    farewell: tuple[UserKey, ...] = ()
    segments: Segments = Segments()  # noqa: RUF009 immutable
    waiting: tuple[PendingRequest, ...] = ()
    wanted: RecordingIntent | None = None
    decision: Decision | None = None
    open_by_ms: int | None = None
    established_ms: int | None = None
    ended_ms: int | None = None
    end_reason: EndReason | None = None
    halted: bool = False
    carried: Carried = Carried()  # noqa: RUF009 immutable

    @property
    def owner_key(self) -> UserKey:
        """The owner as a user."""
        return UserKey(self.domain, self.owner)

    def participant(self, key: UserKey) -> Participant | None:
        """That user's participation, if it takes part now."""
        return self.participants.get(key)

    @property
    def opened(self) -> bool:
        """True once the room is open at the media plane, which the first join does."""
        return self.entries > 0

    @property
    def open_segment(self) -> Segment | None:
        """The segment that is starting, recording or stopping."""
        return None if self.capture is Phase.IDLE else self.segments[-1]

    def segment(self, number: SegmentNo) -> Segment | None:
        """A segment by its number; they are numbered from 1 without gaps."""
        return self.segments.get(number)

    def ref(self, segment: Segment, medium: Medium) -> CaptureRef:
        """How the media plane names a capture of ours."""
        return CaptureRef(self.uuid, segment.number, medium)

    @property
    def tracks(self) -> tuple[Track, ...]:
        """What is published now, in order of joining."""
        return tuple(
            Track(shown_user(participant.key, self.domain), stream)
            for participant in self.participants
            for stream in participant.media.streams()
        )

    @property
    def may_start(self) -> bool:
        """Whether a segment may start by itself now, where one is wanted."""
        return self.capture is Phase.IDLE and not self.halted

    @property
    def undecided(self) -> bool:
        """Whether it is still to be seen if the open segment runs at all.

        Until then a capture that failed is not tried again: attempts that take turns would put
        the decision off for ever.
        """
        segment = self.open_segment
        if segment is None or self.capture is Phase.STOPPING:
            return False
        starting = self.capture is Phase.STARTING or segment.resumed
        return starting and segment.any_capture(CaptureState.ASKED)

    @property
    def settled(self) -> bool:
        """Over, with nothing left to be confirmed: a restart need not take it up."""
        over = self.life is Life.ENDED and self.capture is Phase.IDLE
        return over and not any(
            segment.any_capture(CaptureState.STOPPING) for segment in self.segments.marked_values()
        )
