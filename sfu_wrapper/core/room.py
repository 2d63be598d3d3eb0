"""State of one room: frozen values, and properties computed from them. No decisions.

Deadlines are milliseconds of the monotonic clock (``*_by_ms``, ``due_ms``); ``timers.resume``
computes them again after a restart of the controller. Other times are milliseconds since the epoch.

Collections are ``PersistentMap``s: lookup and change take constant time, and differences are found
without comparing all entries. Nothing here iterates over participants or segments.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from sfu_wrapper.core.intent import Absence, PendingRequest, RecordingIntent
from sfu_wrapper.core.lifecycle import CaptureState, Life, Phase
from sfu_wrapper.core.media_plane import CaptureRef
from sfu_wrapper.core.people import Participants, PlaneTracks, PresenceIntervals
from sfu_wrapper.core.policy import Decision, PolicySettings, RecordingLimits
from sfu_wrapper.core.quotas import Quotas
from sfu_wrapper.model.identity import (
    ConfbridgeId,
    DomainId,
    EndReason,
    Kind,
    Origin,
    RecordingType,
    RoomId,
    RoomUuid,
    SegmentNo,
    StopReason,
    UserId,
    UserKey,
    shown_user,
)
from sfu_wrapper.model.media import Medium, RawFile, Track
from sfu_wrapper.model.persistent import PersistentMap, PersistentSet
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.model.trace import TraceContext

WAITING_LIMIT = 16  # pending start and stop requests of one room


@dataclass(frozen=True, slots=True)
class Rules:
    """Configuration of the room machine (policy.md).

    Attributes:
        media_timeout_ms: time for the media plane to answer one request.
        reconnect_grace_ms: time for a user to connect again before it leaves the room.
        answer_timeout_ms: life of a direct call that is not established.
        unused_timeout_ms: life of any other room that is not established.
        authoritative_media: media whose plane reports the published tracks itself
            (``TracksCarried``); its reports overrule what clients claim.
    """

    policy: PolicySettings = field(default_factory=PolicySettings)
    media_timeout_ms: int = 5_000
    reconnect_grace_ms: int = 10_000
    answer_timeout_ms: int = 120_000
    unused_timeout_ms: int = 604_800_000
    authoritative_media: frozenset[Medium] = frozenset()
    quotas: Quotas = field(default_factory=Quotas)
    limits: RecordingLimits = field(default_factory=RecordingLimits)


@dataclass(frozen=True, slots=True)
class Capture:
    """Video or audio of one segment, over all attempts to capture it.

    Attributes:
        due_ms: monotonic deadline: in REQUESTED for the answer, in FAILED for the next attempt, in
            STOPPING for the next request to stop; None: no deadline.
        files: files written so far.
        failures: consecutive failures, for the back-off.
        unanswered: True while the plane may still carry out a start that it never answered.
        written_ms: epoch; last time at which data is known to be written, set when the capture is
            lost.
        message: reason of the last failure.
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
        """True once media may have been written."""
        return any(file.holds_media for file in self.files)

    @property
    def lost(self) -> bool:
        """True if the capture ended by being lost: no file was closed after that."""
        if self.written_ms is None:
            return False
        ends = [file.stopped_ms for file in self.files if file.holds_media]
        return all(end is not None and end <= self.written_ms for end in ends)


class Outcome(StrEnum):
    """Outcome of a segment."""

    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Segment:
    """Recording from one start to one stop.

    Attributes:
        by: user that started it; None: the controller.
        type: media to record.
        requested_at: time of the request to the media plane.
        entries: ``Room.entries`` at the request; participants up to there were present from the
            start.
        presences: intervals of the participants that have left since. Participants that are
            present are read from the room; a failed segment stores theirs here too, since it may
            have files to report later.
        started: time at which the first capture was confirmed.
        ran: True once the segment was confirmed as a whole and recordingStarted was sent.
        stopped_ms: epoch ms of the end.
        duration_ms: length by the monotonic clock.
        stopped_by: user that stopped it; None: the controller.
        outcome: None while the segment is open.
        reason: set as soon as the stop is decided.
        stop_by_ms: monotonic deadline for the confirmation of the stop.
        ends_by_ms: monotonic end of the longest segment that is allowed; None: no limit.
        resumes_at_ms: epoch ms; end of the pause that the stop began; None: no pause.
        begun_by: user that began the recording, where the controller started this segment.
        decision: decision that allowed a start by hand; None: that of the room.
        missing: media without a running capture at the end.
        incomplete: why media that should exist may be missing; None: they are complete.
        announced: True once its recordingInfo is in the outbox.
        resumed: True after a restart of the controller, until the media plane has answered.
        trace: trace context of the request that started it, or of the one that stopped it; None:
            neither had one.
    """

    number: SegmentNo
    by: UserId | None
    type: RecordingType
    requested_at: Instant
    captures: tuple[Capture, ...]
    entries: int = 0
    presences: PresenceIntervals = PresenceIntervals()  # noqa: RUF009 immutable
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
    announced: bool = False
    resumed: bool = False
    ends_by_ms: int | None = None
    resumes_at_ms: int | None = None
    begun_by: UserId | None = None
    decision: Decision | None = None
    trace: TraceContext | None = None

    def capture(self, medium: Medium) -> Capture | None:
        """Return the capture of that medium; None: the segment does not record it."""
        return next((capture for capture in self.captures if capture.medium is medium), None)

    def any_capture(self, *states: CaptureState) -> bool:
        """Return True if a capture is in one of these states."""
        return any(capture.state in states for capture in self.captures)

    @property
    def pending(self) -> bool:
        """True while a confirmation or a decision about the segment is outstanding."""
        closed = all(capture.state is CaptureState.CLOSED for capture in self.captures)
        return self.outcome is None or self.stop_by_ms is not None or not closed

    @property
    def holds_media(self) -> bool:
        """True once media may have been written."""
        return any(capture.holds_media for capture in self.captures)

    @property
    def cut_short(self) -> bool:
        """True if a failure ended the segment, so that its end must be read from its files."""
        failed = self.outcome is Outcome.FAILED or self.reason is StopReason.FAILED
        return failed or self.resumed

    @property
    def lost(self) -> bool:
        """True if each capture that wrote media was lost before its files were closed."""
        writers = [capture for capture in self.captures if capture.holds_media]
        return bool(writers) and all(capture.lost for capture in writers)

    @property
    def never_written(self) -> tuple[Medium, ...]:
        """Media that the segment requested and of which nothing was written."""
        return tuple(
            each.medium
            for each in self.captures
            if not each.holds_media and each.written_ms is None
        )

    @property
    def media_files(self) -> tuple[RawFile, ...]:
        """Files that may hold media."""
        return tuple(
            file for capture in self.captures for file in capture.files if file.holds_media
        )

    @property
    def not_running(self) -> tuple[Medium, ...]:
        """Media that the segment requests and that are not being captured now."""
        running = {CaptureState.RUNNING}
        if self.resumed:
            running.add(CaptureState.REQUESTED)  # it ran before the restart
        return tuple(each.medium for each in self.captures if each.state not in running)


