"""Folders of recordings that hang or cannot be read."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from sfu_wrapper.adapters.asterisk import folder, recording_file
from sfu_wrapper.adapters.asterisk.conference import (
    NOT_FINISHED,
    NOT_WRITTEN,
)
from sfu_wrapper.adapters.os.beneath import open_plain
from sfu_wrapper.core.media_plane import (
    CaptureFailed,
    CaptureLost,
    CaptureStarted,
    CloseMediaRoom,
    OpenMediaRoom,
    ResumeCapture,
    StopCapture,
)
from sfu_wrapper.model.media import RawFile, Stream
from tests.helpers import asterisk_world
from tests.helpers.ami import asterisk
from tests.helpers.asterisk_world import SECOND, World, _asked, connected
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


T = TypeVar("T")


async def test_a_file_that_asterisk_never_finishes_delays_no_other_segment(here: World) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    here.server.finishes = False
    here.bench.send(StopCapture(AUDIO), start(SECOND))
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
        world.bench.send(start(AUDIO))
        failed = await world.bench.until(CaptureFailed)
        assert "does not exist" in failed.message
        known = RawFile("room-1/recording-bridge-1-1.wav", Stream.AUDIO, 1_000, mixer="asterisk")
        world.bench.send(ResumeCapture(AUDIO, (known,)))
        lost = await world.bench.until(CaptureLost)

    assert [file.filename for file in lost.files] == [known.filename]


async def test_a_hanging_folder_fails_a_start_and_delays_no_other_room(
    here: World, hung: Callable[[], None]
) -> None:
    here.server.enter(BRIDGE)
    hung()
    here.bench.send(start(AUDIO, voice("alice")))
    failed = await here.bench.until(CaptureFailed)

    assert failed.message == f"{here.folder} does not answer: check its file server"
    assert _asked(here.server, "ConfbridgeStartRecord") == 0


async def test_a_folder_that_hangs_before_the_end_of_a_call_fails_its_recording(
    here: World, hung: Callable[[], None]
) -> None:
    here.server.enter(BRIDGE)
    await here.bench.start(AUDIO)
    hung()
    here.bench.send(StopCapture(AUDIO), CloseMediaRoom(ROOM))
    lost = await here.bench.until(CaptureLost)
    await until(lambda: not here.plane._rooms)

    assert lost.message == NOT_FINISHED
    assert [file.stopped_ms is None for file in lost.files] == [False]


async def test_a_capture_of_an_earlier_controller_in_a_hanging_folder_is_lost(
    here: World, hung: Callable[[], None]
) -> None:
    known = RawFile("room-1/recording-bridge-1-1.wav", Stream.AUDIO, 1_000, mixer="asterisk")
    hung()
    here.bench.send(OpenMediaRoom(ROOM, BRIDGE), ResumeCapture(AUDIO, (known,)))
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
