"""Session client against a Janus that answers, refuses, hangs, disconnects and recovers."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection

from sfu_wrapper.adapters.janus import settings, videoroom
from sfu_wrapper.adapters.janus.errors import JanusRefused, Trouble
from sfu_wrapper.adapters.janus.plane import audio_plane, keep_connected, video_plane
from sfu_wrapper.adapters.janus.room_queue import RoomQueue
from sfu_wrapper.adapters.janus.session import (
    AUDIO_BRIDGE,
    VIDEO_ROOM,
    Handle,
    JanusAddress,
    JanusSession,
    open_session,
)
from sfu_wrapper.adapters.janus.settings import Folder, JanusSettings
from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.core.media_plane import (
    CaptureLost,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    CloseMediaRoom,
    OpenMediaRoom,
    PlaneBack,
    StartCapture,
    StopCapture,
    TracksCarried,
)
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import ConfbridgeId, RoomUuid, SegmentNo
from sfu_wrapper.model.media import Medium
from tests.helpers.fakejanus import FakeJanus, Json, fake_janus
from tests.helpers.planes import running
from tests.helpers.wait import until

SOON_S = 20.0
ROOM = RoomUuid("room-1")


@pytest.fixture
async def janus() -> AsyncIterator[FakeJanus]:
    async with fake_janus() as janus:
        yield janus


@pytest.fixture
async def session(janus: FakeJanus) -> AsyncIterator[JanusSession]:
    async with open_session(janus.address) as session:
        yield session


@pytest.fixture
async def handle(session: JanusSession) -> Handle:
    return await session.attach(VIDEO_ROOM)


async def lost(session: JanusSession) -> None:
    async with asyncio.timeout(SOON_S):
        await session.lost.wait()


async def test_every_request_names_the_session_and_the_secret(
    janus: FakeJanus, handle: Handle
) -> None:
    await handle.request({"request": "exists", "room": "room-1"})

    create, attach, message = (m for m in janus.heard if m["janus"] != "keepalive")
    assert (create["janus"], attach["janus"]) == ("create", "attach")
    assert attach["plugin"] == VIDEO_ROOM
    assert message["session_id"] == attach["session_id"] == janus.session_ids[0]
    assert {m["apisecret"] for m in janus.heard} == {"secret"}
    assert message["handle_id"] == handle.id
    assert message["body"] == {"request": "exists", "room": "room-1"}


async def test_a_synchronous_answer_is_returned(janus: FakeJanus, handle: Handle) -> None:
    janus.replies["enable_recording"] = lambda _: {"videoroom": "success", "record": True}
    answer = await handle.request({"request": "enable_recording", "record": True})

    assert answer == {"videoroom": "success", "record": True}


async def test_an_acknowledgement_is_not_the_answer(janus: FakeJanus, handle: Handle) -> None:
    janus.replies["join"] = lambda _: {"videoroom": "joined", "publishers": []}
    answer = await handle.request({"request": "join", "room": "room-1"})

    assert answer["videoroom"] == "joined"


async def test_answers_reach_the_matching_requests(janus: FakeJanus, handle: Handle) -> None:
    janus.replies["exists"] = lambda body: {"videoroom": "success", "room": body["room"]}
    rooms = [f"room-{number}" for number in range(20)]
    answers = await asyncio.gather(
        *(handle.request({"request": "exists", "room": r}) for r in rooms)
    )

    assert [answer["room"] for answer in answers] == rooms


@pytest.mark.parametrize(
    ("number", "text", "trouble"),
    [
        (426, "No such room (room-1)", Trouble.NO_SUCH_ROOM),
        (427, "Room room-1 already exists", Trouble.ROOM_EXISTS),
        (433, "Unauthorized (wrong secret)", Trouble.UNAUTHORIZED),
        (485, "No such room (bridge-1)", Trouble.NO_SUCH_ROOM),
        (429, "Missing mandatory element (secret)", Trouble.OTHER),
    ],
)
async def test_an_error_inside_a_success_is_a_refusal(
    number: int, text: str, trouble: Trouble, janus: FakeJanus, handle: Handle
) -> None:
    error: Json = {"videoroom": "event", "error_code": number, "error": text}
    janus.replies["destroy"] = lambda _: error
    with pytest.raises(JanusRefused) as refused:
        await handle.request({"request": "destroy", "room": "room-1"})

    assert (refused.value.number, refused.value.trouble) == (number, trouble)
    assert text in refused.value.detail


async def test_an_error_of_the_core_is_a_refusal(session: JanusSession, handle: Handle) -> None:
    await handle.detach()
    with pytest.raises(JanusRefused) as refused:
        await handle.request({"request": "exists"})
    with pytest.raises(JanusRefused, match="Unknown request 'dance'"):
        await session.request({"janus": "dance"})

    assert refused.value.trouble is Trouble.NO_SUCH_SESSION


async def test_events_reach_the_handle_they_name(
    janus: FakeJanus, session: JanusSession, handle: Handle
) -> None:
    other = await session.attach(AUDIO_BRIDGE)
    await janus.emit(other.id, {"audiobridge": "event", "leaving": "alice"})
    await janus.emit(handle.id, {"videoroom": "event", "leaving": "bob"}, jsep={"type": "offer"})
    await janus.send({"janus": "webrtcup", "session_id": 1, "sender": handle.id})
    await janus.emit(other.id, {"audiobridge": "destroyed"})
    async with asyncio.timeout(SOON_S):
        events = handle.events()
        of_handle = [await anext(events), await anext(events)]
        events = other.events()
        of_other = [await anext(events), await anext(events)]

    assert of_handle[0].data == {"videoroom": "event", "leaving": "bob"}
    assert of_handle[0].jsep == {"type": "offer"}
    assert of_handle[1].kind == "webrtcup"
    assert [event.data for event in of_other] == [
        {"audiobridge": "event", "leaving": "alice"},
        {"audiobridge": "destroyed"},
    ]


async def test_sdp_goes_with_a_request_and_comes_with_its_answer(
    janus: FakeJanus, handle: Handle
) -> None:
    await handle.request({"request": "publish"}, {"type": "offer", "sdp": "v=0"})
    await handle.trickle({"completed": True})

    message, trickle = (m for m in janus.heard if m["janus"] in ("message", "trickle"))
    assert message["jsep"] == {"type": "offer", "sdp": "v=0"}
    assert trickle["candidate"] == {"completed": True}


async def test_a_session_sends_keepalives(janus: FakeJanus, session: JanusSession) -> None:
    await janus.until(lambda: sum(m["janus"] == "keepalive" for m in janus.heard) >= 3)

    assert not session.lost.is_set()


async def test_a_broken_connection_fails_waiting_requests_and_ends_the_events(
    janus: FakeJanus, session: JanusSession, handle: Handle
) -> None:
    janus.replies["exists"] = lambda _: None
    waiting = asyncio.create_task(handle.request({"request": "exists"}))
    await janus.until(lambda: bool(janus.asked("exists")))
    janus.cut()
    await lost(session)

    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await handle.request({"request": "exists"})
    assert [event async for event in handle.events()] == []
    await handle.detach()  # nothing to let go of any more


async def test_a_janus_that_does_not_answer_in_time_is_dropped(janus: FakeJanus) -> None:
    now_s = asyncio.get_running_loop().time
    async with open_session(replace(janus.impatient, keepalive_s=60)) as session:
        handle = await session.attach(VIDEO_ROOM)
        janus.silent = True
        before_s = now_s()
        asked = asyncio.create_task(handle.request({"request": "exists"}))
        await janus.until(lambda: bool(janus.asked("exists")))
        overdue_s = session.overdue_s
        after_s = now_s()

        with pytest.raises(Unavailable):
            await asked
        await lost(session)
        assert 0 < overdue_s <= after_s - before_s
        assert session.overdue_s == 0


@pytest.mark.parametrize("text", ["{", "[]", b"\xff\x00"])
async def test_an_invalid_message_ends_the_session(
    text: str | bytes, janus: FakeJanus, session: JanusSession
) -> None:
    await janus.send(text)

    await lost(session)


async def test_a_session_that_janus_has_ended_is_lost(
    janus: FakeJanus, session: JanusSession
) -> None:
    await janus.send({"janus": "timeout", "session_id": janus.session_ids[0]})

    await lost(session)


async def test_too_many_unread_events_end_the_session(
    janus: FakeJanus, session: JanusSession, handle: Handle
) -> None:
    for number in range(1_001):
        await janus.emit(handle.id, {"videoroom": "event", "number": number})

    await lost(session)


async def test_late_and_foreign_messages_are_ignored(
    janus: FakeJanus, session: JanusSession, handle: Handle
) -> None:
    await janus.send({"janus": "ack", "transaction": "of-nobody"})
    await janus.send({"janus": "event", "sender": 7, "plugindata": None})
    await janus.send({"janus": "event", "sender": handle.id, "plugindata": "odd"})

    assert (await handle.request({"request": "exists"}))["videoroom"] == "success"
    assert not session.lost.is_set()


async def test_an_answer_without_an_id_fails_the_session(janus: FakeJanus) -> None:
    janus.session_ids = OddIds()
    with pytest.raises(Unavailable, match="without an id"):
        async with open_session(janus.address):
            pass


class OddIds(list[int]):
    """Messages that no real Janus sends."""

    def __getitem__(self, index: object) -> None:  # type: ignore[override]
        return None


async def test_a_connection_is_aborted_even_if_its_close_is_cancelled(
    janus: FakeJanus, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions: list[JanusSession] = []
    closing = asyncio.Event()

    async def hangs(_: ClientConnection) -> None:
        closing.set()
        await asyncio.Event().wait()

    async def use() -> None:
        async with open_session(janus.address) as session:
            sessions.append(session)

    monkeypatch.setattr(ClientConnection, "close", hangs)
    using = asyncio.create_task(use())
    await asyncio.wait_for(closing.wait(), SOON_S)
    using.cancel()
    await asyncio.wait([using])

    assert using.cancelled()
    assert sessions[0]._connection.transport.is_closing()


async def test_an_unreachable_janus_is_unavailable(janus: FakeJanus) -> None:
    await janus.stop()
    for url in (janus.url, "http://127.0.0.1:1", f"ws://{'a' * 70}.example"):
        with pytest.raises(Unavailable):
            async with open_session(JanusAddress(url)):
                pass


async def test_a_lost_session_is_reopened_each_time(
    janus: FakeJanus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    served: asyncio.Queue[JanusSession] = asyncio.Queue()

    async def serve(session: JanusSession) -> None:
        served.put_nowait(session)
        await session.lost.wait()

    keeping = asyncio.create_task(keep_connected(janus.address, serve, backoff=Backoff(0.01, 0.02)))
    async with asyncio.timeout(SOON_S):
        first = await served.get()
        janus.cut()
        second = await served.get()
        await janus.stop()
        await second.lost.wait()
        await asyncio.sleep(0.1)
        await janus.start()
        third = await served.get()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)

    assert len({id(each) for each in (first, second, third)}) == 3
    said = [record.message for record in caplog.records if record.message.startswith("janus.")]
    assert said.count("janus.connected") == 3
    assert said.count("janus.disconnected") == 2  # once for each loss, not for each try


async def test_a_refused_session_is_retried(janus: FakeJanus) -> None:
    tries = asyncio.Semaphore(0)

    async def serve(_: JanusSession) -> None:
        tries.release()
        raise JanusRefused(403, "Unauthorized request (wrong or missing secret/token)")

    keeping = asyncio.create_task(keep_connected(janus.address, serve, backoff=Backoff(0.01, 0.01)))
    async with asyncio.timeout(SOON_S):
        for _ in range(3):
            await tries.acquire()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


def test_the_repr_of_settings_shows_no_secret() -> None:
    address = JanusAddress("ws://127.0.0.1:8188", "api-secret")
    folder = Folder(Path("/ours"), Path("/theirs"))
    shown = repr(JanusSettings(address, folder, "room-secret", "admin-key"))

    assert not [word for word in ("api-secret", "room-secret", "admin-key") if word in shown]


async def test_rooms_are_checked_over_the_next_session_if_one_is_lost_before_the_check(
    janus: FakeJanus,
) -> None:
    settings = replace(_settings(janus, Path("/nowhere")), address=janus.impatient)
    async with running(video_plane(settings)) as bench:
        bench.send(OpenMediaRoom(ROOM, ConfbridgeId("bridge-1")))
        await bench.until(TracksCarried)
        answers = iter([None])  # as a plugin that hangs, once
        janus.replies["create"] = lambda _: next(answers, {"videoroom": "created"})
        janus.cut()
        back = await bench.until(PlaneBack)

    assert back.medium is Medium.VIDEO
    assert len(janus.asked("create")) == 3


async def test_a_bridge_of_0_1_0_found_while_its_close_waits_is_destroyed(
    janus: FakeJanus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bridge named after the confbridgeId; Janus was unavailable when it had to be closed."""
    left = {"room": "bridge-9", "description": f"sfu-wrapper {ROOM}"}
    janus.replies["list"] = lambda _: {"audiobridge": "success", "list": [left, {"room": 7}]}
    chosen = _settings(janus, tmp_path)
    right = chosen.secret_of(AUDIO_BRIDGE, "bridge-9")
    wrong = {"error_code": 489, "error": "Unauthorized (wrong secret)"}
    janus.replies["edit"] = lambda body: {} if body["secret"] == right else wrong
    plane, attached = audio_plane(chosen), RoomQueue._attached

    async def late(self: RoomQueue, session: JanusSession) -> Handle:
        await until(lambda: bool(plane._found))
        return await attached(self, session)

    monkeypatch.setattr(RoomQueue, "_attached", late)
    async with running(plane) as bench:
        bench.send(CloseMediaRoom(ROOM))
        await janus.until(lambda: bool(janus.asked("destroy")))

    assert [each["room"] for each in janus.asked("destroy")] == ["bridge-9"]