class Segments(PersistentMap[SegmentNo, Segment]):
    """Segments by number, from 1 without gaps; those that are pending are marked."""

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
            IndexError: no segment has that position.
        """
        segment = self.get(SegmentNo(position + 1 if position >= 0 else len(self) + position + 1))
        if segment is None:
            raise IndexError(position)
        return segment


@dataclass(frozen=True, slots=True)
class Room:
    """Room, from createRoom to the last event of its segments.

    Attributes:
        id: room id chosen by the client, free again once the room has ended.
        confbridge_id: name of the room at the audio mixer.
        owner: caller of a direct call, creator of any other room.
        flag: record flag as given; None: absent.
        creator: service identity that created the room; None: a user did.
        invited: users that may join besides the owner; None: the whole domain.
        entries: number of times that a participant has entered.
        members: users that took part at any time.
        final_audience: participants that were present at the end of the room; they also receive
            the events of its last segment, which ends later.
        waiting: requests to start or stop that are not answered yet.
        wanted: intent to record; None: segments start by request only.
        decision: decision of the policy at establishment.
        open_by_ms: monotonic deadline for the establishment.
        halted: True while the controller shuts down: no segment starts.
        plane_tracks: tracks that the media plane reports as published.
        recorded_ms: length of all segments that are over.
        absence: absence of the owner from the recording; None: present, or nothing is recorded.
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
    final_audience: tuple[UserKey, ...] = ()
    segments: Segments = Segments()  # noqa: RUF009 immutable
    waiting: tuple[PendingRequest, ...] = ()
    wanted: RecordingIntent | None = None
    decision: Decision | None = None
    open_by_ms: int | None = None
    established_ms: int | None = None
    ended_ms: int | None = None
    end_reason: EndReason | None = None
    halted: bool = False
    plane_tracks: PlaneTracks = PlaneTracks()  # noqa: RUF009 immutable
    recorded_ms: int = 0
    absence: Absence | None = None

    @property
    def owner_key(self) -> UserKey:
        """Owner with its domain."""
        return UserKey(self.domain, self.owner)

    @property
    def opened(self) -> bool:
        """True once the room is open at the media plane, which the first join does."""
        return self.entries > 0

    @property
    def open_segment(self) -> Segment | None:
        """Segment that is starting, recording or stopping; None: the room is idle."""
        return None if self.capture is Phase.IDLE else self.segments[-1]

    def ref(self, segment: Segment, medium: Medium) -> CaptureRef:
        """Return the name of a capture at the media plane."""
        return CaptureRef(self.uuid, segment.number, medium)

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Tracks that are published now, in order of joining."""
        return tuple(
            Track(shown_user(participant.key, self.domain), stream)
            for participant in self.participants
            for stream in participant.media.streams()
        )

    @property
    def may_start(self) -> bool:
        """True if a segment may start automatically now."""
        return self.capture is Phase.IDLE and not self.halted

    @property
    def unattended(self) -> bool:
        """True while a segment runs and the owner is not in the room."""
        return self.absence is not None and self.capture is Phase.RECORDING

    @property
    def paused(self) -> bool:
        """True while no segment is open and the next one starts at the end of a pause."""
        resumes = self.wanted is not None and self.wanted.resumes_at_ms is not None
        return resumes and self.capture is Phase.IDLE

    @property
    def undecided(self) -> bool:
        """True while the answers are outstanding that decide if the open segment runs at all.

        Until then a failed capture is not retried: alternating retries of two captures would
        defer the decision for ever.
        """
        segment = self.open_segment
        if segment is None or self.capture is Phase.STOPPING:
            return False
        starting = self.capture is Phase.STARTING or segment.resumed
        return starting and segment.any_capture(CaptureState.REQUESTED)

    @property
    def fully_closed(self) -> bool:
        """True once the room has ended and every capture is closed: a restart may skip it."""
        over = self.life is Life.ENDED and self.capture is Phase.IDLE
        return over and not any(
            segment.any_capture(CaptureState.STOPPING) for segment in self.segments.marked_values()
        )
