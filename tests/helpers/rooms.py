"""Rooms in any state: one call as it goes on, with the media plane played by the test."""

from dataclasses import dataclass, field, replace
from typing import TypeVar

import pytest

from sfu_wrapper.core.effects import Announce, Answer, Effect, Note, Notify, Refusal, Reply, Request
from sfu_wrapper.core.effects import Warn as Warning_
from sfu_wrapper.core.events import (
    ControllerReady,
    ControllerStopping,
    EndRequested,
    Event,
    InviteRequested,
    JoinRequested,
    LeaveRequested,
    MediaRequested,
    PlaneReported,
    Requester,
    StartRequested,
    StopRequested,
    TimePassed,
    UserBack,
    UserGone,
)
from sfu_wrapper.core.lifecycle import CaptureState
from sfu_wrapper.core.media_plane import (
    CaptureChanged,
    CaptureFailed,
    CaptureLost,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    PlaneBack,
    PlaneRequest,
    RoomFact,
)
from sfu_wrapper.core.policy import PolicySettings
from sfu_wrapper.core.room import Rules, Segment
from sfu_wrapper.core.step import RoomSpec, create, step
from sfu_wrapper.core.timers import next_due_ms
from sfu_wrapper.model.errors import Refused
from sfu_wrapper.model.identity import (
    ConfbridgeId,
    DomainId,
    Kind,
    Origin,
    OwnerPermissions,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    RoomId,
    RoomUuid,
    SegmentNo,
    UserId,
)
from sfu_wrapper.model.identity import UserKey as Key
from sfu_wrapper.model.media import Media, Medium, RawFile, Stream
from sfu_wrapper.model.segment import Instant, SegmentInfo
from sfu_wrapper.model.trace import TraceContext
from sfu_wrapper.wire.room_state import decode_room, encode_room

HOME = DomainId("example")
ALICE, BOB, CAROL = (Key(HOME, UserId(name)) for name in ("alice", "bob", "carol"))
STRANGER = Key(DomainId("elsewhere"), UserId("mallory"))
ROOM_SERVICE = Key(HOME, UserId("room-service"))

SERVICE = Requester(ROOM_SERVICE, service=True)
ADMIN = Requester(Key(HOME, UserId("admin")), admin=True)

T0 = Instant(wall_ms=1_600_000_000_000, mono_ms=50_000_000)
VIDEO, AUDIO = Medium.VIDEO, Medium.AUDIO
BOTH = (VIDEO, AUDIO)
TALKING = Media(audio=True)

MANUAL = PolicySettings(record_at_start=False)
EVERY_START = PolicySettings()

N = TypeVar("N", bound=Note)
R = TypeVar("R", bound=PlaneRequest)


def permitted(
    recorded: RecordingType = RecordingType.ALL,
    profile: RecordingProfile = RecordingProfile.ALWAYS,
) -> OwnerPermissions:
    """What is stored for an owner: by default everything is allowed."""
    return OwnerPermissions(user=RecordingPermissions(recorded, profile))


FORBIDDEN = permitted(profile=RecordingProfile.SKIP)


def who(by: Key | Requester) -> Requester:
    """A plain user, where nothing else is said."""
    return by if isinstance(by, Requester) else Requester(by)


def video_file(
    user: str, started_ms: int, stopped_ms: int | None = None, *, holds_media: bool = True
) -> RawFile:
    """A camera's file."""
    name = f"/room/{user}-{started_ms}.mjr"
    return RawFile(name, Stream.CAMERA, started_ms, stopped_ms, UserId(user), holds_media)


def mix(started_ms: int, stopped_ms: int | None = None) -> RawFile:
    """A mixer's file."""
    return RawFile(f"mix-{started_ms}.wav", Stream.AUDIO, started_ms, stopped_ms, mixer="simulated")


