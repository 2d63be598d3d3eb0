"""The plane at an Asterisk of our own making, whose conferences a test fills."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from sfu_wrapper.adapters.asterisk import folder
from sfu_wrapper.adapters.asterisk.plane import AsteriskPlane
from sfu_wrapper.core.media_plane import (
    CaptureRef,
    PlaneBack,
)
from sfu_wrapper.model.identity import SegmentNo
from sfu_wrapper.model.media import Medium, RawFile
from tests.helpers.ami import FakeAsterisk, asterisk
from tests.helpers.planes import (
    ROOM,
    Bench,
    asterisk_plane,
    running,
)

SECOND = CaptureRef(ROOM, SegmentNo(2), Medium.AUDIO)


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


def _asked(server: FakeAsterisk, action: str) -> int:
    return sum(asked["Action"] == action for asked in server.asked)


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
