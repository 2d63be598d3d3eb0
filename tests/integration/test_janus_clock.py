"""Janus on a host whose clock is not the controller's: events have the times of the controller."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sfu_wrapper.model.media import Medium
from tests.helpers.janus import JanusServer, running_janus
from tests.helpers.publishers import Camera
from tests.integration.test_janus_rooms import GREY, RED, recorded_room, written

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def janus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JanusServer]:
    with running_janus(tmp_path_factory.mktemp("janus") / "server") as server:
        yield server


@pytest.mark.parametrize("ahead_s", [-3_600, -5, 5, 3_600])
async def test_files_have_the_times_of_the_controller(
    janus: JanusServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    ahead_s: int,
) -> None:
    true_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: true_ns() - ahead_s * 10**9)
    async with recorded_room(janus, tmp_path) as recorded:
        await recorded.people.send_video(recorded.room, "p-alice", Camera(RED))
        before_ms = time.time_ns() // 10**6
        capture = await recorded.start(Medium.VIDEO)
        await recorded.people.send_video(recorded.room, "p-bob", Camera(GREY), "H264")
        await written(recorded, 2)
        await recorded.people.leave("p-bob")
        stopped = await recorded.stop(capture)

    assert {file.user for file in stopped.files} == {"alice", "bob"}
    for file in stopped.files:
        assert file.stopped_ms is not None
        assert before_ms - 1_000 < file.started_ms <= file.stopped_ms
        assert file.stopped_ms <= stopped.stopped_ms + 1_000
    (line,) = [one for one in caplog.records if one.message == "janus.clockDiffers"]
    assert line.__dict__["seconds"] == pytest.approx(ahead_s, abs=1)


async def test_one_clock_is_never_corrected(
    janus: JanusServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with recorded_room(janus, tmp_path) as recorded:
        await recorded.people.send_video(recorded.room, "p-alice", Camera(RED))
        await recorded.stop(await recorded.start(Medium.VIDEO))

    assert "janus.clockDiffers" not in caplog.text