@dataclass
class Call:
    """One room and what it said so far. ``wall_ms``, ``mono_ms`` move only when a test says so."""

    kind: Kind = Kind.DIRECT
    origin: Origin = Origin.INTERNAL
    flag: bool | None = None
    policy: PolicySettings = EVERY_START
    permissions: OwnerPermissions = field(default_factory=permitted)
    invited: tuple[UserId, ...] | None = None
    rules: Rules = field(default_factory=Rules)
    creator: Key | None = ROOM_SERVICE
    wall_ms: int = T0.wall_ms
    mono_ms: int = T0.mono_ms
    effects: list[Effect] = field(default_factory=list)
    trace: TraceContext | None = None  # of whatever happens next
    _refs: int = 0

    def __post_init__(self) -> None:
        self.rules = replace(self.rules, policy=self.policy)
        spec = RoomSpec(
            uuid=RoomUuid("uuid-1"),
            id=RoomId("room-1"),
            confbridge_id=ConfbridgeId("bridge-1"),
            kind=self.kind,
            origin=self.origin,
            domain=HOME,
            owner=ALICE.user,
            flag=self.flag,
            creator=self.creator,
            invited=self.invited,
        )
        self.room, effects = create(spec, self.at, "create", self.permissions, self.rules)
        self.effects.extend(effects)

    @property
    def at(self) -> Instant:
        """Now."""
        return Instant(self.wall_ms, self.mono_ms)

    def happens(self, event: Event) -> tuple[Effect, ...]:
        """Apply an event; what it caused. Refused is passed on."""
        self.room, effects = step(self.room, event, self.rules, self.trace)
        self.effects.extend(effects)
        return effects

    # What people ask

    def join(self, user: Key, media: Media | None = None, by: Key | Requester | None = None) -> str:
        """joinRoom; the reference of its answer, here and below."""
        ref = self.ref()
        requester = who(user if by is None else by)
        self.happens(JoinRequested(self.at, ref, requester, user, media, self.permissions))
        return ref

    def publish(self, user: Key, media: Media, by: Key | Requester | None = None) -> str:
        """updateMedia."""
        ref = self.ref()
        self.happens(MediaRequested(self.at, ref, who(user if by is None else by), user, media))
        return ref

    def invite(self, *users: str, by: Key | Requester = ALICE) -> str:
        """inviteToRoom."""
        ref = self.ref()
        names = tuple(UserId(user) for user in users)
        self.happens(InviteRequested(self.at, ref, who(by), names))
        return ref

    def leave(self, user: Key, by: Key | Requester | None = None) -> str:
        """leaveRoom."""
        ref = self.ref()
        self.happens(LeaveRequested(self.at, ref, who(user if by is None else by), user))
        return ref

    def end(self, by: Key | Requester = ALICE) -> str:
        """endRoom."""
        ref = self.ref()
        self.happens(EndRequested(self.at, ref, who(by)))
        return ref

    def start(self, by: Key | Requester = ALICE) -> str:
        """startRoomRecording."""
        ref = self.ref()
        self.happens(StartRequested(self.at, ref, who(by), self.permissions))
        return ref

    def stop(self, by: Key | Requester = ALICE, resume_after_s: int | None = None) -> str:
        """stopRoomRecording; with a number of seconds, a pause."""
        ref = self.ref()
        pause_ms = None if resume_after_s is None else 1000 * resume_after_s
        self.happens(StopRequested(self.at, ref, who(by), pause_ms))
        return ref

    def ref(self) -> str:
        """A new reference."""
        self._refs += 1
        return f"request-{self._refs}"

    # What else happens

    def gone(self, user: Key) -> None:
        """Its last connection is lost."""
        self.happens(UserGone(self.at, user))

    def back(self, user: Key) -> None:
        """It has a connection again."""
        self.happens(UserBack(self.at, user))

    def terminate(self) -> None:
        """SIGTERM."""
        self.happens(ControllerStopping(self.at))

    def restart(self, *, after_ms: int = 0, mono_ms: int = 7, reconnected: bool = True) -> None:
        """Another controller takes the room up; its monotonic clock has begun anew."""
        self.wall_ms += after_ms
        self.mono_ms = mono_ms
        self.happens(ControllerReady(self.at))
        for participant in self.room.participants if reconnected else ():
            self.back(participant.key)

    def clock(self, ms: int) -> None:
        """Time goes by unnoticed."""
        self.wall_ms += ms
        self.mono_ms += ms

    def wait(self, ms: int) -> None:
        """Time goes by; every deadline on the way is noticed."""
        until_ms = self.mono_ms + ms
        while (due_ms := next_due_ms(self.room)) is not None and due_ms <= until_ms:
            self.clock(max(0, due_ms - self.mono_ms))
            self.happens(TimePassed(self.at))
            again_ms = next_due_ms(self.room)
            assert again_ms is None or again_ms > self.mono_ms, "the room would spin"
        self.clock(until_ms - self.mono_ms)
        self.happens(TimePassed(self.at))

    # What the media plane says

    def fact(self, fact: RoomFact) -> None:
        """Anything at all."""
        self.happens(PlaneReported(self.at, fact))

    def capture_ref(self, medium: Medium, segment: int | None = None) -> CaptureRef:
        """A capture of the last segment, or of another."""
        number = len(self.room.segments) if segment is None else segment
        return CaptureRef(self.room.uuid, SegmentNo(number), medium)

    def confirm(self, *media: Medium, segment: int | None = None) -> None:
        """The captures run, with a file each."""
        for medium in media or BOTH:
            files = (
                (video_file("alice", self.wall_ms),) if medium is VIDEO else (mix(self.wall_ms),)
            )
            ref = self.capture_ref(medium, segment)
            self.fact(CaptureStarted(ref, self.wall_ms, files))

    def confirm_empty(self, *media: Medium) -> None:
        """The captures run, with nothing to write yet."""
        for medium in media or BOTH:
            self.fact(CaptureStarted(self.capture_ref(medium), self.wall_ms))

    def refuse(self, *media: Medium, message: str = "no room") -> None:
        """The captures cannot be started."""
        for medium in media or BOTH:
            self.fact(CaptureFailed(self.capture_ref(medium), message))

    def change(self, medium: Medium, *files: RawFile, segment: int | None = None) -> None:
        """Files were opened or closed."""
        self.fact(CaptureChanged(self.capture_ref(medium, segment), files))

    def close(self, *media: Medium, segment: int | None = None) -> None:
        """Every file that is known is closed now."""
        for medium in media or BOTH:
            ref = self.capture_ref(medium, segment)
            self.fact(CaptureStopped(ref, self.wall_ms, self.closed_files(ref)))

    def lose(self, *media: Medium, at_ms: int | None = None, segment: int | None = None) -> None:
        """The plane died while it wrote."""
        for medium in media or BOTH:
            stopped_ms = self.wall_ms if at_ms is None else at_ms
            ref = self.capture_ref(medium, segment)
            known = self.known_files(ref)
            self.fact(CaptureLost(ref, stopped_ms, known, "the plane died"))

    def plane_back(self, *media: Medium) -> None:
        """The plane answers again."""
        for medium in media or BOTH:
            self.fact(PlaneBack(medium))

    def known_files(self, ref: CaptureRef) -> tuple[RawFile, ...]:
        """The files that the room knows of."""
        segment = self.room.segments.get(ref.segment)
        capture = segment.capture(ref.medium) if segment is not None else None
        return capture.files if capture is not None else ()

    def closed_files(self, ref: CaptureRef) -> tuple[RawFile, ...]:
        """The same, closed now."""
        return tuple(
            file if file.stopped_ms is not None else replace(file, stopped_ms=self.wall_ms)
            for file in self.known_files(ref)
        )

    # What came of it

    @property
    def recorded_ms(self) -> int:
        """The length of all that has been announced."""
        return sum(each.duration_ms or 0 for each in self.room.segments if each.announced)

    @property
    def segment(self) -> Segment:
        """The last segment."""
        return self.room.segments[-1]

    def states(self, number: int = 0) -> list[CaptureState]:
        """Of the captures of a segment, the last one by default."""
        return [capture.state for capture in self.room.segments[number - 1].captures]

    def answer(self, ref: str) -> Answer | None:
        """The one answer to a request; None: not yet."""
        found = [
            each.answer for each in self.effects if isinstance(each, Reply) and each.ref == ref
        ]
        assert len(found) <= 1, f"{ref} was answered {len(found)} times"
        return found[0] if found else None

    def code(self, ref: str) -> str | None:
        """The code that a waiting request was refused with."""
        answer = self.answer(ref)
        return answer.code if isinstance(answer, Refusal) else None

    def notes(self, kind: type[N]) -> list[N]:
        """What clients were told, of one kind."""
        return [
            each.note
            for each in self.effects
            if isinstance(each, Notify) and isinstance(each.note, kind)
        ]

    def audience(self, kind: type[Note]) -> list[set[Key]]:
        """Who was told."""
        return [
            set(each.audience)
            for each in self.effects
            if isinstance(each, Notify) and isinstance(each.note, kind)
        ]

    @property
    def infos(self) -> list[SegmentInfo]:
        """Every recordingInfo."""
        return [
            each.announcement
            for each in self.effects
            if isinstance(each, Announce) and isinstance(each.announcement, SegmentInfo)
        ]

    def asked(self, kind: type[R]) -> list[R]:
        """What the media plane was asked, of one kind."""
        return [
            each.request
            for each in self.effects
            if isinstance(each, Request) and isinstance(each.request, kind)
        ]

    @property
    def warnings(self) -> list[tuple[str, bool]]:
        """What operators were told, and whether it is an alarm."""
        return [(each.action, each.alarm) for each in self.effects if isinstance(each, Warning_)]

    def forget(self) -> None:
        """Look only at what comes now."""
        self.effects.clear()


def refusal(call: Call, ask: str, *args: object, **how: object) -> str:
    """The code with which a request is refused at once; nothing may have changed."""
    before, said = call.room, len(call.effects)
    with pytest.raises(Refused) as caught:
        getattr(call, ask)(*args, **how)
    assert (call.room, len(call.effects)) == (before, said)
    return caught.value.code


def restarted(call: Call, *, after_ms: int) -> None:
    """Another controller reads the room from its store."""
    call.room = decode_room(encode_room(call.room))
    call.restart(after_ms=after_ms)


def established(policy: PolicySettings = MANUAL, **given: object) -> Call:
    """Alice called Bob, who answered; nothing is recorded unless the policy says so."""
    call = Call(policy=policy, **given)  # type: ignore[arg-type]  # passed on as they are
    call.join(ALICE)
    call.join(BOB)
    return call


def recording(**given: object) -> Call:
    """The same, and Alice's start was confirmed: segment 1 runs, with a video file and a mix."""
    call = established(**given)  # type: ignore[arg-type]  # passed on as they are
    call.start()
    call.confirm()
    return call


def automatic(**given: object) -> Call:
    """Established, and segment 1 was asked for by the system; the plane has not answered."""
    return established(EVERY_START, **given)
