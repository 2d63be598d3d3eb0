"""Asterisk or the controller ends and comes back while a conference is recorded."""

import time
from pathlib import Path

import pytest

from sfu_wrapper.adapters.asterisk.conference import (
    NOT_WRITTEN,
    UNREACHABLE,
)
from sfu_wrapper.adapters.asterisk.folder import Folder
from sfu_wrapper.core.media_plane import (
    CaptureChanged,
    CaptureFailed,
    CaptureLost,
    CaptureStarted,
    CaptureStopped,
    CloseMediaRoom,
    OpenMediaRoom,
    PlaneBack,
    ResumeCapture,
    StopCapture,
)
from sfu_wrapper.model.errors import Misconfigured
from sfu_wrapper.model.media import Medium, RawFile, Stream
from tests.helpers import asterisk_world
from tests.helpers.ami import FakeAsterisk, asterisk
from tests.helpers.asterisk_world import World, connected
from tests.helpers.planes import (
    AUDIO,
    BRIDGE,
    ROOM,
    start,
)
from tests.helpers.wait import until

here = asterisk_world.here
in_a_hurry = asterisk_world.in_a_hurry


async def test_a_killed_asterisk_loses_its_recordings(here: World) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    await here.server.kill()
    lost = await here.bench.until(CaptureLost)

    assert lost.message == NOT_WRITTEN
    assert lost.files[0].filename == "room-1/recording-bridge-1-1.wav"
    assert lost.stopped_ms == lost.files[0].stopped_ms
    assert not here.plane.is_available(Medium.AUDIO)


async def test_a_start_is_refused_while_asterisk_is_unavailable_and_its_recovery_is_reported(
    here: World,
) -> None:
    await here.server.kill()
    await until(lambda: not here.plane.is_available(Medium.AUDIO))
    here.bench.send(start(AUDIO))
    failed = await here.bench.until(CaptureFailed)
    await here.server.start()

    assert failed.message == UNREACHABLE
    assert (await here.bench.until(PlaneBack)).medium is Medium.AUDIO


async def test_a_restarted_controller_continues_a_running_recording(tmp_path: Path) -> None:
    async with asterisk(tmp_path) as server:
        server.enter(BRIDGE)
        known = _growing(server, tmp_path)
        async with connected(server, tmp_path) as after:
            after.bench.send(OpenMediaRoom(ROOM, BRIDGE), ResumeCapture(AUDIO, (known,)))
            resumed = await after.bench.until(CaptureStarted)
            after.bench.send(StopCapture(AUDIO))
            stopped = await after.bench.until(CaptureStopped)

    assert resumed.files == (known,)
    assert [file.filename for file in stopped.files] == [known.filename]


async def test_a_file_started_just_before_a_crash_is_found(tmp_path: Path) -> None:
    async with asterisk(tmp_path) as server:
        server.enter(BRIDGE)
        known = _growing(server, tmp_path)
        async with connected(server, tmp_path) as after:
            after.bench.send(OpenMediaRoom(ROOM, BRIDGE), StopCapture(AUDIO))
            stopped = await after.bench.until(CaptureStopped)

    assert [file.filename for file in stopped.files] == [known.filename]


async def test_a_file_closed_in_the_meantime_ends_with_its_audio(here: World) -> None:
    leg = here.server.enter(BRIDGE)
    known = _growing(here.server, here.folder)
    here.server.leave(BRIDGE, leg)
    here.server.enter(BRIDGE)  # and might have been heard since
    here.bench.send(OpenMediaRoom(ROOM, BRIDGE), ResumeCapture(AUDIO, (known,)))
    lost = await here.bench.until(CaptureLost)

    (file,) = lost.files
    assert file.stopped_ms == known.started_ms == lost.stopped_ms


async def test_a_file_ended_by_the_last_member_in_the_meantime_is_complete(
    here: World,
) -> None:
    leg = here.server.enter(BRIDGE)
    known = _growing(here.server, here.folder)
    here.server.leave(BRIDGE, leg)
    here.bench.send(OpenMediaRoom(ROOM, BRIDGE), ResumeCapture(AUDIO, (known,)))
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
    here.bench.send(OpenMediaRoom(ROOM, BRIDGE), ResumeCapture(AUDIO, ()))

    assert (await here.bench.until(CaptureLost)).files == ()


async def test_a_room_that_is_closed_is_forgotten_once_it_has_stopped(here: World) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.bench.send(CloseMediaRoom(ROOM), StopCapture(AUDIO))
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


def _growing(server: FakeAsterisk, folder: Path) -> RawFile:
    """Start a recording as an earlier controller did, and return its file."""
    name = "room-1/recording-bridge-1-1.wav"
    server.begin_in_silence(BRIDGE, folder / name)
    return RawFile(name, Stream.AUDIO, started_ms=round(time.time() * 1000), mixer="asterisk")