async def test_a_refused_handle_is_detached_before_another_is_attached(
    janus: FakeJanus, tmp_path: Path
) -> None:
    """Otherwise each refusal would leave another monitor in the room."""
    capture, bridge = CaptureRef(ROOM, SegmentNo(1), Medium.VIDEO), ConfbridgeId("bridge-1")
    refusals = iter([{"error_code": 426, "error": "No such room"}] * 3)
    janus.replies["edit"] = lambda _: next(refusals, {"videoroom": "edited"})
    async with running(video_plane(_settings(janus, tmp_path))) as bench:
        bench.send(OpenMediaRoom(ROOM, bridge), StartCapture(capture, bridge, ()))
        await bench.until(CaptureStarted)

    joined = [each["handle_id"] for each in janus.heard if _asks(each, "join")]
    left = [each["handle_id"] for each in janus.heard if each["janus"] == "detach"]
    assert len(set(joined)) == 4
    assert left == joined[:3]


async def test_a_hanging_folder_fails_one_recording_and_no_other(
    janus: FakeJanus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that waits for a dead file server hangs; the plane must not."""
    capture, bridge = CaptureRef(ROOM, SegmentNo(1), Medium.VIDEO), ConfbridgeId("bridge-1")
    answers = threading.Event()
    async with running(video_plane(_settings(janus, tmp_path))) as bench:
        bench.send(OpenMediaRoom(ROOM, bridge), StartCapture(capture, bridge, ()))
        await bench.until(CaptureStarted)
        with monkeypatch.context() as hung:
            hung.setattr(settings, "WORK_WITHIN_S", 0.1)
            hung.setattr(videoroom, "remove_audio", lambda *_: answers.wait(30))
            bench.send(StopCapture(capture))
            lost = await bench.until(CaptureLost)
        answers.set()
        bench.send(StopCapture(capture))
        stopped = await bench.until(CaptureStopped)

    assert lost.message == "cannot read the recordings: the folder did not answer in time"
    assert stopped.capture == capture


async def test_audio_sent_to_the_videoroom_is_removed_after_a_lost_recording(
    janus: FakeJanus, tmp_path: Path
) -> None:
    capture = CaptureRef(ROOM, SegmentNo(1), Medium.VIDEO)
    audio = tmp_path / "room-1" / "1" / "videoroom-room-1-user-p-alice-1590392549126000-audio-0.mjr"
    async with running(video_plane(_settings(janus, tmp_path))) as bench:
        bridge = ConfbridgeId("bridge-1")
        bench.send(OpenMediaRoom(capture.room, bridge), StartCapture(capture, bridge, ()))
        await bench.until(CaptureStarted)
        audio.parent.mkdir(parents=True)
        audio.write_bytes(b"MJR00002")
        janus.cut()  # this one makes its rooms anew every time, as after a crash
        await bench.until(CaptureLost)

    assert not audio.exists()


def _asks(message: Json, request: str) -> bool:
    return bool(message.get("body", {}).get("request") == request)


def _settings(janus: FakeJanus, folder: Path) -> JanusSettings:
    return JanusSettings(janus.address, Folder(folder, folder), "secret")
