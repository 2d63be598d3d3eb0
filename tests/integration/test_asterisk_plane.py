"""Asterisk as the mixer: false answers, missing events, and captures across its failures.

Against a server of our own that speaks the exact texts of a real one (``tests.helpers.ami``).
"""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from sfu_wrapper.adapters.asterisk import conference, folder, recording_file, watch
from sfu_wrapper.adapters.asterisk.conference import (
    ALREADY_RECORDED,
    BUSY,
    CUT,
    NOT_FINISHED,
    NOT_WRITTEN,
    STOPPED_ELSEWHERE,
    TAKEN,
    UNREACHABLE,
)
from sfu_wrapper.adapters.asterisk.folder import Folder
from sfu_wrapper.adapters.asterisk.plane import AsteriskPlane, AsteriskSettings
from sfu_wrapper.adapters.os.beneath import open_plain
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.core.facts import (
    CaptureChanged,
    CaptureFailed,
    CaptureLost,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    PlaneBack,
)
from sfu_wrapper.core.requests import (
    CloseMediaRoom,
    OpenMediaRoom,
    ResumeCapture,
    StartCapture,
    StopCapture,
)
from sfu_wrapper.formats.wav import parse
from sfu_wrapper.model.errors import Misconfigured
from sfu_wrapper.model.ids import ConfbridgeId, RoomUuid, SegmentNo
from sfu_wrapper.model.media import Medium, RawFile, Stream
from sfu_wrapper.ports.trunk import CallArrived, CallEntered, CallLeft, CallsPresent, TrunkCall
from tests.helpers.ami import FakeAsterisk, Leg, asterisk
from tests.helpers.gatewaylive import until
from tests.helpers.planes import (
    AUDIO,
    BRIDGE,
    ROOM,
    VIDEO,
    Bench,
    asterisk_plane,
    running,
    start,
    voice,
)

T = TypeVar("T")
SECOND = CaptureRef(ROOM, SegmentNo(2), Medium.AUDIO)
OTHER = CaptureRef(RoomUuid("room-2"), SegmentNo(1), Medium.AUDIO)
PHONE = Leg("PJSIP/trunk-00000000", "1795484911.95", "from-trunk", "34900123456", "34600111222")


@dataclass(slots=True)
class World:
    """Scripted Asterisk, and a plane that is connected to it."""

    server: FakeAsterisk
    bench: Bench
    plane: AsteriskPlane
    folder: Path

    def path(self, file: RawFile) -> Path:
        return self.folder / file.filename


