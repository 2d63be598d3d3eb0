"""A running media plane with its facts at hand, and short names for what one asks of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from sfu_wrapper.adapters.asterisk.ami import AmiSettings
from sfu_wrapper.adapters.asterisk.folder import Folder
from sfu_wrapper.adapters.asterisk.plane import AsteriskPlane, AsteriskSettings
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.simulated.faults import Faults
from sfu_wrapper.adapters.simulated.plane import SimulatedPlane
from sfu_wrapper.core.media_plane import (
    CaptureRef,
    CaptureStarted,
    PlaneBack,
    PlaneFact,
    PlaneRequest,
    StartCapture,
)
from sfu_wrapper.model.identity import ConfbridgeId, RoomUuid, SegmentNo, UserId
from sfu_wrapper.model.media import Medium, RawFile, Stream, Track
from sfu_wrapper.ports.media_plane import MediaPlane

F = TypeVar("F", bound=PlaneFact)

ROOM = RoomUuid("room-1")
BRIDGE = ConfbridgeId("bridge-1")
VIDEO = CaptureRef(ROOM, SegmentNo(1), Medium.VIDEO)
AUDIO = CaptureRef(ROOM, SegmentNo(1), Medium.AUDIO)
TOKEN = "c0ffee01"
DEADLINE_S = 30.0


def camera(user: str) -> Track:
    """Somebody's camera."""
    return Track(UserId(user), Stream.CAMERA)


def screen(user: str) -> Track:
    """Somebody's shared screen."""
    return Track(UserId(user), Stream.SCREEN)


def voice(user: str) -> Track:
    """Somebody's microphone."""
    return Track(UserId(user), Stream.AUDIO)


def start(capture: CaptureRef, *tracks: Track) -> StartCapture:
    """Begin to write, with these tracks published."""
    return StartCapture(capture, bridge_of(capture.room), tracks)


def bridge_of(room: RoomUuid) -> ConfbridgeId:
    """The conference of a room: each has its own."""
    return BRIDGE if room == ROOM else ConfbridgeId(f"bridge-of-{room}")


def send_repeatedly(plane: MediaPlane, request: PlaneRequest) -> None:
    """More often than any bounded queue can take."""
    for _ in range(200_000):
        plane.send(request)


class Bench:
    """A plane under test. ``heard`` is every fact so far, in order."""

    def __init__(self, plane: MediaPlane, deadline_s: float = DEADLINE_S) -> None:
        self.plane = plane
        self.deadline_s = deadline_s
        self.heard: list[PlaneFact] = []
        self._facts = plane.facts()

    def send(self, *requests: PlaneRequest) -> None:
        """Hand over requests."""
        for request in requests:
            self.plane.send(request)

    async def next(self) -> PlaneFact:
        """The next fact; TimeoutError where none comes."""
        async with asyncio.timeout(self.deadline_s):
            fact = await anext(self._facts)
        self.heard.append(fact)
        return fact

    async def until(self, kind: type[F], capture: CaptureRef | None = None) -> F:
        """The next fact of a kind, about a capture where one is named; others are passed over."""
        while True:
            fact = await self.next()
            if isinstance(fact, kind) and capture in (None, getattr(fact, "capture", None)):
                return fact

    async def start(self, capture: CaptureRef, *tracks: Track) -> CaptureStarted:
        """Begin a capture and wait for the confirmation."""
        self.send(start(capture, *tracks))
        return await self.until(CaptureStarted, capture)

    async def start_when_there(self, capture: CaptureRef, *tracks: Track) -> CaptureStarted:
        """Begin a capture once the plane says that it is there."""
        await self.until(PlaneBack)
        return await self.start(capture, *tracks)


@asynccontextmanager
async def running(plane: MediaPlane, deadline_s: float = DEADLINE_S) -> AsyncIterator[Bench]:
    """Run a plane for the length of a test."""
    run = asyncio.create_task(plane.run())
    try:
        yield Bench(plane, deadline_s)
    finally:
        await plane.close()
        async with asyncio.timeout(DEADLINE_S):
            await run


def simulated(folder: Path, faults: str = "") -> SimulatedPlane:
    """The simulated plane below a folder."""
    return SimulatedPlane(
        folder / "raw", folder / "audio", token=TOKEN, faults=Faults.parse(faults)
    )


def asterisk_plane(ami: AmiSettings, audio: Path, *, delay_ms: int = 0) -> AsteriskPlane:
    """The mixer alone, writing to a folder that both sides see under one name."""
    settings = AsteriskSettings(ami, Folder(audio, str(audio)), delay_ms, "from-trunk")
    return AsteriskPlane(settings, SystemClock())


def on_disk(folder: Path, file: RawFile) -> Path:
    """Where the simulated plane below ``folder`` has a file."""
    base = "audio" if file.stream is Stream.AUDIO else "raw"
    return folder / base / file.filename.lstrip("/")


def users(files: tuple[RawFile, ...]) -> list[str | None]:
    """Whose files, in order."""
    return [file.user for file in files]
