"""Real Asterisk: a telephone calls through the trunk, is recorded, and its tone is in the file.

Left out where Asterisk could not be fetched (``scripts/fetch-asterisk``, ``tests/skips.txt``).
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sfu_wrapper.adapters.asterisk.ami import Ami, LinkUp
from sfu_wrapper.adapters.asterisk.conference import TAKEN
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.app.planes import media_plane, server_checks, trunk_of
from sfu_wrapper.config.load import load
from sfu_wrapper.core.media_plane import (
    CaptureChanged,
    CaptureFailed,
    CaptureLost,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    CloseMediaRoom,
    OpenMediaRoom,
    PlaneBack,
    ResumeCapture,
    StartCapture,
    StopCapture,
)
from sfu_wrapper.model.identity import (
    ConfbridgeId,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    RoomUuid,
    SegmentNo,
)
from sfu_wrapper.model.media import Medium
from sfu_wrapper.observe.findings import Status
from tests.contract import test_plane as contract
from tests.helpers.asterisk import SECRET, AsteriskServer, loudness_of, seconds_of
from tests.helpers.live import DOMAIN, Live, Peer, live
from tests.helpers.live import SECRET as TOKEN_SECRET
from tests.helpers.live import connected as connected_client
from tests.helpers.planes import AUDIO, BRIDGE, ROOM, Bench, asterisk_plane, running, start, voice
from tests.helpers.processes import environment, free_port, queued, serve
from tests.helpers.sip import calling
from tests.helpers.wait import until

pytestmark = pytest.mark.system

PHONE_HZ, ALICE_HZ, BOB_HZ = 1000.0, 440.0, 700.0
NUMBER, DID = "34600111222", "34900123456"
AUDIBLE = 300.0
Promise = Callable[[Bench], Awaitable[None]]
PROMISES: tuple[Promise, ...] = (
    contract.test_a_repeated_start_is_confirmed_again,
    contract.test_a_running_capture_is_resumed,
    contract.test_two_segments_share_no_file,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsteriskServer]:
    asterisk = AsteriskServer(tmp_path_factory.mktemp("asterisk"))
    asterisk.start()
    yield asterisk
    asterisk.kill()


@dataclass(slots=True)
class Here:
    """Controller with a real Asterisk as its mixer."""

    server: AsteriskServer
    controller: Live
    service: Peer
    callers: Ami

    async def put_in(self, conference: str, hz: float) -> None:
        """Let a caller that plays a tone enter a conference."""
        await put_in(self.callers, conference, hz)

    async def told(self) -> dict[str, Any]:
        """Return the only published recordingInfo."""
        published = self.controller.broker.published
        found: list[bytes] = []

        def look() -> bool:
            found[:] = [m.body for m in published if m.routing_key == "recordingInfo"]
            return bool(found)

        await until(look)
        (body,) = found
        info: dict[str, Any] = json.loads(body)["recordingInfo"]
        return info

    async def reports(self, count: int) -> list[dict[str, Any]]:
        """Return every recordingInfo, once that many are published."""
        published = self.controller.broker.published

        def bodies() -> list[bytes]:
            return [m.body for m in published if m.routing_key == "recordingInfo"]

        await until(lambda: len(bodies()) >= count)
        return [json.loads(body)["recordingInfo"] for body in bodies()]

    def mixes(self, info: dict[str, Any]) -> list[Path]:
        """Return the files that an event names."""
        files = info["audio"]["asterisk"]["sipcall"].values()
        assert {file["mixer"] for file in files} == {"asterisk"}
        return [self.server.recordings / file["filename"] for file in files]


@asynccontextmanager
async def here(server: AsteriskServer, *overrides: str) -> AsyncIterator[Here]:
    chosen = (
        "media.sfu=none",
        "media.mixer=asterisk",
        f"asterisk.port={server.ami_port}",
        f"asterisk.secret={SECRET}",
        f"asterisk.trunkDomain={DOMAIN}",
        f"audio_path={server.recordings}",
        *overrides,
    )
    settings = load(Path("config"), {}, (f"auth.secret={TOKEN_SECRET}", *chosen))
    plane = media_plane(settings, SystemClock())
    async with AsyncExitStack() as stack:
        controller = await stack.enter_async_context(
            live(*chosen, plane=plane, trunk=trunk_of(plane, settings))
        )
        callers = await stack.enter_async_context(manager(server))
        service = await controller.client("trunk", "service")
        await until(lambda: plane.is_available(Medium.AUDIO))
        yield Here(server, controller, service, callers)


@asynccontextmanager
async def manager(server: AsteriskServer) -> AsyncIterator[Ami]:
    """Manager login of the test that originates callers."""
    ami = Ami(server.settings)
    run = asyncio.create_task(ami.run())
    try:
        async for news in ami.news():
            if isinstance(news, LinkUp):
                break
        yield ami
    finally:
        if ami.up:
            await ami.act("Hangup", ("Channel", "/^Local.*/"))
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


async def put_in(ami: Ami, conference: str, hz: float) -> None:
    await ami.act(
        "Originate",
        ("Channel", f"Local/{hz:.0f}@tone/n"),
        ("Context", "internal"),
        ("Exten", conference),
        ("Priority", "1"),
        ("Async", "true"),
    )


async def test_a_call_through_the_trunk_is_recorded_from_the_answer(
    server: AsteriskServer,
) -> None:
    async with here(server, "trunk.recordIncomingPSTN=true") as world:
        rings_s = time.monotonic()
        async with calling(
            server.sip_port,
            number=NUMBER,
            called=DID,
            hz=PHONE_HZ,
            headers={"X-Room-Id": "sales", "X-Invite": "alice bob"},
        ) as phone:
            rung = await world.service.event("participantJoined")
            alice = await world.controller.client("alice")
            joined = await alice.ok("joinRoom", {"room": "sales", "media": {"audio": True}})
            started = await alice.event("roomRecordingStarted")
            codes = [await alice.refused(f"{word}RoomRecording") for word in ("start", "stop")]
            await asyncio.sleep(1.0)
            await phone.hang_up()
            stopped = await alice.event("roomRecordingStopped")
            call_s = time.monotonic() - rings_s
            await alice.event("hangup")
        info = await world.told()
        (mix,) = world.mixes(info)

    assert (rung["room"], rung["user"]) == ("sales", f"tel:{NUMBER}")
    assert joined["participants"][0]["user"] == f"tel:{NUMBER}"
    assert (started["by"], stopped["reason"]) == ("system", "callEnded")
    assert codes == ["PSTN_ROOM", "PSTN_ROOM"]
    assert mix.name == f"recording-{info['confbridgeId']}-1.wav"
    assert not info["incomplete"]
    assert loudness_of(mix, PHONE_HZ) > AUDIBLE
    assert loudness_of(mix, 660.0) < AUDIBLE / 10
    assert 0.7 < seconds_of(mix) < call_s + 0.3
    assert 0.7 < stopped["duration"] < call_s + 0.3


async def test_the_conflict_of_two_keys_is_reported_and_the_phone_is_hung_up(
    server: AsteriskServer,
) -> None:
    keys = ("trunk.recordIncomingPSTN=true", "recordRecordingAtStart=false")
    before = set(server.recordings.iterdir())
    async with (
        here(server, *keys) as world,
        calling(server.sip_port, number="anonymous", called=DID, hz=PHONE_HZ) as phone,
    ):
        rung = await world.service.event("participantJoined")
        alice = await world.controller.client("alice")
        joined = await alice.ok("joinRoom", {"room": rung["room"]})
        code = await alice.refused("startRoomRecording")
        await alice.ok("leaveRoom", {"room": rung["room"]})
        async with asyncio.timeout(10):
            await phone.hung_up.wait()

    assert rung["user"] == "tel:anonymous"
    assert joined["recording"]["reason"] == "PSTN_CONFLICT"
    assert code == "PSTN_ROOM"
    assert set(server.recordings.iterdir()) == before


async def test_a_restarted_controller_finds_its_call_and_its_recording(
    server: AsteriskServer, tmp_path: Path
) -> None:
    url = f"ws://127.0.0.1:{(port := free_port())}"
    env = environment(
        tmp_path,
        WEBSOCKET__PORT=str(port),
        HTTP__PORT="0",
        MEDIA__SFU="none",
        MEDIA__MIXER="asterisk",
        ASTERISK__PORT=str(server.ami_port),
        ASTERISK__SECRET=SECRET,
        ASTERISK__TRUNK_DOMAIN=DOMAIN,
        TRUNK__RECORD_INCOMING_PSTN="true",
        AUDIO_PATH=str(server.recordings),
    )
    controller = await serve(env)
    async with AsyncExitStack() as phones:
        async with connected_client(url, "trunk", "service") as service:  # before the phone rings
            ringing = calling(server.sip_port, number=NUMBER, called=DID, hz=PHONE_HZ)
            phone = await phones.enter_async_context(ringing)
            room = (await service.event("participantJoined"))["room"]
            async with connected_client(url, "alice") as alice:
                await alice.ok("joinRoom", {"room": room, "media": {"audio": True}})
                await alice.event("roomRecordingStarted")
                runs_s = time.monotonic()
                await controller.kill()
        controller = await serve(env)
        async with connected_client(url, "alice") as alice:
            await asyncio.sleep(1.0)
            shown = await alice.ok("getRoom", {"room": room})
            kept_s = time.monotonic() - runs_s
            await phone.hang_up()
            stopped = await alice.event("roomRecordingStopped")
    assert await controller.terminate() == 0
    (event,) = await queued(tmp_path)

    assert shown["recording"]["active"]
    assert [each["user"] for each in shown["participants"]] == [f"tel:{NUMBER}", "alice"]
    assert (stopped["segment"], stopped["reason"]) == (1, "callEnded")
    info = event["recordingInfo"]
    (file,) = info["audio"]["asterisk"]["sipcall"].values()
    assert not info["incomplete"]
    assert seconds_of(server.recordings / file["filename"]) > kept_s - 0.3, "one file, all the time"
    assert stopped["duration"] > kept_s - 0.3


async def test_doctor_finds_the_examples_in_order(server: AsteriskServer) -> None:
    chosen = (f"asterisk.port={server.ami_port}", f"asterisk.secret={SECRET}")
    audio = f"audio_path={server.recordings}"
    settings = load(Path("config"), {}, ("media.mixer=asterisk", audio, *chosen))
    found = [finding async for finding in server_checks()["asterisk"](settings)]

    assert {finding.status for finding in found} == {Status.OK}
    assert found[0].text.startswith("Asterisk ")


async def test_two_segments_of_a_call_are_two_files_with_all_members(
    server: AsteriskServer,
) -> None:
    async with here(server, "recordRecordingAtStart=false") as world:
        permission = RecordingPermissions(RecordingType.ALL, RecordingProfile.ALWAYS)
        await world.controller.permit("alice", permission)
        alice = await world.controller.client("alice")
        bob = await world.controller.client("bob")
        wish = {"confbridgeId": "two-segments", "owner": "alice", "domain": DOMAIN}
        room = (await world.service.ok("createRoom", wish))["room"]
        for peer, hz in ((alice, ALICE_HZ), (bob, BOB_HZ)):
            await world.put_in("two-segments", hz)
            await peer.ok("joinRoom", {"room": room, "media": {"audio": True}})
        spans_s = []
        for _ in range(2):
            asked_s = time.monotonic()
            await alice.ok("startRoomRecording")
            await asyncio.sleep(0.5)
            await alice.ok("stopRoomRecording")
            spans_s.append(time.monotonic() - asked_s)

    for number, span_s in enumerate(spans_s, start=1):
        mix = server.recordings / room / f"recording-two-segments-{number}.wav"
        assert min(loudness_of(mix, ALICE_HZ), loudness_of(mix, BOB_HZ)) > AUDIBLE
        assert 0.3 < seconds_of(mix) < span_s + 0.3


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_asterisk_meets_the_contract_of_mixers(
    promise: Promise, server: AsteriskServer, tmp_path: Path
) -> None:
    async with manager(server) as callers, connected(server, tmp_path) as bench:
        await put_in(callers, BRIDGE, ALICE_HZ)
        before = CaptureRef(ROOM, SegmentNo(9), Medium.AUDIO)
        await bench.start(before, voice("alice"))  # confirmed as soon as somebody is there
        bench.send(StopCapture(before))
        await bench.until(CaptureStopped)
        await promise(bench)


async def test_the_file_lasts_from_the_first_member_to_enter_to_the_last_to_leave(
    server: AsteriskServer, tmp_path: Path
) -> None:
    async with connected(server, tmp_path) as bench:
        bench.send(OpenMediaRoom(ROOM, BRIDGE))
        accepted = await bench.start(AUDIO)
        async with manager(server) as callers:
            await put_in(callers, BRIDGE, ALICE_HZ)
            begun = await bench.until(CaptureChanged)
            await asyncio.sleep(0.3)
        ended = await bench.until(CaptureChanged)

    assert accepted.files == ()
    assert [file.stopped_ms is None for file in begun.files] == [True]
    (file,) = ended.files
    assert file.stopped_ms is not None
    length_s = (file.stopped_ms - file.started_ms) / 1000
    assert abs(seconds_of(tmp_path / file.filename) - length_s) < 0.5


async def test_a_file_that_cannot_be_written_is_reported_despite_success(
    server: AsteriskServer, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    async with manager(server) as callers:
        await put_in(callers, BRIDGE, ALICE_HZ)
        async with connected(server, tmp_path / "file") as bench:
            bench.send(start(AUDIO, voice("alice")))
            failed = await bench.until(CaptureFailed)

    assert "does not exist" in failed.message


async def test_a_restarted_controller_continues_and_a_killed_asterisk_is_detected(
    server: AsteriskServer, tmp_path: Path
) -> None:
    async with manager(server) as callers:
        await put_in(callers, BRIDGE, ALICE_HZ)
        plane = asterisk_plane(server.settings, tmp_path)
        first = asyncio.create_task(plane.run())
        started = await Bench(plane).start_when_there(AUDIO, voice("alice"))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        async with connected(server, tmp_path) as bench:
            bench.send(OpenMediaRoom(ROOM, BRIDGE), ResumeCapture(AUDIO, started.files))
            resumed = await bench.until(CaptureStarted)
            server.kill()
            lost = await bench.until(CaptureLost)
            server.start()
            await bench.until(PlaneBack)

    assert resumed.files == started.files
    (file,) = lost.files
    assert file.stopped_ms == lost.stopped_ms > file.started_ms
    assert (tmp_path / file.filename).stat().st_size > 32_000


def recorder_of(server: AsteriskServer, conference: str) -> str:
    """Return the channel over which Asterisk records a conference."""
    channels = server.cli("core show channels concise").splitlines()
    (channel,) = (each.split("!")[0] for each in channels if each.startswith(f"CBRec/{conference}"))
    return channel


@pytest.mark.parametrize(
    "command",
    [
        "confbridge record stop {name}",
        "mixmonitor stop {recorder}",
        "channel request hangup {recorder}",
    ],
    ids=["recording", "monitor", "channel"],
)
async def test_a_recording_ended_by_an_operator_is_detected_and_restarted(
    command: str, server: AsteriskServer, tmp_path: Path
) -> None:
    async with manager(server) as callers, connected(server, tmp_path) as bench:
        await put_in(callers, BRIDGE, ALICE_HZ)
        started = await bench.start(AUDIO, voice("alice"))
        recorder = recorder_of(server, BRIDGE)
        server.cli(command.format(name=BRIDGE, recorder=recorder))
        async with asyncio.timeout(5):
            lost = await bench.until(CaptureLost)
        again = await bench.start(AUDIO, voice("alice"))
        bench.send(StopCapture(AUDIO))
        await bench.until(CaptureStopped)

    (first,), (_, second) = started.files, again.files
    assert [file.filename for file in lost.files] == [first.filename]
    assert first.filename != second.filename


async def test_a_second_room_neither_hears_nor_stops_the_conference_of_the_first(
    server: AsteriskServer, tmp_path: Path
) -> None:
    """The audio of a call is not accessible by another spelling of its conference."""
    second = CaptureRef(RoomUuid("second"), SegmentNo(1), Medium.AUDIO)
    name = ConfbridgeId(BRIDGE.upper())
    async with manager(server) as callers, connected(server, tmp_path) as bench:
        await put_in(callers, BRIDGE, ALICE_HZ)
        await bench.start(AUDIO, voice("alice"))
        bench.send(OpenMediaRoom(second.room, name), StartCapture(second, name, ()))
        failed = await bench.until(CaptureFailed, second)
        bench.send(StopCapture(second))
        stopped = await bench.until(CaptureStopped, second)
        bench.send(CloseMediaRoom(second.room))
        asked_s = time.monotonic()
        await asyncio.sleep(0.5)
        bench.send(StopCapture(AUDIO))
        (mix,) = (await bench.until(CaptureStopped, AUDIO)).files
        on_s = time.monotonic() - asked_s

    assert (failed.message, stopped.files) == (TAKEN, ())
    assert seconds_of(tmp_path / mix.filename) > on_s - 0.3, "it went on"


async def created(service: Peer, wish: dict[str, str]) -> str:
    """Create a room as soon as the previous one has released its names; return its id."""
    async with asyncio.timeout(10):
        while (answer := await service.ask("createRoom", wish))["status"] == "error":
            assert answer["error"]["code"] == "ROOM_EXISTS"
    return str(answer["payload"]["room"])


async def test_reusing_a_confbridge_id_at_once_loses_no_audio(
    server: AsteriskServer,
) -> None:
    name, infos = "used-again", []
    async with here(server, "recordRecordingAtStart=false") as world:
        permission = RecordingPermissions(RecordingType.ALL, RecordingProfile.ALWAYS)
        await world.controller.permit("alice", permission)
        alice = await world.controller.client("alice")
        bob = await world.controller.client("bob")
        for number in range(12):
            wish = {"id": f"again-{number}", "confbridgeId": name}
            whose = {"owner": "alice", "domain": DOMAIN}
            room = await created(world.service, wish | whose)
            await world.put_in(name, ALICE_HZ)
            for peer in (alice, bob):
                await peer.ok("joinRoom", {"room": room, "media": {"audio": True}})
            await alice.ok("startRoomRecording", {"room": room})
            await asyncio.sleep(0.3)
            await world.service.ok("endRoom", {"room": room})
            if number % 2:  # half of the rooms follow on people who are still there
                await world.callers.act("Hangup", ("Channel", "/^Local.*/"))
        infos = await world.reports(12)

    assert [info["incomplete"] for info in infos] == [False] * 12
    mixes = [mix for info in infos for mix in world.mixes(info)]
    assert len({str(mix) for mix in mixes}) == len(mixes) == 12
    for mix in mixes:
        assert loudness_of(mix, ALICE_HZ) > AUDIBLE


@asynccontextmanager
async def connected(server: AsteriskServer, folder: Path) -> AsyncIterator[Bench]:
    async with running(asterisk_plane(server.settings, folder)) as bench:
        await bench.until(PlaneBack)
        yield bench
