"""Firefox in a call with Chromium over a real Janus, recorded: seen, heard, and every kind of mute.

Alice's Chromium is red, Bob's Firefox is blue. What is told is read from the finished file.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sfu_wrapper.formats.mjr import Reader
from tests.helpers.browsercalls import casts, heard, missed, shown, two_browsers
from tests.helpers.callpage import CallPage
from tests.helpers.janus import JanusServer, running_janus
from tests.helpers.januscalls import first_frame_us
from tests.helpers.merged import decode_audio

pytestmark = [pytest.mark.system, pytest.mark.timeout(150)]

SETTLED_S = 1.6  # after a change: encoders begin, the layout changes, the mixer has its delay
STAY_S = 2.8
SLOW_S = 4.4  # Firefox sends one frame a second of a disabled track


@dataclass
class Recorded:
    """What happened.

    began_s: since when the file runs, s since the epoch. steps: when each was, s since the epoch.
    frames: times of the frames of Bob's that Janus received, s since the epoch.
    """

    folder: Path
    began_s: float = 0
    steps: dict[str, tuple[float, float]] = field(default_factory=dict)
    frames: list[float] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def step(self, name: str, stay_s: float = STAY_S) -> AsyncIterator[None]:
        """Stay for a while after the block, and note when that was."""
        yield
        from_s = time.time()
        await asyncio.sleep(stay_s)
        self.steps[name] = from_s, time.time()

    def during(self, name: str, settled_s: float = SETTLED_S) -> tuple[float, float]:
        """Return when a step was, s since the beginning of the file, without its first moments."""
        from_s, to_s = self.steps[name]
        return from_s - self.began_s + settled_s, to_s - self.began_s

    @property
    def file(self) -> Path:
        """The finished file."""
        (found,) = (self.folder / "out").glob("*.webm")
        return found

    def measure(self) -> None:
        """Look at the raw files of Bob's, which are gone once they are processed."""
        folder = self.folder / "raw" / "uuid-of-standup" / "1"
        for video in folder.glob("*-user-p-bob[-~]*.mjr"):
            data, first_s = video.read_bytes(), first_frame_us(video) / 1e6
            stamps: dict[bytes, float] = {}
            for ms, start, _ in Reader(data).frames():
                stamps.setdefault(data[start + 4 : start + 8], first_s + ms / 1000)
            self.frames += stamps.values()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    folder = tmp_path_factory.mktemp("call")
    with running_janus(folder / "janus") as janus:
        yield asyncio.run(scenario(janus, Recorded(folder)))


async def scenario(janus: JanusServer, recorded: Recorded) -> Recorded:
    async with two_browsers(janus, recorded.folder) as call:
        recorded.began_s = await call.record(lambda: switches(call.bob, recorded))
        recorded.measure()
        recorded.console = [*call.alice.page.console, *call.bob.page.console]
    lines = await call.process()
    recorded.missed = missed(lines)
    return recorded


async def switches(bob: CallPage, recorded: Recorded) -> None:
    """Switch off and on whatever Bob can."""
    async with recorded.step("all on"):
        pass
    async with recorded.step("microphone off"):
        await bob.click("mic")
        await bob.page.until("document.querySelector('#mic').ariaPressed === 'false'")
    async with recorded.step("camera off"):
        await bob.click("mic")
        await bob.click("cam")
        await bob.page.until("document.querySelector('#cam').ariaPressed === 'false'")
    async with recorded.step("camera on"):
        await bob.click("cam")
        await bob.page.until("document.querySelector('#cam').ariaPressed === 'true'")
    async with recorded.step("track disabled", SLOW_S):
        await bob.page.run("camera.enabled = false")
    async with recorded.step("track enabled"):
        await bob.page.run("camera.enabled = true")
    await asyncio.sleep(SETTLED_S)  # the mixer of a busy machine is behind at the end too


def seen(recorded: Recorded, name: str) -> set[str]:
    """Who is shown in that step; "" where a tile has no colour."""
    from_s, to_s = recorded.during(name)
    return {cast for at_s, cast in shown(recorded.file) if from_s <= at_s <= to_s - 0.1}


def test_both_browsers_are_seen_and_one_without_camera_has_no_tile(recorded: Recorded) -> None:
    assert casts(recorded.file) == ["alice bob", "alice", "alice bob", "", "alice bob"]
    assert seen(recorded, "all on") == seen(recorded, "microphone off") == {"alice bob"}
    assert seen(recorded, "camera off") == {"alice"}
    assert seen(recorded, "camera on") == {"alice bob"}


def test_a_disabled_track_is_black_until_it_is_enabled(recorded: Recorded) -> None:
    assert seen(recorded, "track disabled") == {""}
    assert seen(recorded, "track enabled") == {"alice bob"}


def test_firefox_sends_few_frames_of_a_disabled_track(recorded: Recorded) -> None:
    from_s, to_s = recorded.steps["track disabled"]
    sent = [at_s for at_s in recorded.frames if from_s + 0.3 < at_s < to_s]

    assert 1 <= len(sent) <= 2 * SLOW_S


def test_both_are_heard_but_for_the_one_who_is_muted(recorded: Recorded) -> None:
    audio = decode_audio(recorded.file)
    who = {name: heard(audio, *recorded.during(name)) for name in recorded.steps}

    assert who.pop("microphone off") == {"alice"}
    assert set(map(frozenset, who.values())) == {frozenset({"alice", "bob"})}


def test_no_part_of_the_recording_is_missed(recorded: Recorded) -> None:
    assert recorded.missed == []


def test_the_pages_write_no_errors(recorded: Recorded) -> None:
    assert recorded.console == []
