"""Events of a room in any order: the rules, and the invariants of every step.

Run on the pure machine (tests/unit/core/test_room_histories) and, in step with it, on a live
controller (tests/integration/test_live_histories).
"""

from collections import Counter
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sfu_wrapper.core.effects import (
    Announce,
    Effect,
    RecordingFailed,
    RecordingStarted,
    RecordingStopped,
    Reply,
    Request,
    Started,
)
from sfu_wrapper.core.events import ControllerReady
from sfu_wrapper.core.lifecycle import Life, Phase
from sfu_wrapper.core.media_plane import (
    CaptureChanged,
    CaptureFailed,
    CaptureLost,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    ResumeCapture,
    StartCapture,
    StopCapture,
)
from sfu_wrapper.core.policy import PolicySettings, RecordingLimits, StopBy
from sfu_wrapper.core.room import Room, Rules
from sfu_wrapper.core.step import step
from sfu_wrapper.core.timers import next_due_ms
from sfu_wrapper.model.errors import Refused
from sfu_wrapper.model.identity import (
    Kind,
    Origin,
    OwnerPermissions,
    RecordingProfile,
    RecordingType,
    SegmentNo,
)
from sfu_wrapper.model.media import Media, Medium, RawFile
from sfu_wrapper.model.segment import Instant, SegmentInfo
from sfu_wrapper.wire.recording_info import encode_announcement, parse_event
from sfu_wrapper.wire.room_state import decode_room, encode_room
from tests.helpers.room_oracle import Oracle
from tests.helpers.rooms import (
    ADMIN,
    ALICE,
    BOB,
    CAROL,
    SERVICE,
    STRANGER,
    Call,
    permitted,
    video_file,
)

USERS = st.sampled_from((ALICE, BOB, CAROL, STRANGER))
ASKERS = st.sampled_from((ALICE, BOB, CAROL, STRANGER, SERVICE, ADMIN))
MEDIA = st.builds(Media, st.booleans(), st.booleans(), st.booleans())
PERMISSIONS = st.sampled_from(
    (
        permitted(),
        permitted(RecordingType.AUDIO),
        permitted(RecordingType.VIDEO),
        permitted(RecordingType.NONE),
        permitted(profile=RecordingProfile.OPTIONAL),
        OwnerPermissions(),
    )
)
POLICIES = st.builds(
    PolicySettings,
    system=st.sampled_from(RecordingType),
    record_at_start=st.booleans(),
    record_incoming_pstn=st.booleans(),
    optional_allows_manual=st.booleans(),
    stop_by=st.sampled_from(StopBy),
)
LIMITS = st.sampled_from(
    (
        *[RecordingLimits()] * 3,
        RecordingLimits(max_segment_ms=7_000),
        RecordingLimits(max_room_ms=20_000),
        RecordingLimits(max_segment_ms=5_000, max_room_ms=12_000, unattended_ms=9_000),
        RecordingLimits(unattended_ms=4_000),
    )
)
KINDS = st.sampled_from(
    (
        *[(Kind.DIRECT, Origin.INTERNAL)] * 5,
        (Kind.MEETING, Origin.INTERNAL),
        (Kind.DIRECT, Origin.PSTN),
        (Kind.PUBLIC, Origin.INTERNAL),
    )
)
PHASE_LIMIT_MS = 30_000


