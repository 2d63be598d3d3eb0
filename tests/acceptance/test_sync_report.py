"""What the sync report says when clocks, networks and mixers are known to be off."""

import asyncio
import json
from dataclasses import dataclass, replace
from operator import sub
from typing import Any

import av
import pytest

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.storage.local import Folders, LocalStorage
from sfu_wrapper.core.plan import OutputRules
from sfu_wrapper.model.identity import UserId
from sfu_wrapper.model.segment import TrackSync
from sfu_wrapper.service.worker.processor import Processor
from sfu_wrapper.wire.job_messages import sync_object
from sfu_wrapper.wire.strict_json import parse_iso
from tests.helpers.shared_media import shared_media
from tests.helpers.staged import MixRole, Role, Staged, stage

SECONDS = 48.0
ROLES = (
    Role("late", 0.2, SECONDS, fps=5, jitter_s=0.02),
    Role("early", 0.2, SECONDS, fps=5),
    Role("fast", 0, SECONDS, fps=5, clock_ppm=200, jitter_s=0.02, wraps=True),
    Role("slow", 5, SECONDS, fps=5, clock_ppm=-200, codec="h264"),
    Role("lossy", 0, SECONDS, loss=0.03, key_every_s=1, jitter_s=0.02, wraps=True),
    Role("right", 0, SECONDS, fps=5, jitter_s=0.02),
)
OFF_MS = {UserId("late"): 80, UserId("early"): -80}
"""By how much the media of these begin later than their event says."""


@dataclass(frozen=True)
class Report:
    """What was told: of each user (of the mix: None), in warnings, and in the split JSON."""

    call: Staged
    tracks: dict[UserId | None, TrackSync]
    warnings: list[str]
    json: dict[str, Any]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A call in which each is off in a way of their own, and the mix lacks 80 ms."""
    folder = tmp_path_factory.mktemp("call")
    call = stage(folder, SECONDS, ROLES, MixRole(0.0, SECONDS - 0.08))
    video = tuple(
        replace(one, started_ms=one.started_ms - OFF_MS.get(one.user or UserId(""), 0))
        for one in call.info.video
    )
    mix = replace(call.info.audio[0], stopped_ms=call.info.completed_ms)
    info = replace(call.info, video=video, audio=(mix,))
    rules = OutputRules("vp8", "low", "{{uuid}}", split=True, mix_limit=9)  # quicker than merging
    storage = LocalStorage(Folders(folder, folder, folder / "out"))
    with shared_media() as media:
        service = Processor(media, storage, rules, SystemClock())
        told = asyncio.run(service.process(info)).result
    (file,) = (folder / "out").rglob("uuid-bridge/*.json")
    return Report(
        call,
        {one.user: one for one in told.sync},
        list(told.warnings),
        json.loads(file.read_bytes()),
    )


@pytest.mark.parametrize(
    ("user", "offset_ms"),
    [("late", 80), ("early", -80), ("fast", 0), ("slow", 0), ("lossy", 0), ("right", 0)],
)
def test_an_offset_is_told_to_within_ten_milliseconds(
    report: Report, user: str, offset_ms: int
) -> None:
    assert report.tracks[UserId(user)].offset_ms == pytest.approx(offset_ms, abs=10)


@pytest.mark.parametrize(
    ("user", "ppm"),
    [("late", 0), ("early", 0), ("fast", 200), ("slow", -200), ("lossy", 0), ("right", 0)],
)
def test_a_drift_is_told_to_within_ten_percent(report: Report, user: str, ppm: float) -> None:
    assert report.tracks[UserId(user)].drift_ppm == pytest.approx(ppm, rel=0.1, abs=20)


def test_loss_is_told_as_it_was(report: Report) -> None:
    played = {track.role.user: track for track in report.call.tracks}
    lossy = report.tracks[UserId("lossy")]

    assert lossy.packets_lost == pytest.approx(played["lossy"].lost, abs=2)
    assert lossy.loss_percent == pytest.approx(3, abs=1.2)
    assert lossy.packets_received == played["lossy"].packets - played["lossy"].lost
    assert report.tracks[UserId("right")].packets_lost == 0


def test_audio_that_is_missing_is_told_of_the_mix(report: Report) -> None:
    assert report.tracks[None].offset_ms == pytest.approx(80, abs=1)
    assert report.tracks[None].length_ms == pytest.approx(SECONDS * 1000 - 80, abs=1)


def test_each_limit_that_is_passed_is_warned_of_and_no_other(report: Report) -> None:
    said = {warning.partition(": ")[0] for warning in report.warnings}

    assert said == {
        "0-late-sfuvideo.mjr", "1-early-sfuvideo.mjr", "2-fast-sfuvideo.mjr",
        "3-slow-sfuvideo.mjr", "4-lossy-sfuvideo.mjr", "mix.wav",
    }  # fmt: skip
    assert "2-fast-sfuvideo.mjr: its clock runs 200 ppm fast: put right" in report.warnings


def test_the_split_recordings_json_tells_the_same(report: Report) -> None:
    assert report.json["sync"] == sync_object(tuple(report.tracks.values()))


@pytest.mark.parametrize("user", ["fast", "slow", "right"])
def test_a_split_video_shows_its_frames_when_they_were_taken(report: Report, user: str) -> None:
    """From startTime on, whatever the sender's clock did: 200 ppm would be 10 ms at the end."""
    (told,) = (video for video in report.json["videos"] if video["userID"] == user)
    (track,) = (track for track in report.call.tracks if track.role.user == user)
    with av.open(told["filename"]) as reader:
        stream = reader.streams.video[0]
        shown_ms = [
            float(packet.pts * packet.time_base * 1000)
            for packet in reader.demux(stream)
            if packet.pts is not None
        ]

    taken_ms = [at - parse_iso(told["startTime"]) for at in track.shown_ms]
    assert len(shown_ms) == len(taken_ms)
    assert shown_ms[0] == 0
    assert max(map(abs, map(sub, shown_ms, taken_ms))) < 10
    assert shown_ms[-1] == pytest.approx(taken_ms[-1] - taken_ms[0], abs=3)
