"""Rows of policy.md's fault table with Asterisk as the mixer: notices and queue messages."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sfu_wrapper.adapters.asterisk import folder
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.app.planes import media_plane
from sfu_wrapper.config.load import load
from sfu_wrapper.model.identity import RecordingPermissions, RecordingProfile, RecordingType
from sfu_wrapper.model.media import Medium
from tests.helpers.ami import SECRET, FakeAsterisk, asterisk
from tests.helpers.calls import events_of
from tests.helpers.clocks import Ahead, noticing
from tests.helpers.live import DOMAIN, Live, Peer, live
from tests.helpers.live import SECRET as TOKEN_SECRET
from tests.helpers.wait import until

CONFERENCE = "bridge-1"
ANSWER_S = 6.0


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten limits: this server writes 40 times as often as a real one."""
    monkeypatch.setattr(folder, "GROWS_WITHIN_S", 2.0)


@pytest.fixture
def clock() -> Iterator[Ahead]:
    with noticing() as clock:
        yield clock


@dataclass(slots=True)
class Call:
    """Call from Alice to Bob of which only the audio is recorded."""

    server: FakeAsterisk
    controller: Live
    alice: Peer

    async def events_at_broker(self, count: int = 1) -> list[dict[str, Any]]:
        """Return the queue's messages about segments."""
        published = self.controller.broker.published

        def bodies() -> list[bytes]:
            return [m.body for m in published if m.routing_key == "recordingInfo"]

        await until(lambda: len(bodies()) >= count)
        assert len(bodies()) == count
        return [json.loads(body)["recordingInfo"] for body in bodies()]


@asynccontextmanager
async def call(tmp_path: Path, clock: Ahead | None = None) -> AsyncIterator[Call]:
    async with asterisk(tmp_path) as server:
        chosen = (
            "media.sfu=none",
            "media.mixer=asterisk",
            f"media.timeoutSeconds={ANSWER_S}",
            "recordRecordingAtStart=false",
            f"asterisk.port={server.port}",
            f"asterisk.secret={SECRET}",
            f"audio_path={tmp_path}",
        )
        settings = load(Path("config"), {}, (f"auth.secret={TOKEN_SECRET}", *chosen))
        plane = media_plane(settings, SystemClock())
        async with live(*chosen, plane=plane, clock=clock) as controller:
            await until(lambda: plane.is_available(Medium.AUDIO))
            permission = RecordingPermissions(RecordingType.AUDIO, RecordingProfile.ALWAYS)
            await controller.permit("alice", permission)
            alice, bob = await controller.client("alice"), await controller.client("bob")
            wish = {"owner": "alice", "domain": DOMAIN, "confbridgeId": CONFERENCE}
            room = (await (await controller.service()).ok("createRoom", wish))["room"]
            for peer in (alice, bob):
                await peer.ok("joinRoom", {"room": room, "media": {"audio": True}})
            yield Call(server, controller, alice)


async def test_asterisk_dies_in_mid_segment_and_the_next_segment_starts_after_its_recovery(
    tmp_path: Path,
) -> None:
    async with call(tmp_path) as here:
        here.server.enter(CONFERENCE)
        await here.alice.ok("startRoomRecording")
        await here.server.kill()
        stopped = await here.alice.event("roomRecordingStopped")
        (info,) = await here.events_at_broker()
        await here.server.start()
        here.server.enter(CONFERENCE)
        since = len(here.alice.received)
        again = await here.alice.event("roomRecordingStarted", since=since)

    assert (stopped["segment"], stopped["reason"]) == (1, "failed")
    assert info["incomplete"]
    (file,) = info["audio"]["asterisk"]["sipcall"].values()
    assert file["filename"] == f"{info['uuid']}/recording-bridge-1-1.wav"
    assert file["stopTime"] == info["completed"] == stopped["stoppedAt"]
    assert again["by"] == "system"
    failed = events_of(here.alice, "roomRecordingFailed", again["room"])
    assert [each["segment"] for each in failed] == list(range(2, again["segment"]))


async def test_a_start_in_an_empty_conference_is_refused_and_stays_refused(
    tmp_path: Path, clock: Ahead
) -> None:
    async with call(tmp_path, clock) as here:
        asked = asyncio.create_task(here.alice.refused("startRoomRecording"))
        await until(lambda: here.server.was_asked("ConfbridgeStartRecord"))
        clock.forward(ANSWER_S)
        code = await asked
        here.server.enter(CONFERENCE)
        started = await here.alice.ok("startRoomRecording")

    assert code == "MEDIA_FAILED"
    assert started["segment"] == 2
    assert names(tmp_path) == ["recording-bridge-1-2.wav"]


async def test_a_stop_that_asterisk_does_not_answer_is_confirmed_later_with_one_event(
    tmp_path: Path, clock: Ahead
) -> None:
    async with call(tmp_path, clock) as here:
        here.server.enter(CONFERENCE)
        await here.alice.ok("startRoomRecording")
        here.server.silent = {"ConfbridgeStopRecord"}
        asked = asyncio.create_task(here.alice.refused("stopRoomRecording"))
        await until(lambda: here.server.was_asked("ConfbridgeStopRecord"))
        clock.forward(ANSWER_S)
        code = await asked
        here.server.silent = set()
        clock.forward(ANSWER_S)
        stopped = await here.alice.event("roomRecordingStopped")
        (info,) = await here.events_at_broker()

    assert code == "MEDIA_FAILED"
    assert stopped["reason"] == "requested"
    assert not info["incomplete"]
    assert len(info["audio"]["asterisk"]["sipcall"]) == 1


async def test_the_end_of_the_call_ends_the_recording_though_the_conference_ends_first(
    tmp_path: Path,
) -> None:
    async with call(tmp_path) as here:
        leg = here.server.enter(CONFERENCE)
        await here.alice.ok("startRoomRecording")
        here.server.leave(CONFERENCE, leg)
        await here.alice.ok("endRoom")
        stopped = await here.alice.event("roomRecordingStopped")
        (info,) = await here.events_at_broker()

    assert stopped["reason"] == "callEnded"
    assert not info["incomplete"]


def names(mixes: Path) -> list[str]:
    return [path.name for path in mixes.glob("*/*.wav")]