class Histories(RuleBasedStateMachine):
    """Requests, facts (also late, repeated, mistaken ones), time, restarts, clocks that jump."""

    @initialize(
        kind=KINDS,
        flag=st.sampled_from((None, True, False)),
        policy=POLICIES,
        permissions=st.sampled_from((True, True, True, False)).flatmap(
            lambda usual: st.just(permitted()) if usual else PERMISSIONS
        ),
        limits=LIMITS,
        joined=st.sampled_from((True, True, True, False)),
    )
    def begin(
        self,
        kind: tuple[Kind, Origin],
        flag: bool | None,
        policy: PolicySettings,
        permissions: OwnerPermissions,
        limits: RecordingLimits,
        joined: bool,
    ) -> None:
        rules = Rules(limits=limits)
        self.call = self.made(
            Call(*kind, flag=flag, policy=policy, permissions=permissions, rules=rules)
        )
        self.before: Room = self.call.room
        self.told = 0  # how many effects have been looked at
        self.refs: list[str] = []
        self.files: dict[CaptureRef, dict[str, RawFile]] = {}
        self.open_asks: list[StartCapture | StopCapture | ResumeCapture] = []
        self.ran: set[int] = set()
        self.infos: Counter[int] = Counter()
        self.over: Counter[int] = Counter()
        self.answers: Counter[str] = Counter()
        self.started: Counter[int] = Counter()
        self.phase_since_ms = 0
        self.elapsed_ms = 0
        if joined:
            self.call.join(ALICE, by=SERVICE)
            self.call.join(BOB, by=SERVICE)
        self.look()

    def made(self, call: Call) -> Call:
        """The room has just been created."""
        return call

    # What people ask

    @rule(user=USERS, media=st.none() | MEDIA, by_service=st.booleans())
    def join(self, user: object, media: Media | None, by_service: bool) -> None:
        self.ask("join", user, media, by=SERVICE if by_service else None)

    @rule(user=USERS, media=MEDIA)
    def publish(self, user: object, media: Media) -> None:
        self.ask("publish", user, media)

    @rule(user=USERS)
    @precondition(lambda self: self.elapsed_ms > 15_000)
    def leave(self, user: object) -> None:
        self.ask("leave", user)

    @rule(by=ASKERS)
    def start(self, by: object) -> None:
        expected = Oracle(self.call).start(by)
        assert self.ask("start", by) == expected

    @rule()
    def owner_starts(self) -> None:
        self.start(ALICE)

    @rule(by=ASKERS, pause_s=st.sampled_from((None, None, 1, 12, 3_600)))
    def stop(self, by: object, pause_s: int | None) -> None:
        expected = Oracle(self.call).stop(by)
        assert self.ask("stop", by, resume_after_s=pause_s) == expected

    @rule()
    def owner_stops(self) -> None:
        self.stop(ALICE, None)

    @rule(by=ASKERS)
    @precondition(lambda self: self.elapsed_ms > 40_000)
    def end(self, by: object) -> None:
        self.ask("end", by)

    # What happens by itself

    @rule(user=USERS, back=st.booleans())
    @precondition(lambda self: self.elapsed_ms > 10_000)
    def connection(self, user: object, back: bool) -> None:
        getattr(self.call, "back" if back else "gone")(user)
        self.look()

    @rule(ms=st.sampled_from((1, 400, 1_000, 2_500, 5_000, 11_000, 31_000)))
    def wait(self, ms: int) -> None:
        self.let_pass(ms)

    @rule(ms=st.sampled_from((-3_600_000, -700, 900, 3_600_000)))
    def wall_clock_jumps(self, ms: int) -> None:
        self.call.wall_ms += ms

    @rule(
        terminated=st.booleans(),
        after_ms=st.sampled_from((0, 3_000, 600_000)),
        reconnected=st.booleans(),
    )
    def controller_restarts(self, terminated: bool, after_ms: int, reconnected: bool) -> None:
        if terminated:
            self.call.terminate()
            self.look()
        self.call.room = decode_room(encode_room(self.call.room))
        ready = ControllerReady(Instant(self.call.wall_ms + after_ms, 0))
        once, _ = step(self.call.room, ready, self.call.rules)
        assert step(once, ready, self.call.rules)[0] == once  # twice is no more than once
        self.call.restart(after_ms=after_ms, mono_ms=0, reconnected=reconnected)
        self.phase_since_ms = self.elapsed_ms
        self.look()

    @rule(permissions=PERMISSIONS)
    def permissions_change(self, permissions: OwnerPermissions) -> None:
        self.call.permissions = permissions

    # What the plane says

    @rule(
        data=st.data(), how=st.sampled_from(("ok", "ok", "ok", "refuse")), files=st.integers(0, 2)
    )
    @precondition(lambda self: self.open_asks)
    def plane_answers(self, data: st.DataObject, how: str, files: int) -> None:
        request = data.draw(st.sampled_from(self.open_asks))
        self.open_asks.remove(request)
        self.answer(request, how, files)

    @rule()
    @precondition(lambda self: self.open_asks)
    def plane_answers_all(self) -> None:
        for request in self.open_asks:
            self.answer(request, "ok", 1)
        self.open_asks.clear()

    @rule(
        number=st.integers(1, 4),
        medium=st.sampled_from(Medium),
        what=st.sampled_from(("started", "failed", "changed", "stopped", "lost")),
        files=st.integers(0, 2),
    )
    def plane_says_anything(self, number: int, medium: Medium, what: str, files: int) -> None:
        self.say(CaptureRef(self.call.room.uuid, SegmentNo(number), medium), what, files)

    @rule()
    def plane_is_back(self) -> None:
        self.call.plane_back()
        self.look()

    # The machinery

    def ask(self, what: str, *args: object, **how: object) -> str | None:
        """Request something; the code of the refusal at once. Refused changes nothing."""
        before = self.call.room
        try:
            self.refs.append(getattr(self.call, what)(*args, **how))
        except Refused as refused:
            assert self.call.room is before
            self.look()
            return refused.code
        self.look()
        return None

    def answer(
        self, request: StartCapture | StopCapture | ResumeCapture, how: str, files: int
    ) -> None:
        match request:
            case StopCapture(capture=capture):
                self.say(capture, "stopped", 0)
            case ResumeCapture(capture=capture):
                self.say(capture, "started" if how == "ok" else "lost", 0)
            case StartCapture(capture=capture):
                self.say(capture, "started" if how == "ok" else "failed", files)

    def say(self, ref: CaptureRef, what: str, new_files: int) -> None:
        """A fact; files are opened where it says so, and closed where it is over."""
        segment = self.call.room.segments.get(ref.segment)
        known = self.files.setdefault(ref, {})
        now_ms = self.call.wall_ms
        for number in range(new_files if what != "failed" else 0):
            name = f"{ref.medium}{ref.segment}-{len(known)}"
            known[name] = replace(
                video_file("alice", now_ms, holds_media=number == 0), filename=name
            )
        over = what in ("stopped", "lost")
        for name, file in known.items():
            if over and file.stopped_ms is None:
                known[name] = replace(file, stopped_ms=now_ms)
        files = tuple(known.values())
        if segment is None or segment.capture(ref.medium) is None:
            known.clear()  # nobody asked for it; it must be passed over
        match what:
            case "started":
                self.call.fact(CaptureStarted(ref, now_ms, files))
            case "failed":
                self.call.fact(CaptureFailed(ref, "refused"))
            case "changed":
                self.call.fact(CaptureChanged(ref, files))
            case "stopped":
                self.call.fact(CaptureStopped(ref, now_ms, files))
            case _:
                self.call.fact(CaptureLost(ref, now_ms - 50, files, "lost"))
        self.look()

    def let_pass(self, ms: int) -> None:
        """In pieces, so that the age of a phase is seen."""
        until_ms = self.elapsed_ms + ms
        while self.elapsed_ms < until_ms:
            due_ms = next_due_ms(self.call.room)
            piece_ms = until_ms - self.elapsed_ms
            if due_ms is not None:
                piece_ms = min(piece_ms, max(1, due_ms - self.call.mono_ms))
            self.elapsed_ms += piece_ms
            self.call.wait(piece_ms)
            self.look()
            assert self.age_ms <= PHASE_LIMIT_MS

    @property
    def age_ms(self) -> int:
        waits = self.call.room.capture in (Phase.STARTING, Phase.STOPPING)
        return self.elapsed_ms - self.phase_since_ms if waits else 0

    def look(self) -> None:
        """Judge what was said since the last look."""
        room = self.call.room
        if self.before.life is Life.WAITING and room.life is Life.ESTABLISHED:
            assert bool(room.segments) is Oracle(self.call).begins_by_itself()
        if room.capture is not self.before.capture or len(room.segments) != len(
            self.before.segments
        ):
            self.phase_since_ms = self.elapsed_ms
        self.before = room
        for effect in self.call.effects[self.told :]:
            self.judge(effect)
        self.told = len(self.call.effects)

    def judge(self, effect: Effect) -> None:
        match effect:
            case Reply(ref=ref):
                self.answers[ref] += 1
                assert self.answers[ref] == 1
                if isinstance(effect.answer, Started):
                    self.started[effect.answer.segment.number] += 1
                    assert self.started[effect.answer.segment.number] == 1
            case Request(request=StartCapture() | StopCapture() | ResumeCapture() as request):
                self.open_asks.append(request)
            case Announce(announcement=SegmentInfo() as info):
                self.judge_info(info)
            case Announce(announcement=RecordingStarted(segment=segment)):
                assert segment.number not in self.ran
                assert segment.started is not None
                self.ran.add(segment.number)
            case Announce(announcement=RecordingStopped(segment=segment)):
                self.over[segment.number] += 1
                assert segment.reason is not None
                assert segment.duration_ms is not None
                assert segment.duration_ms >= 0
                assert self.infos[segment.number] == 1
            case Announce(announcement=RecordingFailed(segment=segment)):
                self.over[segment.number] += 1
                assert segment.number not in self.ran
            case _:
                pass

    def judge_info(self, info: SegmentInfo) -> None:
        assert info.segment is not None
        self.infos[info.segment] += 1
        assert info.started_ms <= info.completed_ms
        for file in info.video + info.audio:
            assert file.stopped_ms is not None
            assert info.started_ms <= file.started_ms <= file.stopped_ms <= info.completed_ms
        for stay in info.presences:
            assert info.started_ms <= stay.joined_ms <= stay.left_ms <= info.completed_ms
        for medium, said in ((Medium.VIDEO, info.video), (Medium.AUDIO, info.audio)):
            ref = CaptureRef(info.uuid, info.segment, medium)
            known = self.files.get(ref, {}).values()
            assert {f.filename for f in said} == {f.filename for f in known if f.holds_media}
        assert info.incomplete == (info.reason is not None)
        assert parse_event(encode_announcement(info).body).segment == info.segment

    @invariant()
    def the_state_survives_being_stored(self) -> None:
        assert decode_room(encode_room(self.call.room)) == self.call.room

    @invariant()
    def segments_are_numbered_and_one_is_open_at_most(self) -> None:
        room = self.call.room
        assert [each.number for each in room.segments] == list(range(1, len(room.segments) + 1))
        still_open = [each.number for each in room.segments if each.outcome is None]
        assert still_open == ([] if room.capture is Phase.IDLE else [len(room.segments)])

    @invariant()
    def who_has_ended_wants_nothing(self) -> None:
        room = self.call.room
        if room.life is Life.ENDED:
            assert not room.participants
            assert room.wanted is None
            assert room.open_by_ms is None

    @invariant()
    def who_waits_has_no_answer_and_the_others_have_one(self) -> None:
        waiting = {each.ref for each in self.call.room.waiting}
        assert all((ref in waiting) == (self.answers[ref] == 0) for ref in self.refs)

    @invariant()
    def an_open_room_with_something_to_wait_for_has_a_deadline(self) -> None:
        room = self.call.room
        waits = room.capture in (Phase.STARTING, Phase.STOPPING) or room.life is Life.WAITING
        wants = room.wanted is not None and room.capture is Phase.IDLE and not room.halted
        assert next_due_ms(room) is not None or not (waits or wants)

    @invariant()
    def a_segment_ends_at_its_limits(self) -> None:
        room, limits = self.call.room, self.call.rules.limits
        if room.capture is not Phase.RECORDING:
            return
        segment = room.segments[-1]
        assert segment.started is not None
        age_ms = self.call.mono_ms - segment.started.mono_ms
        recorded_ms = self.call.recorded_ms + age_ms
        over = [
            limits.max_segment_ms and age_ms >= limits.max_segment_ms,
            limits.max_room_ms and recorded_ms >= limits.max_room_ms,
        ]
        due_ms = next_due_ms(room)
        assert not any(over) or (due_ms is not None and due_ms <= self.call.mono_ms)

    @invariant()
    def what_is_recorded_without_its_owner_is_noticed(self) -> None:
        room, limits = self.call.room, self.call.rules.limits
        absent = all(each.key != ALICE for each in room.participants)
        assert room.unattended is (absent and room.capture is Phase.RECORDING)
        if room.unattended and limits.unattended_ms:
            assert room.absence is not None
            assert room.absence.stop_by_ms is not None

    @invariant()
    def a_pause_is_one_of_a_room_that_goes_on(self) -> None:
        room = self.call.room
        if room.paused:
            assert room.life is Life.ESTABLISHED
            assert room.wanted is not None
            assert room.wanted.due_ms is not None

    def teardown(self) -> None:
        """In the end nothing is open, nobody waits, and every segment has had its say."""
        if not hasattr(self, "call"):
            return
        if self.call.room.life is not Life.ENDED:
            self.ask("end", SERVICE)
        self.let_pass(31_000)
        room = self.call.room
        assert room.capture is Phase.IDLE
        assert not room.waiting
        self.let_pass(31_000)
        self.check_reports()
        while self.open_asks:
            self.answer(self.open_asks.pop(), "ok", 0)
        self.let_pass(31_000)
        self.check_reports()
        assert self.call.room.fully_closed

    def check_reports(self) -> None:
        for segment in self.call.room.segments:
            number = segment.number
            wrote = any(
                file.holds_media
                for medium in Medium
                for file in self.files.get(
                    CaptureRef(self.call.room.uuid, number, medium), {}
                ).values()
            )
            assert self.over[number] == 1
            assert self.infos[number] == (1 if wrote or number in self.ran else 0)
