"""`sfu-wrapper demo` as a newcomer runs it: the story it tells, and what is in its files."""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import quantiles
from typing import Any

import pytest

from sfu_wrapper.adapters.simulated.writers import tone_hz
from tests.helpers.merged import Frame, decode_audio, frames, loudness

SECONDS = 5.0
FRAME_MS = 40
CAMERAS_ON_S = 1.0  # each publishes its first frame at a time of its own
CAMERAS_OFF_S = 1.0  # and is closed at one
AUDIBLE = 0.01


@dataclass(frozen=True)
class DemoRun:
    """What the demo printed, line by line."""

    lines: list[dict[str, Any]]

    @property
    def files(self) -> list[Path]:
        """The files that it names at the end."""
        return [Path(name) for name in self.lines[-1]["files"]]

    def actions_of(self, who: str, pattern: str) -> list[str]:
        """What somebody did that fits."""
        lines = (line for line in self.lines if line.get("who") == who)
        return [line["what"] for line in lines if re.search(pattern, line["what"])]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """One run of the demo."""
    out = tmp_path_factory.mktemp("demo")
    arguments = ["--json", "--seconds", str(SECONDS), "--out", str(out)]
    ran = subprocess.run(
        [sys.executable, "-m", "sfu_wrapper.cli", "demo", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return DemoRun([json.loads(line) for line in ran.stdout.splitlines()])


@pytest.mark.timeout(150)
def test_the_owner_records_twice_and_another_participant_is_refused(demo: DemoRun) -> None:
    assert len(demo.actions_of("alice", r"presses record: segment [12] runs since")) == 2
    assert len(demo.actions_of("alice", r"presses stop: segment [12] holds")) == 2
    assert demo.actions_of("bob", "is refused: NOT_ROOM_OWNER")
    assert demo.actions_of("carol", "joins late and is told that the call is being recorded")
    assert demo.actions_of("bob", "leaves early")


def test_one_playable_file_a_segment_is_named_at_the_end(demo: DemoRun) -> None:
    assert [file.suffix for file in demo.files] == [".webm", ".webm"]
    for number, file in enumerate(demo.files, start=1):
        (holds,) = demo.actions_of("alice", rf"segment {number} holds [\d.]+ s$")
        length_s = float(holds.split()[-2])
        last = list(frames(file))[-1]
        assert length_s > SECONDS - 0.5
        assert last.at_s == pytest.approx(length_s, abs=0.2)


def test_nothing_is_left_but_the_files_and_the_logs(demo: DemoRun) -> None:
    left = {path.name for path in demo.files[0].parent.iterdir()}

    assert left == {"demo.log", "logs", ".sfu-wrapper"} | {
        file.with_suffix(ending).name for file in demo.files for ending in (".webm", ".jpg")
    }


def test_the_first_file_shows_two_people_and_then_a_third(demo: DemoRun) -> None:
    assert casts(demo.files[0]) == [("alice", "bob"), ("alice", "bob", "carol")]


def test_the_second_file_shows_three_people_of_whom_one_leaves(demo: DemoRun) -> None:
    assert casts(demo.files[1]) == [("alice", "bob", "carol"), ("alice", "carol")]


def test_every_frame_carries_the_token_of_this_run(demo: DemoRun) -> None:
    tokens = {tile.token for file in demo.files for frame in frames(file) for tile in frame.tiles}

    assert len(tokens) == 1


def test_every_tile_shows_its_own_time_to_within_a_frame_or_two(demo: DemoRun) -> None:
    for file in demo.files:
        tiles = fresh_ms(frames(file))
        assert sum(map(len, tiles.values())) > SECONDS * 5
        for who, offsets in tiles.items():
            # One in ten at either end may be a frame that a busy machine drew late.
            tenths = quantiles(offsets, n=10)
            assert tenths[-1] - tenths[0] <= 2 * FRAME_MS, who


def test_the_clocks_say_when_the_segment_was_recorded(demo: DemoRun) -> None:
    first, second = (next(frame for frame in frames(file) if frame.tiles) for file in demo.files)

    assert second.tiles[0].clock_ms - first.tiles[0].clock_ms > SECONDS * 1000


def test_each_voice_is_heard_while_its_owner_is_in_the_call(demo: DemoRun) -> None:
    alice, bob, carol = (tone_hz(position) for position in range(3))
    first, second = (decode_audio(file) for file in demo.files)
    second_s = 48_000

    begin = first[second_s // 2 : 3 * second_s // 2]
    assert loudness(begin, alice) > AUDIBLE
    assert loudness(begin, bob) > AUDIBLE
    assert loudness(begin, carol) < AUDIBLE / 5
    assert loudness(first[-second_s:], carol) > AUDIBLE
    assert loudness(second[second_s // 2 : 3 * second_s // 2], bob) > AUDIBLE
    assert loudness(second[-second_s:], bob) < AUDIBLE / 5


def fresh_ms(shown: Iterable[Frame]) -> dict[str, list[float]]:
    """Return by person how far each frame of a camera is ahead of the file as it enters its tile.

    How long it stays there is the camera's business: on a busy machine the next one comes late. So
    does the first one, by which the others of that camera are placed: cameras are not compared.
    """
    before: dict[str, int] = {}
    found: dict[str, list[float]] = {}
    for frame in shown:
        for tile in frame.tiles:
            if before.get(tile.name) != tile.clock_ms:
                before[tile.name] = tile.clock_ms
                found.setdefault(tile.name, []).append(tile.clock_ms - frame.at_s * 1000)
    return found


def casts(file: Path) -> list[tuple[str, ...]]:
    """Who is on screen together, in the order in which that changes, but for both ends' moments."""
    shown = [frame for frame in frames(file) if frame.tiles]
    first_s, last_s = CAMERAS_ON_S, shown[-1].at_s - CAMERAS_OFF_S
    inside = [frame for frame in shown if first_s < frame.at_s < last_s]
    return [cast for cast, _ in groupby(map(names, inside))]


def names(frame: Frame) -> tuple[str, ...]:
    """The names in the tiles of a frame."""
    return tuple(tile.name for tile in frame.tiles)