@asynccontextmanager
async def connected(
    server: FakeAsterisk, folder: Path, *, delay_ms: int = 0
) -> AsyncIterator[World]:
    plane = asterisk_plane(server.settings, folder, delay_ms=delay_ms)
    async with running(plane) as bench:
        await bench.until(PlaneBack)
        yield World(server, bench, plane, folder)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten limits: this server writes 40 times as often as a real one."""
    monkeypatch.setattr(folder, "GROWS_WITHIN_S", 2.0)


@pytest.fixture
async def here(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with asterisk(tmp_path) as server:
        server.answer_s = getattr(request, "param", server.answer_s)
        async with connected(server, tmp_path, delay_ms=120) as world:
            yield world


impatient = pytest.mark.parametrize("here", [1.0], indirect=True, ids=["impatient"])
"""Settings for tests in which an answer never comes."""


async def test_a_segment_has_a_file_of_its_own_name(here: World) -> None:
    here.server.enter(BRIDGE)
    started = await here.bench.start(AUDIO, voice("alice"))
    here.bench.tell(StopCapture(AUDIO))
    stopped = await here.bench.until(CaptureStopped)

    (file,) = stopped.files
    assert file.filename == "room-1/recording-bridge-1-1.wav"
    assert (file.mixer, file.delay_ms) == ("asterisk", 120)
    assert file.started_ms == started.started_ms
    assert file.stopped_ms == stopped.stopped_ms
    wav = parse(here.path(file).read_bytes())
    assert wav is not None
    assert wav.truthful


async def test_an_existing_file_is_never_appended_to(here: World) -> None:
    (here.folder / "room-1").mkdir()
    (here.folder / "room-1/recording-bridge-1-1.wav").write_bytes(b"an earlier try's")
    here.server.enter(BRIDGE)
    started = await here.bench.start(AUDIO)

    assert [file.filename for file in started.files] == ["room-1/recording-bridge-1-1.2.wav"]
    assert (here.folder / "room-1/recording-bridge-1-1.wav").read_bytes() == b"an earlier try's"


async def test_a_start_is_accepted_for_an_empty_conference_without_speakers(here: World) -> None:
    started = await here.bench.start(AUDIO)
    here.server.enter(BRIDGE)
    changed = await here.bench.until(CaptureChanged)

    assert started.files == ()
    assert [file.stopped_ms for file in changed.files] == [None]


async def test_a_start_with_a_published_track_waits_for_the_first_member(
    here: World,
) -> None:
    here.bench.tell(start(AUDIO, voice("alice")))
    await until(lambda: _asked(here.server, "ConfbridgeStartRecord") == 1)
    here.server.enter("another")
    here.server.enter(BRIDGE)
    started = await here.bench.next()

    assert isinstance(started, CaptureStarted)
    assert len(started.files) == 1


async def test_a_start_given_up_in_an_empty_conference_records_nothing(
    here: World,
) -> None:
    here.bench.tell(start(AUDIO, voice("alice")), StopCapture(AUDIO))
    stopped = await here.bench.until(CaptureStopped)
    here.server.enter(BRIDGE)
    here.bench.tell(StopCapture(SECOND))
    await here.bench.until(CaptureStopped, SECOND)

    assert stopped.files == ()
    assert _asked(here.server, "ConfbridgeStartRecord") == 1


async def test_the_last_member_to_leave_ends_a_file_and_the_next_begins_another(
    here: World,
) -> None:
    leg = here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.server.leave(BRIDGE, leg)
    ended = await here.bench.until(CaptureChanged)
    here.server.enter(BRIDGE)
    again = await here.bench.until(CaptureChanged)
    here.bench.tell(StopCapture(AUDIO))
    stopped = await here.bench.until(CaptureStopped)

    assert [file.stopped_ms is None for file in ended.files] == [False]
    assert [file.stopped_ms is None for file in again.files] == [False, True]
    assert [file.filename for file in stopped.files] == [
        "room-1/recording-bridge-1-1.wav",
        "room-1/recording-bridge-1-1.2.wav",
    ]


async def test_a_recording_stopped_by_another_client_is_lost(here: World) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.server.stop_elsewhere(BRIDGE)
    lost = await here.bench.until(CaptureLost)
    again = await here.bench.start(AUDIO)

    assert lost.message == STOPPED_ELSEWHERE
    assert lost.files[0].stopped_ms == lost.stopped_ms
    assert [file.stopped_ms is None for file in again.files] == [False, True]


async def test_a_recording_with_a_gap_is_reported_as_lost(here: World) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.server.stall()
    await asyncio.sleep(1.2)
    here.bench.tell(StopCapture(AUDIO))
    lost = await here.bench.until(CaptureLost)
    here.bench.tell(StopCapture(AUDIO))
    stopped = await here.bench.until(CaptureStopped)

    assert lost.message == CUT
    assert lost.files == stopped.files


async def test_a_conference_recorded_by_another_client_is_not_touched(here: World) -> None:
    here.server.enter(BRIDGE)
    here.server.record_elsewhere(BRIDGE)
    here.bench.tell(start(AUDIO))
    failed = await here.bench.until(CaptureFailed)

    assert failed.message == ALREADY_RECORDED
    assert _asked(here.server, "ConfbridgeStopRecord") == 0


@pytest.fixture
def watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten intervals of checks: a real Asterisk writes every two seconds only."""
    monkeypatch.setattr(watch, "PERIOD_S", 0.05)
    monkeypatch.setattr(watch, "CLOSED_S", 0.2)
    monkeypatch.setattr(watch, "STALLED_S", 0.6)


