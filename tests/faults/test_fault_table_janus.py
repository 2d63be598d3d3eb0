"""Rows of policy.md on a real Janus that refuses, hangs, dies, disconnects and recovers."""

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from sfu_wrapper.adapters.janus import room_queue
from sfu_wrapper.adapters.janus.session import AUDIO_BRIDGE, VIDEO_ROOM, open_session
from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.adapters.planes.composite_plane import PairedPlane
from sfu_wrapper.core.media_plane import CloseMediaRoom, PlaneRequest
from sfu_wrapper.wire.strict_json import parse_iso
from tests.helpers.calls import call, files, is_available, is_unavailable, mixes, report, reported
from tests.helpers.clocks import Ahead, noticing
from tests.helpers.janus import ADMIN_KEY, WS_PORT, JanusServer, environment_at_janus, running_janus
from tests.helpers.januscalls import (
    COLOURS,
    SFU,
    RealCall,
    again,
    first_frame_us,
    is_recording,
    is_written,
    last_frame_us,
    plane_at,
    real_call,
)
from tests.helpers.live import DOMAIN, Json, connected, live
from tests.helpers.processes import free_port, queued, serve
from tests.helpers.publishers import Camera, Tone, person
from tests.helpers.wait import until
from tests.helpers.wire import wire

pytestmark = [pytest.mark.system]


@pytest.fixture(scope="module")
def janus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JanusServer]:
    with running_janus(tmp_path_factory.mktemp("janus") / "server") as server:
        yield server


@pytest.fixture
def clock() -> Iterator[Ahead]:
    with noticing() as clock:
        yield clock


async def recorded(real: RealCall, seconds: float = 0.5) -> Json:
    """Start a recording as Alice, let it run for a while, and return the answer."""
    started = await real.call.started()
    await asyncio.sleep(seconds)
    return started


async def one_event(real: RealCall, count: int = 1) -> Json:
    """Return the last of exactly that many recordingInfo events."""
    infos = await report(real.controller.broker, count, real.call.room)
    assert len(infos) == count
    return infos[-1]


async def test_janus_is_killed_in_mid_segment(janus: JanusServer, tmp_path: Path) -> None:
    async with real_call(janus, tmp_path) as real:
        started = await recorded(real, 1.5)
        janus.kill()
        await real.go()
        await until(lambda: is_unavailable(real.controller.http_url, "sfu"))
        await asyncio.sleep(1.0)
        back_ms = time.time_ns() // 1_000_000
        janus.start()
        stopped = await real.call.other.event("roomRecordingStopped")
        info = await one_event(real)

        assert (stopped["segment"], stopped["reason"]) == (1, "failed")
        assert info["incomplete"] is True
        assert sorted(info["video"]) == ["alice", "bob"]
        assert info["completed"] == stopped["stoppedAt"]
        last_ms = max(last_frame_us(video) for video in real.videos(info)) // 1000
        assert last_ms > parse_iso(started["startedAt"]) + 500, "what was written before is there"
        assert last_ms <= parse_iso(stopped["stoppedAt"]) < back_ms

        await real.come("alice", "bob")  # the rooms were rebuilt
        await until(lambda: segment_runs(real, 2))
        await asyncio.sleep(0.5)
        await real.call.stopped()
        second = await one_event(real, 2)
        assert (second["segment"], second["incomplete"]) == (2, False)
        assert sorted(second["video"]) == ["alice", "bob"]


async def segment_runs(real: RealCall, number: int) -> bool:
    """Return True if that segment is being recorded."""
    states = await real.call.segments()
    return len(states) == number and states[-1] == "recording"


@pytest.mark.timeout(90)
async def test_janus_hangs_for_10_s_in_mid_segment(
    janus: JanusServer, tmp_path: Path, clock: Ahead
) -> None:
    async with real_call(janus, tmp_path, timeout_s=5, clock=clock) as real:
        await recorded(real)
        janus.freeze()
        stop = asyncio.create_task(real.call.stop())
        await until(lambda: in_state(real, "stopping"))
        clock.forward(5)
        answer = await stop
        assert answer["error"]["code"] == "MEDIA_FAILED"
        assert await real.call.segments() == ["stopping"]
        await until(lambda: is_unavailable(real.controller.http_url, "sfu"))
        await asyncio.sleep(8)
        assert reported(real.controller.broker, real.call.room) == []
        janus.thaw()

        stopped = await real.call.other.event("roomRecordingStopped")
        info = await one_event(real)
        assert (stopped["segment"], stopped["reason"]) == (1, "requested")
        assert (info["incomplete"], len(real.videos(info))) == (False, 2)
        assert await is_recording(janus, real.call.room) == [False, False]
        await until(lambda: is_available(real.controller.http_url, "sfu"))
        assert (await recorded(real))["segment"] == 2


