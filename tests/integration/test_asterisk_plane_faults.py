"""Requests that Asterisk refuses, answers late or not at all."""

import asyncio
from pathlib import Path

import pytest

from sfu_wrapper.adapters.asterisk.conference import (
    BUSY,
    NOT_WRITTEN,
)
from sfu_wrapper.adapters.asterisk.folder import Folder
from sfu_wrapper.adapters.asterisk.plane import AsteriskPlane, AsteriskSettings
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.core.media_plane import (
    CaptureFailed,
    CaptureLost,
    CaptureStarted,
    CaptureStopped,
    CloseMediaRoom,
    PlaneBack,
    StartCapture,
    StopCapture,
)
from sfu_wrapper.model.identity import ConfbridgeId
from sfu_wrapper.model.media import Medium
from tests.helpers import asterisk_world
from tests.helpers.ami import asterisk
from tests.helpers.asterisk_world import SECOND, World, _asked
from tests.helpers.planes import (
    AUDIO,
    BRIDGE,
    ROOM,
    VIDEO,
    running,
    start,
    voice,
)
from tests.helpers.wait import until

here = asterisk_world.here
in_a_hurry = asterisk_world.in_a_hurry


impatient = pytest.mark.parametrize("here", [1.0], indirect=True, ids=["impatient"])
"""Settings for tests in which an answer never comes."""


async def test_success_without_a_file_is_a_failure(here: World) -> None:
    here.server.enter(BRIDGE)
    here.server.writable = False
    here.bench.send(start(AUDIO))
    failed = await here.bench.until(CaptureFailed)

    assert "room-1/recording-bridge-1-1.wav does not exist" in failed.message


async def test_success_without_an_event_is_a_failure(here: World) -> None:
    here.server.enter(BRIDGE)
    here.server.mute = True
    here.bench.send(start(AUDIO))
    failed = await here.bench.until(CaptureFailed)

    assert "manager.conf" in failed.message
    assert _asked(here.server, "ConfbridgeStopRecord") == 1


async def test_a_user_without_the_right_to_record_is_refused_with_the_reason(here: World) -> None:
    here.server.enter(BRIDGE)
    here.server.denied = {"ConfbridgeStartRecord"}
    here.bench.send(start(AUDIO))

    assert (await here.bench.until(CaptureFailed)).message == "Asterisk refused: Permission denied"


async def test_a_name_that_could_leave_the_folder_is_refused(here: World) -> None:
    here.bench.send(StartCapture(AUDIO, ConfbridgeId("../x,,touch y"), ()))

    assert "cannot be part of a file name" in (await here.bench.until(CaptureFailed)).message
    assert _asked(here.server, "ConfbridgeStartRecord") == 0


async def test_a_capture_of_video_is_refused(here: World) -> None:
    here.bench.send(start(VIDEO))

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
    here.bench.send(StopCapture(AUDIO))
    await until(lambda: _asked(here.server, "ConfbridgeStopRecord") == 1)
    await asyncio.sleep(0)
    here.server.silent = set()
    here.bench.send(StopCapture(AUDIO))
    stopped = await here.bench.next()

    assert isinstance(stopped, CaptureStopped)
    assert len(stopped.files) == 1


async def test_a_recording_whose_end_was_missed_can_be_stopped(here: World) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.server.mute = True
    here.server.stop_elsewhere(BRIDGE)
    here.bench.send(StopCapture(AUDIO))
    stopped = await here.bench.until(CaptureStopped)

    assert stopped.files[0].stopped_ms is not None


async def test_a_lost_link_alone_does_not_end_a_recording(here: World) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.server.drop()
    await here.bench.until(PlaneBack)
    here.bench.send(StopCapture(AUDIO))
    fact = await here.bench.next()

    assert isinstance(fact, CaptureStopped)
    assert len(fact.files) == 1


async def test_a_start_whose_answer_was_lost_is_recognized(here: World) -> None:
    here.server.enter(BRIDGE)
    here.server.silent = {"ConfbridgeStartRecord"}
    here.bench.send(start(AUDIO))
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
    here.bench.send(start(AUDIO))
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
    here.bench.send(start(AUDIO))
    await until(lambda: _asked(here.server, "ConfbridgeStartRecord") == 1)
    here.server.begin_in_silence(BRIDGE, here.folder / "room-1/recording-bridge-1-1.wav")
    here.server.silent = {"Login"}
    here.server.drop()
    await until(lambda: not here.plane.is_available(Medium.AUDIO))
    here.bench.send(start(AUDIO))
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
    here.bench.send(CloseMediaRoom(ROOM))
    await until(lambda: _asked(here.server, "ConfbridgeStopRecord") == 1)
    here.server.silent = set()
    here.bench.send(StopCapture(AUDIO))
    await here.bench.until(CaptureStopped)
    await until(lambda: not here.plane._rooms)


@impatient
async def test_a_segment_waits_until_the_previous_one_has_ended(here: World) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.server.silent = {"ConfbridgeStopRecord"}
    here.bench.send(start(SECOND))
    failed = await here.bench.until(CaptureFailed)
    here.server.silent = set()
    here.bench.send(start(SECOND))
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
    here.bench.send(CloseMediaRoom(ROOM))
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
            bench.send(start(AUDIO))
            await until(lambda: _asked(server, "ConfbridgeStartRecord") == 1)
            server.begin_in_silence(BRIDGE, tmp_path / "room-1/recording-bridge-1-1.wav")
            server.silent = set()
            server.drop()
            started = await bench.until(CaptureStarted)
            server.mute = True
            server.stop_elsewhere(BRIDGE)
            bench.send(StopCapture(AUDIO))
            stopped = await bench.until(CaptureStopped)

    assert started.started_ms <= stopped.stopped_ms == stopped.files[0].stopped_ms