@pytest.mark.usefixtures("watchful")
async def test_a_file_that_stops_growing_is_detected_and_another_is_started(here: World) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.server.stall()
    lost = await here.bench.until(CaptureLost)
    again = await here.bench.start(AUDIO)

    assert lost.message == NOT_WRITTEN
    assert [file.stopped_ms is None for file in lost.files] == [False]
    assert [file.stopped_ms is None for file in again.files] == [False, True]
    assert _asked(here.server, "ConfbridgeStopRecord") == 1, "the one that was given up"


@pytest.mark.usefixtures("watchful")
async def test_a_file_closed_without_an_event_is_detected(here: World) -> None:
    here.server.enter(BRIDGE)
    (file,) = (await here.bench.start(AUDIO)).files
    here.server.stall()
    whole = here.path(file).read_bytes()
    here.path(file).write_bytes(_closed(whole))
    lost = await here.bench.until(CaptureLost)

    assert lost.message == NOT_WRITTEN


@pytest.mark.usefixtures("watchful")
async def test_a_hanging_asterisk_does_not_count_as_a_stopped_recording(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.server.silent = {"Ping"}
    here.server.stall()
    looks = asyncio.Semaphore(0)
    is_awake = watch.FileWatch._is_awake

    async def noted(self: watch.FileWatch) -> bool:
        looks.release()
        return await is_awake(self)

    monkeypatch.setattr(watch, "_PROMPT_S", 0.02)
    monkeypatch.setattr(watch.FileWatch, "_is_awake", noted)
    for _ in range(20):
        await looks.acquire()
    here.bench.tell(StopCapture(AUDIO))
    fact = await here.bench.next()

    assert isinstance(fact, CaptureStopped | CaptureLost)
    assert not isinstance(fact, CaptureLost) or fact.message == CUT


@pytest.mark.usefixtures("watchful")
async def test_no_requests_are_sent_while_nothing_is_recorded(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, asked = asyncio.Semaphore(0), list[str]()
    look = watch.FileWatch._check

    async def noted(self: watch.FileWatch) -> None:
        looks.release()
        await look(self)

    async def awake(self: watch.FileWatch) -> bool:
        asked.append("Ping")
        return True

    monkeypatch.setattr(watch.FileWatch, "_check", noted)
    monkeypatch.setattr(watch.FileWatch, "_is_awake", awake)
    here.server.enter(BRIDGE)
    here.bench.tell(OpenMediaRoom(ROOM, BRIDGE))
    for _ in range(10):
        await looks.acquire()

    assert asked == []


async def test_a_conference_of_another_room_is_neither_recorded_nor_stopped(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conference, "TURN_WITHIN_S", 0.1)
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.bench.tell(StartCapture(OTHER, ConfbridgeId(BRIDGE.upper()), ()))
    failed = await here.bench.until(CaptureFailed, OTHER)
    here.bench.tell(StopCapture(OTHER), CloseMediaRoom(OTHER.room))
    await here.bench.until(CaptureStopped, OTHER)

    assert failed.message == TAKEN
    assert here.server.recording
    assert _asked(here.server, "ConfbridgeStopRecord") == 0


async def test_a_room_gets_the_conference_of_an_earlier_room_once_that_releases_it(
    here: World,
) -> None:
    here.server.enter(BRIDGE)
    (first,) = (await here.bench.start(AUDIO)).files
    here.bench.tell(StartCapture(OTHER, BRIDGE, ()))
    here.bench.tell(StopCapture(AUDIO), CloseMediaRoom(ROOM))
    started = await here.bench.until(CaptureStarted, OTHER)
    here.bench.tell(StopCapture(OTHER))
    (second,) = (await here.bench.until(CaptureStopped, OTHER)).files

    assert [file.filename for file in started.files] == [second.filename]
    assert first.filename != second.filename


async def test_the_end_of_an_earlier_conference_of_the_same_name_is_ignored(
    here: World,
) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    late = f"Event: ConfbridgeStopRecord\r\nConference: {BRIDGE}\r\nBridgeUniqueid: earlier\r\n\r\n"
    here.server.send(late.encode())
    here.bench.tell(StopCapture(AUDIO))
    fact = await here.bench.next()

    assert isinstance(fact, CaptureStopped)
    assert _asked(here.server, "ConfbridgeStopRecord") == 1


async def test_success_without_a_file_is_a_failure(here: World) -> None:
    here.server.enter(BRIDGE)
    here.server.writable = False
    here.bench.tell(start(AUDIO))
    failed = await here.bench.until(CaptureFailed)

    assert "room-1/recording-bridge-1-1.wav does not exist" in failed.message


async def test_success_without_an_event_is_a_failure(here: World) -> None:
    here.server.enter(BRIDGE)
    here.server.mute = True
    here.bench.tell(start(AUDIO))
    failed = await here.bench.until(CaptureFailed)

    assert "manager.conf" in failed.message
    assert _asked(here.server, "ConfbridgeStopRecord") == 1


async def test_a_user_without_the_right_to_record_is_refused_with_the_reason(here: World) -> None:
    here.server.enter(BRIDGE)
    here.server.denied = {"ConfbridgeStartRecord"}
    here.bench.tell(start(AUDIO))

    assert (await here.bench.until(CaptureFailed)).message == "Asterisk refused: Permission denied"


async def test_a_name_that_could_leave_the_folder_is_refused(here: World) -> None:
    here.bench.tell(StartCapture(AUDIO, ConfbridgeId("../x,,touch y"), ()))

    assert "cannot be part of a file name" in (await here.bench.until(CaptureFailed)).message
    assert _asked(here.server, "ConfbridgeStartRecord") == 0


async def test_a_capture_of_video_is_refused(here: World) -> None:
    here.bench.tell(start(VIDEO))

    assert (await here.bench.until(CaptureFailed)).capture == VIDEO


async def test_names_of_conferences_are_compared_without_case(here: World) -> None:
    here.server.enter("Bridge-1")
    started = await here.bench.start(AUDIO, voice("alice"))

    assert len(started.files) == 1


@impatient
async def test_a_stop_that_is_not_answered_is_not_confirmed(here: World) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.server.silent = {"ConfbridgeStopRecord"}
    here.bench.tell(StopCapture(AUDIO))
    await until(lambda: _asked(here.server, "ConfbridgeStopRecord") == 1)
    await asyncio.sleep(0)
    here.server.silent = set()
    here.bench.tell(StopCapture(AUDIO))
    stopped = await here.bench.next()

    assert isinstance(stopped, CaptureStopped)
    assert len(stopped.files) == 1


async def test_a_recording_whose_end_was_missed_can_be_stopped(here: World) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.server.mute = True
    here.server.stop_elsewhere(BRIDGE)
    here.bench.tell(StopCapture(AUDIO))
    stopped = await here.bench.until(CaptureStopped)

    assert stopped.files[0].stopped_ms is not None


async def test_a_lost_link_alone_does_not_end_a_recording(here: World) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.server.drop()
    await here.bench.until(PlaneBack)
    here.bench.tell(StopCapture(AUDIO))
    fact = await here.bench.next()

    assert isinstance(fact, CaptureStopped)
    assert len(fact.files) == 1


async def test_a_start_whose_answer_was_lost_is_recognized(here: World) -> None:
    here.server.enter(BRIDGE)
    here.server.silent = {"ConfbridgeStartRecord"}
    here.bench.tell(start(AUDIO))
    await until(lambda: _asked(here.server, "ConfbridgeStartRecord") == 1)
    here.server.begin_in_silence(BRIDGE, here.folder / "room-1/recording-bridge-1-1.wav")
    here.server.silent = set()
    here.server.drop()
    started = await here.bench.until(CaptureStarted)

    assert [file.filename for file in started.files] == ["room-1/recording-bridge-1-1.wav"]


@impatient
async def test_a_start_that_is_carried_out_late_is_confirmed_late(here: World) -> None:
    here.server.enter(BRIDGE)
    here.server.silent = {"ConfbridgeStartRecord"}
    here.bench.tell(start(AUDIO))
    await until(lambda: _asked(here.server, "ConfbridgeStartRecord") == 1)
    await asyncio.sleep(here.server.settings.timeout_s)  # until it is given up
    here.server.silent = set()
    here.server.begin(BRIDGE, here.folder / "room-1/recording-bridge-1-1.wav")
    started = await here.bench.until(CaptureStarted)

    assert [file.filename for file in started.files] == ["room-1/recording-bridge-1-1.wav"]


@impatient
async def test_a_start_with_unknown_outcome_is_not_refused_while_asterisk_is_unavailable(
    here: World,
) -> None:
    here.server.enter(BRIDGE)
    here.server.silent = {"ConfbridgeStartRecord"}
    here.bench.tell(start(AUDIO))
    await until(lambda: _asked(here.server, "ConfbridgeStartRecord") == 1)
    here.server.begin_in_silence(BRIDGE, here.folder / "room-1/recording-bridge-1-1.wav")
    here.server.silent = {"Login"}
    here.server.drop()
    await until(lambda: not here.plane.is_there(Medium.AUDIO))
    here.bench.tell(start(AUDIO))
    here.server.silent = set()
    fact = await here.bench.next()
    while isinstance(fact, PlaneBack):
        fact = await here.bench.next()

    assert isinstance(fact, CaptureStarted)
    assert len(fact.files) == 1


@impatient
async def test_a_room_that_is_closed_before_its_stop_is_confirmed_is_forgotten_afterwards(
    here: World,
) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.server.silent = {"ConfbridgeStopRecord"}
    here.bench.tell(CloseMediaRoom(ROOM))
    await until(lambda: _asked(here.server, "ConfbridgeStopRecord") == 1)
    here.server.silent = set()
    here.bench.tell(StopCapture(AUDIO))
    await here.bench.until(CaptureStopped)
    await until(lambda: not here.plane._rooms)


@impatient
async def test_a_segment_waits_until_the_previous_one_has_ended(here: World) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.server.silent = {"ConfbridgeStopRecord"}
    here.bench.tell(start(SECOND))
    failed = await here.bench.until(CaptureFailed)
    here.server.silent = set()
    here.bench.tell(start(SECOND))
    stopped = await here.bench.until(CaptureStopped)
    started = await here.bench.until(CaptureStarted)

    assert (failed.capture, failed.message) == (SECOND, BUSY)
    assert (stopped.capture, started.capture) == (AUDIO, SECOND)


@impatient
async def test_a_stray_recording_of_a_frozen_asterisk_does_not_prevent_the_next_segment(
    here: World,
) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.server.freeze()
    lost = await here.bench.until(CaptureLost)
    here.server.thaw()
    await here.bench.until(PlaneBack)
    started = await here.bench.start(SECOND)

    assert lost.message == NOT_WRITTEN
    assert [file.filename for file in started.files] == ["room-1/recording-bridge-1-2.wav"]


@impatient
async def test_a_stray_recording_is_stopped_even_if_its_room_is_closed(
    here: World,
) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.server.freeze()
    await here.bench.until(CaptureLost)
    here.bench.tell(CloseMediaRoom(ROOM))
    here.server.thaw()
    await until(lambda: not here.server.recording)


async def test_without_a_shared_folder_the_events_suffice_for_a_user_that_may_only_record(
    tmp_path: Path,
) -> None:
    async with asterisk(tmp_path) as server:
        server.enter(BRIDGE)
        settings = AsteriskSettings(server.settings, Folder(None, str(tmp_path)))
        async with running(AsteriskPlane(settings, SystemClock())) as bench:
            await bench.until(PlaneBack)
            server.silent = {"ConfbridgeStartRecord"}
            bench.tell(start(AUDIO))
            await until(lambda: _asked(server, "ConfbridgeStartRecord") == 1)
            server.begin_in_silence(BRIDGE, tmp_path / "room-1/recording-bridge-1-1.wav")
            server.silent = set()
            server.drop()
            started = await bench.until(CaptureStarted)
            server.mute = True
            server.stop_elsewhere(BRIDGE)
            bench.tell(StopCapture(AUDIO))
            stopped = await bench.until(CaptureStopped)

    assert started.started_ms <= stopped.stopped_ms == stopped.files[0].stopped_ms


async def test_a_killed_asterisk_loses_its_recordings(here: World) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    await here.server.kill()
    lost = await here.bench.until(CaptureLost)

    assert lost.message == NOT_WRITTEN
    assert lost.files[0].filename == "room-1/recording-bridge-1-1.wav"
    assert lost.stopped_ms == lost.files[0].stopped_ms
    assert not here.plane.is_there(Medium.AUDIO)


async def test_a_start_is_refused_while_asterisk_is_unavailable_and_its_recovery_is_reported(
    here: World,
) -> None:
    await here.server.kill()
    await until(lambda: not here.plane.is_there(Medium.AUDIO))
    here.bench.tell(start(AUDIO))
    failed = await here.bench.until(CaptureFailed)
    await here.server.start()

    assert failed.message == UNREACHABLE
    assert (await here.bench.until(PlaneBack)).medium is Medium.AUDIO


async def test_a_restarted_controller_continues_a_running_recording(tmp_path: Path) -> None:
    async with asterisk(tmp_path) as server:
        server.enter(BRIDGE)
        known = _growing(server, tmp_path)
        async with connected(server, tmp_path) as after:
            after.bench.tell(OpenMediaRoom(ROOM, BRIDGE), ResumeCapture(AUDIO, (known,)))
            resumed = await after.bench.until(CaptureStarted)
            after.bench.tell(StopCapture(AUDIO))
            stopped = await after.bench.until(CaptureStopped)

    assert resumed.files == (known,)
    assert [file.filename for file in stopped.files] == [known.filename]


async def test_a_file_started_just_before_a_crash_is_found(tmp_path: Path) -> None:
    async with asterisk(tmp_path) as server:
        server.enter(BRIDGE)
        known = _growing(server, tmp_path)
        async with connected(server, tmp_path) as after:
            after.bench.tell(OpenMediaRoom(ROOM, BRIDGE), StopCapture(AUDIO))
            stopped = await after.bench.until(CaptureStopped)

    assert [file.filename for file in stopped.files] == [known.filename]


async def test_a_file_closed_in_the_meantime_ends_with_its_audio(here: World) -> None:
    leg = here.server.enter(BRIDGE)
    known = _growing(here.server, here.folder)
    here.server.leave(BRIDGE, leg)
    here.server.enter(BRIDGE)  # and might have been heard since
    here.bench.tell(OpenMediaRoom(ROOM, BRIDGE), ResumeCapture(AUDIO, (known,)))
    lost = await here.bench.until(CaptureLost)

    (file,) = lost.files
    assert file.stopped_ms == known.started_ms == lost.stopped_ms


async def test_a_file_ended_by_the_last_member_in_the_meantime_is_complete(
    here: World,
) -> None:
    leg = here.server.enter(BRIDGE)
    known = _growing(here.server, here.folder)
    here.server.leave(BRIDGE, leg)
    here.bench.tell(OpenMediaRoom(ROOM, BRIDGE), ResumeCapture(AUDIO, (known,)))
    resumed = await here.bench.until(CaptureStarted)
    here.server.enter(BRIDGE)
    changed = await here.bench.until(CaptureChanged)

    assert [file.stopped_ms is None for file in resumed.files] == [False]
    assert [file.stopped_ms is None for file in changed.files] == [False, True]


async def test_a_last_member_that_left_without_a_link_ended_the_file(here: World) -> None:
    leg = here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.server.mute = True
    here.server.drop()
    here.server.leave(BRIDGE, leg)
    changed = await here.bench.until(CaptureChanged)

    assert [file.stopped_ms is None for file in changed.files] == [False]


async def test_an_old_recording_of_the_same_conference_is_ignored(
    here: World,
) -> None:
    (here.folder / "room-1").mkdir()
    (here.folder / "room-1/recording-bridge-1-1.wav").write_bytes(b"an earlier try's")
    here.bench.tell(OpenMediaRoom(ROOM, BRIDGE), ResumeCapture(AUDIO, ()))

    assert (await here.bench.until(CaptureLost)).files == ()


async def test_a_room_that_is_closed_is_forgotten_once_it_has_stopped(here: World) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.bench.tell(CloseMediaRoom(ROOM), StopCapture(AUDIO))
    stopped = [await here.bench.until(CaptureStopped), await here.bench.until(CaptureStopped)]
    await until(lambda: not here.plane._rooms)

    assert len(stopped[0].files) == 1


@pytest.mark.parametrize("theirs", ["mixes", "/mixes,,touch x", "/mixes/../etc", "/a\r\nb"])
def test_a_folder_that_asterisk_would_misread_is_refused(theirs: str) -> None:
    with pytest.raises(Misconfigured, match=r"asterisk\.audioPath"):
        Folder(None, theirs)


async def test_without_a_shared_folder_the_events_of_asterisk_suffice(tmp_path: Path) -> None:
    folder = Folder(None, "/there")

    assert folder.record_file("a.wav") == "/there/a.wav"
    assert await folder.appears("a.wav", 0)
    assert await folder.becomes_whole("a.wav", 0)
    assert await folder.began_ms("a.wav") == 0
    assert await folder.found(AUDIO, BRIDGE) == ()


async def test_a_trunk_call_is_reported_from_its_announcement_to_its_end(here: World) -> None:
    calls = here.plane.calls()
    assert await anext(calls) == CallsPresent(())
    here.server.announce("pstn-1", PHONE, CallerNum="+34 600", Did="34900", RoomId="sales")
    here.server.enter("pstn-1", PHONE)
    here.server.enter("pstn-1")
    here.server.leave("pstn-1", PHONE)

    call = TrunkCall(PHONE.unique_id, ConfbridgeId("pstn-1"), "+34 600", "34900", "sales")
    assert [await anext(calls) for _ in range(3)] == [
        CallArrived(call),
        CallEntered(call.id),
        CallLeft(call.id),
    ]


async def test_an_announcement_may_name_who_is_invited(here: World) -> None:
    calls = here.plane.calls()
    await anext(calls)
    here.server.announce("pstn-1", PHONE, Invite="alice, bob carol")
    arrived = await anext(calls)

    assert isinstance(arrived, CallArrived)
    assert arrived.call.invited == ("alice", "bob", "carol")
    assert arrived.call.caller == PHONE.number


async def test_a_call_with_an_invalid_conference_is_ignored(
    here: World, caplog: pytest.LogCaptureFixture
) -> None:
    here.server.announce("../x", PHONE)
    await until(lambda: any(r.message == "asterisk.callInvalid" for r in caplog.records))


async def test_calls_that_arrived_without_a_link_are_found(tmp_path: Path) -> None:
    async with asterisk(tmp_path) as server:
        server.enter("pstn-1", PHONE)
        server.enter("pstn-1")
        async with connected(server, tmp_path) as world:
            present = await anext(world.plane.calls())

    call = TrunkCall(PHONE.unique_id, ConfbridgeId("pstn-1"), PHONE.number, PHONE.exten)
    assert present == CallsPresent((call,))


async def test_without_the_right_to_list_conferences_no_calls_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with asterisk(tmp_path) as server:
        server.denied = {"ConfbridgeListRooms"}
        async with connected(server, tmp_path):
            await until(lambda: any(r.message == "asterisk.listFailed" for r in caplog.records))


async def test_a_call_can_be_hung_up(here: World) -> None:
    calls = here.plane.calls()
    here.server.announce("pstn-1", PHONE)
    here.server.enter("pstn-1", PHONE)
    while not isinstance(await anext(calls), CallEntered):
        pass
    here.plane.hang_up("unheard.of")
    here.plane.hang_up(PHONE.unique_id)
    await until(lambda: here.server.hung_up == [PHONE.channel])


async def test_a_call_can_be_hung_up_before_it_has_entered_its_conference(here: World) -> None:
    calls = here.plane.calls()
    await anext(calls)
    here.server.announce("pstn-1", PHONE)
    assert isinstance(await anext(calls), CallArrived)
    here.plane.hang_up(PHONE.unique_id)
    await until(lambda: here.server.hung_up == [PHONE.channel])


async def test_a_file_that_asterisk_never_finishes_delays_no_other_segment(here: World) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.server.finishes = False
    here.bench.tell(StopCapture(AUDIO), start(SECOND))
    lost = await here.bench.until(CaptureLost, AUDIO)
    started = await here.bench.until(CaptureStarted, SECOND)

    assert lost.message == NOT_FINISHED
    assert [file.stopped_ms is None for file in lost.files] == [False]
    assert [file.filename for file in started.files] == ["room-1/recording-bridge-1-2.wav"]


async def test_an_unreadable_folder_fails_one_recording_and_no_other(
    tmp_path: Path,
) -> None:
    async with asterisk(tmp_path) as server, connected(server, tmp_path / ("x" * 300)) as world:
        server.writable = False
        server.enter(BRIDGE)
        world.bench.tell(start(AUDIO))
        failed = await world.bench.until(CaptureFailed)
        assert "does not exist" in failed.message
        known = RawFile("room-1/recording-bridge-1-1.wav", Stream.AUDIO, 1_000, mixer="asterisk")
        world.bench.tell(ResumeCapture(AUDIO, (known,)))
        lost = await world.bench.until(CaptureLost)

    assert [file.filename for file in lost.files] == [known.filename]


async def test_a_hanging_folder_fails_a_start_and_delays_no_other_room(
    here: World, hung: Callable[[], None]
) -> None:
    here.server.enter(BRIDGE)
    hung()
    here.bench.tell(start(AUDIO, voice("alice")))
    failed = await here.bench.until(CaptureFailed)

    assert failed.message == f"{here.folder} does not answer: check its file server"
    assert _asked(here.server, "ConfbridgeStartRecord") == 0


async def test_a_folder_that_hangs_before_the_end_of_a_call_fails_its_recording(
    here: World, hung: Callable[[], None]
) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    hung()
    here.bench.tell(StopCapture(AUDIO), CloseMediaRoom(ROOM))
    lost = await here.bench.until(CaptureLost)
    await until(lambda: not here.plane._rooms)

    assert lost.message == NOT_FINISHED
    assert [file.stopped_ms is None for file in lost.files] == [False]


async def test_a_capture_of_an_earlier_controller_in_a_hanging_folder_is_lost(
    here: World, hung: Callable[[], None]
) -> None:
    known = RawFile("room-1/recording-bridge-1-1.wav", Stream.AUDIO, 1_000, mixer="asterisk")
    hung()
    here.bench.tell(OpenMediaRoom(ROOM, BRIDGE), ResumeCapture(AUDIO, (known,)))
    lost = await here.bench.until(CaptureLost)

    assert (lost.message, [file.filename for file in lost.files]) == (NOT_WRITTEN, [known.filename])


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Return a function after whose call every check of a mix hangs, as with a dead file server.

    Only threads hang: the event loop must never check files itself.
    """
    answers, lookers = threading.Event(), set[int]()

    def hanging(look: Callable[..., T]) -> Callable[..., T]:
        def looked(path: os.PathLike[str], *args: object, **more: object) -> T:
            if str(path).endswith(".wav"):
                lookers.add(threading.get_ident())
                if threading.get_ident() != loop_thread:
                    answers.wait(30)
            return look(path, *args, **more)

        return looked

    def hang() -> None:
        monkeypatch.setattr(folder, "LOOK_WITHIN_S", 0.2)
        monkeypatch.setattr(recording_file, "WHOLE_WITHIN_S", 0.2)
        monkeypatch.setattr(folder, "open_plain", hanging(open_plain))
        for name in ("stat", "lstat"):
            monkeypatch.setattr(os, name, hanging(getattr(os, name)))

    loop_thread = threading.get_ident()
    yield hang
    answers.set()
    assert loop_thread not in lookers
    assert lookers


def _asked(server: FakeAsterisk, action: str) -> int:
    return sum(asked["Action"] == action for asked in server.asked)


def _closed(data: bytes) -> bytes:
    """Write a WAV file with a true header."""
    riff, sound = (len(data) - 8).to_bytes(4, "little"), (len(data) - 44).to_bytes(4, "little")
    return data[:4] + riff + data[8:40] + sound + data[44:]


def _growing(server: FakeAsterisk, folder: Path) -> RawFile:
    """Start a recording as an earlier controller did, and return its file."""
    name = "room-1/recording-bridge-1-1.wav"
    server.begin_in_silence(BRIDGE, folder / name)
    return RawFile(name, Stream.AUDIO, started_ms=round(time.time() * 1000), mixer="asterisk")