async def test_a_late_confirmation_of_a_start_already_given_up(
    janus: JanusServer, tmp_path: Path, clock: Ahead
) -> None:
    async with real_call(janus, tmp_path, clock=clock) as real:
        janus.freeze()
        start = asyncio.create_task(real.call.start())
        await until(lambda: in_state(real, "starting"))
        clock.forward(10)
        answer = await start
        assert answer["error"]["code"] == "MEDIA_FAILED"
        janus.thaw()

        async def nothing_is_written() -> bool:
            return await is_recording(janus, real.call.room) == [False, False]

        await until(nothing_is_written)
        assert (await recorded(real))["segment"] == 2
        await real.call.stopped()
        infos = await report(real.controller.broker, 1, real.call.room)
        late, last = infos[:-1], infos[-1]
        assert (last["segment"], last["incomplete"]) == (2, False)
        assert [(info["segment"], info["incomplete"]) for info in late] in ([], [(1, True)])


async def in_state(real: RealCall, state: str) -> bool:
    """Return True if the last segment is in this state."""
    return (await real.call.segments())[-1:] == [state]


async def test_a_room_ends_while_janus_hangs(janus: JanusServer, tmp_path: Path) -> None:
    async with real_call(janus, tmp_path) as real:
        await recorded(real)
        janus.freeze()
        await real.call.service.ok("endRoom", {"room": real.call.room})
        await real.call.other.event("roomEnded")
        assert reported(real.controller.broker, real.call.room) == []
        janus.thaw()
        info = await one_event(real)

        assert (info["incomplete"], len(real.videos(info))) == (False, 2)
        await until(lambda: is_gone(janus, real.call.room))


async def is_gone(server: JanusServer, room: str) -> bool:
    """Return True if Janus no longer has the room."""
    return await is_recording(server, room) == []


async def test_a_connection_that_is_cut_does_not_end_the_segment(
    janus: JanusServer, tmp_path: Path
) -> None:
    async with wire(WS_PORT) as between, real_call(janus, tmp_path, url=between.url) as real:
        await recorded(real)
        between.cut()
        cut_us = time.time_ns() // 1000
        await until(lambda: is_written(tmp_path, cut_us, 2))
        stopped = await real.call.stopped()
        info = await one_event(real)

        assert (stopped["segment"], info["incomplete"]) == (1, False)
        assert len(real.videos(info)) == 2, "each went on in its one file"
        for video in real.videos(info):
            assert first_frame_us(video) < cut_us < last_frame_us(video)


async def test_a_long_outage_ends_the_segment_with_its_known_files(
    janus: JanusServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_queue, "LOST_AFTER_S", 0.5)
    async with wire(WS_PORT) as between, real_call(janus, tmp_path, url=between.url) as real:
        await recorded(real)
        between.closed = True
        between.cut()
        stopped = await real.call.other.event("roomRecordingStopped")
        assert (stopped["segment"], stopped["reason"]) == (1, "failed")
        assert await is_recording(janus, real.call.room) == [True, True], "nobody can stop it"
        between.closed = False

        await until(lambda: segment_runs(real, 2))
        await asyncio.sleep(0.3)
        await real.call.stopped()
        infos = await report(real.controller.broker, 2, real.call.room)
        assert [(each["segment"], each["incomplete"]) for each in infos] == [(1, True), (2, False)]
        assert await is_recording(janus, real.call.room) == [False, False]


