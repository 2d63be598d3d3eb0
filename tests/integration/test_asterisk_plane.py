"""Recordings at Asterisk: files, members who come and go, conferences of others."""

import asyncio

import pytest

from sfu_wrapper.adapters.asterisk import conference, plane
from sfu_wrapper.adapters.asterisk.conference import (
    ALREADY_RECORDED,
    CUT,
    NOT_WRITTEN,
    STOPPED_ELSEWHERE,
    TAKEN,
)
from sfu_wrapper.core.media_plane import (
    CaptureChanged,
    CaptureFailed,
    CaptureLost,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    CloseMediaRoom,
    OpenMediaRoom,
    StartCapture,
    StopCapture,
)
from sfu_wrapper.formats.wav import parse
from sfu_wrapper.model.identity import ConfbridgeId, RoomUuid, SegmentNo
from sfu_wrapper.model.media import Medium
from tests.helpers import asterisk_world
from tests.helpers.asterisk_world import SECOND, World, _asked
from tests.helpers.planes import (
    AUDIO,
    BRIDGE,
    ROOM,
    start,
    voice,
)
from tests.helpers.wait import until

here = asterisk_world.here
in_a_hurry = asterisk_world.in_a_hurry


OTHER = CaptureRef(RoomUuid("room-2"), SegmentNo(1), Medium.AUDIO)


async def test_a_segment_has_a_file_of_its_own_name(here: World) -> None:
    here.server.enter(BRIDGE)
    started = await here.bench.start(AUDIO, voice("alice"))
    here.bench.send(StopCapture(AUDIO))
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
    here.bench.send(start(AUDIO, voice("alice")))
    await until(lambda: _asked(here.server, "ConfbridgeStartRecord") == 1)
    here.server.enter("another")
    here.server.enter(BRIDGE)
    started = await here.bench.next()

    assert isinstance(started, CaptureStarted)
    assert len(started.files) == 1


async def test_a_start_given_up_in_an_empty_conference_records_nothing(
    here: World,
) -> None:
    here.bench.send(start(AUDIO, voice("alice")), StopCapture(AUDIO))
    stopped = await here.bench.until(CaptureStopped)
    here.server.enter(BRIDGE)
    here.bench.send(StopCapture(SECOND))
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
    here.bench.send(StopCapture(AUDIO))
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
    here.bench.send(StopCapture(AUDIO))
    lost = await here.bench.until(CaptureLost)
    here.bench.send(StopCapture(AUDIO))
    stopped = await here.bench.until(CaptureStopped)

    assert lost.message == CUT
    assert lost.files == stopped.files


async def test_a_conference_recorded_by_another_client_is_not_touched(here: World) -> None:
    here.server.enter(BRIDGE)
    here.server.record_elsewhere(BRIDGE)
    here.bench.send(start(AUDIO))
    failed = await here.bench.until(CaptureFailed)

    assert failed.message == ALREADY_RECORDED
    assert _asked(here.server, "ConfbridgeStopRecord") == 0


@pytest.fixture
def watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten intervals of checks: a real Asterisk writes every two seconds only."""
    monkeypatch.setattr(plane, "PERIOD_S", 0.05)
    monkeypatch.setattr(plane, "CLOSED_S", 0.2)
    monkeypatch.setattr(plane, "STALLED_S", 0.6)


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
    is_awake = plane.FileWatch._is_awake

    async def noted(self: plane.FileWatch) -> bool:
        looks.release()
        return await is_awake(self)

    monkeypatch.setattr(plane, "_PROMPT_S", 0.02)
    monkeypatch.setattr(plane.FileWatch, "_is_awake", noted)
    for _ in range(20):
        await looks.acquire()
    here.bench.send(StopCapture(AUDIO))
    fact = await here.bench.next()

    assert isinstance(fact, CaptureStopped | CaptureLost)
    assert not isinstance(fact, CaptureLost) or fact.message == CUT


@pytest.mark.usefixtures("watchful")
async def test_no_requests_are_sent_while_nothing_is_recorded(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, asked = asyncio.Semaphore(0), list[str]()
    look = plane.FileWatch._check

    async def noted(self: plane.FileWatch) -> None:
        looks.release()
        await look(self)

    async def awake(self: plane.FileWatch) -> bool:
        asked.append("Ping")
        return True

    monkeypatch.setattr(plane.FileWatch, "_check", noted)
    monkeypatch.setattr(plane.FileWatch, "_is_awake", awake)
    here.server.enter(BRIDGE)
    here.bench.send(OpenMediaRoom(ROOM, BRIDGE))
    for _ in range(10):
        await looks.acquire()

    assert asked == []


async def test_a_conference_of_another_room_is_neither_recorded_nor_stopped(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conference, "TURN_WITHIN_S", 0.1)
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.bench.send(StartCapture(OTHER, ConfbridgeId(BRIDGE.upper()), ()))
    failed = await here.bench.until(CaptureFailed, OTHER)
    here.bench.send(StopCapture(OTHER), CloseMediaRoom(OTHER.room))
    await here.bench.until(CaptureStopped, OTHER)

    assert failed.message == TAKEN
    assert here.server.recording
    assert _asked(here.server, "ConfbridgeStopRecord") == 0


async def test_a_room_gets_the_conference_of_an_earlier_room_once_that_releases_it(
    here: World,
) -> None:
    here.server.enter(BRIDGE)
    (first,) = (await here.bench.start(AUDIO)).files
    here.bench.send(StartCapture(OTHER, BRIDGE, ()))
    here.bench.send(StopCapture(AUDIO), CloseMediaRoom(ROOM))
    started = await here.bench.until(CaptureStarted, OTHER)
    here.bench.send(StopCapture(OTHER))
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
    here.bench.send(StopCapture(AUDIO))
    fact = await here.bench.next()

    assert isinstance(fact, CaptureStopped)
    assert _asked(here.server, "ConfbridgeStopRecord") == 1


def _closed(data: bytes) -> bytes:
    """Write a WAV file with a true header."""
    riff, audio = (len(data) - 8).to_bytes(4, "little"), (len(data) - 44).to_bytes(4, "little")
    return data[:4] + riff + data[8:40] + audio + data[44:]
