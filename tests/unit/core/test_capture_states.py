"""States of a capture: the table, and a room that is tried in every state with everything."""

from collections import deque
from collections.abc import Callable, Iterator
from copy import copy
from functools import cache
from typing import Final, get_args

import pytest

from sfu_wrapper.core import captures, segments, timers
from sfu_wrapper.core.lifecycle import CAPTURE_ARROWS, CaptureState, Phase, advance
from sfu_wrapper.core.media_plane import (
    CaptureChanged,
    CaptureFact,
    CaptureFailed,
    CaptureLost,
    CaptureStarted,
    CaptureStopped,
)
from sfu_wrapper.core.room import Capture, Room, Segment
from sfu_wrapper.core.timers import next_due_ms
from sfu_wrapper.model.errors import Refused
from tests.helpers.rooms import ALICE, AUDIO, BOB, MANUAL, VIDEO, Call, video_file

NEEDED: Final = {CaptureState.REQUESTED, CaptureState.RUNNING, CaptureState.FAILED}
TABLE: Final = {(source, trigger): target for trigger, source, target in CAPTURE_ARROWS}
TRIGGERS: Final[dict[type[CaptureFact], str]] = {
    CaptureStarted: "started",
    CaptureFailed: "failed",
    CaptureChanged: "changed",
    CaptureStopped: "stopped",
    CaptureLost: "lost",
}


def deadline(call: Call) -> None:
    due_ms = next_due_ms(call.room)
    if due_ms is not None:
        call.wait(due_ms - call.mono_ms)


# What the plane reports of the video, and all else that can happen to a room with one segment.
FACTS: Final[dict[str, Callable[[Call], object]]] = {
    "started": lambda call: call.confirm(VIDEO, segment=1),
    "failed": lambda call: call.refuse(VIDEO),
    "changed": lambda call: call.change(VIDEO, video_file("alice", call.wall_ms), segment=1),
    "stopped": lambda call: call.close(VIDEO, segment=1),
    "lost": lambda call: call.lose(VIDEO, segment=1),
}
OTHERS: Final[dict[str, Callable[[Call], object]]] = {
    "start": lambda call: call.start(),
    "deadline": deadline,
    "plane is back": lambda call: call.plane_back(VIDEO),
    "stop": lambda call: call.stop(),
    "room ends": lambda call: call.end(),
    "restart": lambda call: call.restart(mono_ms=call.mono_ms),
    "audio started": lambda call: call.confirm(AUDIO, segment=1),
    "audio failed": lambda call: call.refuse(AUDIO),
    "audio stopped": lambda call: call.close(AUDIO, segment=1),
    "audio lost": lambda call: call.lose(AUDIO, segment=1),
}


def key(room: Room) -> tuple[object, ...]:
    """What tells two rooms apart for this purpose."""
    of_segments = [
        (
            segment.outcome,
            segment.announced,
            segment.resumed,
            *(
                (each.state, each.failures > 0, each.unanswered, each.holds_media)
                for each in segment.captures
            ),
        )
        for segment in room.segments
    ]
    return room.life, room.capture, room.wanted is None, *of_segments


def after(call: Call, happens: Callable[[Call], object]) -> Call | None:
    """The call after that; None where it is refused, or goes beyond one segment."""
    later = copy(call)
    later.effects = []
    try:
        happens(later)
    except Refused:
        return None
    return later if len(later.room.segments) <= 1 else None


@cache
def reachable() -> tuple[Call, ...]:
    """A room with one segment, in every state that it can get into."""
    call = Call(policy=MANUAL)
    call.join(ALICE)
    call.join(BOB)
    seen, waiting, found = {key(call.room)}, deque([call]), []
    while waiting:
        before = waiting.popleft()
        found.append(before)
        for happens in (FACTS | OTHERS).values() if before.room.segments else [Call.start]:
            later = after(before, happens)
            if later is not None and key(later.room) not in seen:
                seen.add(key(later.room))
                waiting.append(later)
    return tuple(found)


def with_a_segment() -> Iterator[tuple[Call, Segment, Capture]]:
    """The same, where there is a segment, with its video."""
    for call in reachable():
        for segment in call.room.segments:
            video = segment.capture(VIDEO)
            assert video is not None
            yield call, segment, video


def needs_captures(room: Room, segment: Segment) -> bool:
    return segment.outcome is None and room.capture is not Phase.STOPPING


def test_every_fact_has_an_arrow_from_every_state() -> None:
    assert set(TRIGGERS) == set(get_args(CaptureFact))
    assert set(TRIGGERS.values()) == set(FACTS)
    assert {(state, fact) for state in CaptureState for fact in FACTS} <= set(TABLE)
    assert len(TABLE) == len(CAPTURE_ARROWS), "two arrows for the same"


@pytest.mark.parametrize(("trigger", "source", "target"), CAPTURE_ARROWS)
def test_every_arrow(trigger: str, source: CaptureState, target: CaptureState) -> None:
    assert advance(source, trigger) is target


def test_a_capture_is_running_requested_or_failed_as_long_as_its_segment_needs_it() -> None:
    seen = set()
    for call, segment, _ in with_a_segment():
        needed = needs_captures(call.room, segment)
        for capture in segment.captures:
            seen.add(capture.state)
            assert (capture.state in NEEDED) is needed, key(call.room)
    assert seen == set(CaptureState)


@pytest.mark.parametrize("fact", FACTS)
@pytest.mark.parametrize("state", CaptureState)
def test_a_room_goes_by_the_table(state: CaptureState, fact: str) -> None:
    tried = 0
    for call, segment, video in with_a_segment():
        later = after(call, FACTS[fact]) if video.state is state else None
        if later is None:
            continue
        tried += 1
        now = later.room.segments[0]
        found = now.captures[0].state
        expected = {TABLE[state, fact]}
        if needs_captures(call.room, segment) and not needs_captures(later.room, now):
            # That fact decided the segment, which then let go of its captures.
            decided = {TABLE.get((each, by)) for each in expected for by in ("stop", "release")}
            expected = {each for each in decided if each is not None}
        assert found in expected, key(call.room)
    assert tried > 1


def test_every_arrow_is_used_and_none_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    used = set()

    def noted(state: CaptureState, trigger: str) -> CaptureState:
        if isinstance(state, CaptureState):
            used.add((state, trigger))
        return advance(state, trigger)

    for module in (captures, segments, timers):
        monkeypatch.setattr(module, "advance", noted)
    for call, _, _ in with_a_segment():
        for happens in (FACTS | OTHERS).values():
            after(call, happens)

    assert used == set(TABLE)


def test_a_capture_that_nobody_needs_never_runs_again() -> None:
    needless = set(CaptureState) - NEEDED

    assert {target for (source, _), target in TABLE.items() if source in needless} == needless