async def test_video_that_cannot_be_written_is_retried(janus: JanusServer, tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("in the way: Janus says yes, and opens no file")
    async with real_call(janus, tmp_path) as real:
        started = await recorded(real, 0)
        assert started["missing"] == ["video"]
        (tmp_path / "raw").unlink()

        await until(lambda: nothing_is_missing(real))
        await asyncio.sleep(0.3)
        await real.call.stopped()
        info = await one_event(real)
        assert sorted(info["video"]) == ["alice", "bob"]
        assert real.mix(info).is_file()


async def nothing_is_missing(real: RealCall) -> bool:
    """Return True if the running segment misses no medium."""
    shown = await real.call.shown()
    return "missing" not in shown["segments"][-1]


@pytest.mark.timeout(90)
async def test_janus_keeps_recording_when_the_controller_is_killed(
    janus: JanusServer, tmp_path: Path
) -> None:
    url = f"ws://127.0.0.1:{(port := free_port())}"
    env = environment_at_janus(tmp_path, janus, WEBSOCKET__PORT=str(port), HTTP__PORT="0")
    room = {"id": "killed", "uuid": "killed", "confbridgeId": "killed", "record": False}
    killed = await serve(env)
    async with (
        person(janus.address) as alice,
        connected(url, "room-service", "service") as service,
        connected(url, "alice") as owner,
        connected(url, "bob") as bob,
    ):
        await service.ok("createRoom", room | {"owner": "alice", "domain": DOMAIN})
        where = (await owner.ok("joinRoom", {"room": "killed"}))["media"]
        await bob.ok("joinRoom", {"room": "killed"})
        await again(
            lambda: alice.send_video("killed", where["publisherId"], Camera(COLOURS["alice"]))
        )
        await again(lambda: alice.speak("killed", where["publisherId"], Tone(440)))
        await owner.ok("startRoomRecording")
        await until(lambda: is_written(tmp_path, 0, 1))
        killed_us = time.time_ns() // 1000
        await killed.kill()
        restarted = await serve(env)
        back_us = time.time_ns() // 1000
        await until(lambda: is_written(tmp_path, back_us, 1))
        async with connected(url, "alice") as owner:
            stopped = await owner.ok("stopRoomRecording", {"room": "killed"})
            await owner.ok("startRoomRecording", {"room": "killed"})
            await asyncio.sleep(0.3)
        assert await restarted.terminate() == 0  # with a segment that runs

    first, second = [event["recordingInfo"] for event in await queued(tmp_path)]
    assert (first["segment"], first["incomplete"], stopped["segment"]) == (1, False, 1)
    assert (second["segment"], second["incomplete"]) == (2, False)
    (video,) = [tmp_path / "raw" / name.lstrip("/") for name in files(first)]
    assert first_frame_us(video) < killed_us < back_us < last_frame_us(video), "all the time"
    (mix,) = mixes(first)
    audio_s = (tmp_path / "raw-audio" / mix).stat().st_size / 32_000
    assert 2 * audio_s > (back_us - killed_us) / 1e6, "while nobody was there too"


async def test_the_controller_dies_between_the_end_of_a_call_and_that_of_its_room(
    janus: JanusServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, at_janus = MemoryStore(), (janus, janus.address, tmp_path)
    with monkeypatch.context() as dying:
        dying.setattr(PairedPlane, "send", all_but_the_end(PairedPlane.send))
        async with live(*SFU, store=store, plane=plane_at(*at_janus)) as dead:
            for room in ("left", "living"):
                await call(dead, room, media={})
                await until(partial(stands, janus, room))
            await (await dead.service()).ok("endRoom", {"room": "left"})
    await make_rooms_of_others(janus)
    async with live(*SFU, store=store, plane=plane_at(*at_janus)):
        await until(lambda: is_gone(janus, "left"))
        for room in ("living", "unmarked", "of-another"):
            assert await is_recording(janus, room) == [False, False], f"{room} still stands"


def all_but_the_end(
    send: Callable[[PairedPlane, PlaneRequest], None],
) -> Callable[[PairedPlane, PlaneRequest], None]:
    """Wrap ``send`` so that rooms are never closed, as if the controller had died before."""

    def told(plane: PairedPlane, request: PlaneRequest) -> None:
        if not isinstance(request, CloseMediaRoom):
            send(plane, request)

    return told


async def stands(server: JanusServer, room: str) -> bool:
    """Return True if Janus has both rooms of that name."""
    return len(await is_recording(server, room)) == 2


async def make_rooms_of_others(server: JanusServer) -> None:
    """Create a room without a tag, and one of another controller."""
    async with open_session(server.address) as session:
        for plugin in (VIDEO_ROOM, AUDIO_BRIDGE):
            handle = await session.attach(plugin)
            create = {"request": "create", "admin_key": ADMIN_KEY, "is_private": True}
            await handle.request(create | {"room": "unmarked"})
            whose = {"description": "sfu-wrapper of-another", "secret": "another's"}
            await handle.request(create | {"room": "of-another"} | whose)


async def test_a_start_while_janus_is_unavailable_is_refused_soon(
    janus: JanusServer, tmp_path: Path
) -> None:
    async with real_call(janus, tmp_path) as real:
        janus.kill()
        await real.go()
        answer = await real.call.start()
        janus.start()

        assert answer["error"]["code"] == "MEDIA_FAILED"
        assert "Janus cannot be reached" in answer["error"]["message"]
        assert reported(real.controller.broker, real.call.room) == []
