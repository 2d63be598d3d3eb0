"""Segments, and when recording is wanted (policy.md), over WebSockets."""

import asyncio
from pathlib import Path

import pytest

from sfu_wrapper.adapters.memory.plane import Behaviour, MemoryPlane
from sfu_wrapper.model.identity import (
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    SegmentNo,
)
from sfu_wrapper.model.media import Medium
from tests.helpers.calls import Call, back_off, call, events_of, faulty, files, mixes, report
from tests.helpers.live import Json, live
from tests.helpers.wait import until

ROOM = {"room": "call"}


async def test_segments_are_numbered_and_reported_one_by_one_while_the_call_goes_on(
    tmp_path: Path,
) -> None:
    async with faulty(tmp_path) as bench:
        talk = await call(bench.controller)
        for number in (1, 2):
            assert (await talk.started())["segment"] == number
            assert (await talk.stopped())["segment"] == number
            infos = await report(bench.controller.broker, number)
            assert [info["segment"] for info in infos] == list(range(1, number + 1))
        bench.spoil("start=refuse*1")
        assert (await talk.start())["error"]["code"] == "MEDIA_FAILED"
        assert (await talk.started())["segment"] == 4
        await talk.service.ok("endRoom", ROOM)
        infos = await report(bench.controller.broker, 3)
        assert [info["segment"] for info in infos] == [1, 2, 4]
        assert [info["incomplete"] for info in infos] == [False] * 3
        names = [name for info in infos for name in files(info) + mixes(info)]
        assert len(set(names)) == len(names), "no file belongs to two segments"


async def test_what_is_published_during_a_segment_is_captured_from_then_on(
    tmp_path: Path,
) -> None:
    async with faulty(tmp_path) as bench:
        talk = await call(bench.controller, kind="meeting", media={"audio": True})
        started = await talk.started()
        await talk.other.ok("updateMedia", ROOM | {"media": {"audio": True, "screen": True}})
        carol = await bench.controller.client("carol")
        await carol.ok("joinRoom", ROOM | {"media": {"video": True}})
        await until(lambda: films(tmp_path, 2))
        await talk.other.ok("updateMedia", ROOM | {"media": {"audio": True}})
        stopped = await talk.stopped()
        (info,) = await report(bench.controller.broker)

        assert {user: list(streams) for user, streams in info["video"].items()} == {
            "bob": ["sfuscreen"],
            "carol": ["sfuvideo"],
        }
        screen, camera = times(info, "bob"), times(info, "carol")
        assert started["startedAt"] < screen[0] < screen[1] <= stopped["stoppedAt"]
        assert started["startedAt"] < camera[0] < camera[1] <= stopped["stoppedAt"]
        assert len(mixes(info)) == 1
        assert (info["started"], info["completed"]) == (
            started["startedAt"],
            stopped["stoppedAt"],
        )


@pytest.mark.parametrize(
    ("recorded", "videos", "audios"), [("all", 2, 1), ("video", 2, 0), ("audio", 0, 1)]
)
async def test_the_type_of_the_grant_says_what_a_segment_holds(
    tmp_path: Path, recorded: str, videos: int, audios: int
) -> None:
    async with faulty(tmp_path) as bench:
        talk = await call(bench.controller)
        granted = RecordingPermissions(RecordingType(recorded), RecordingProfile.ALWAYS)
        await bench.controller.permit("alice", granted)
        await talk.started()
        await talk.stopped()
        (info,) = await report(bench.controller.broker)
        assert (info["type"], info["missing"]) == (recorded, [])
        assert (len(files(info)), len(mixes(info))) == (videos, audios)


async def test_a_segment_of_a_call_in_which_nobody_publishes_is_confirmed_all_the_same(
    tmp_path: Path,
) -> None:
    async with faulty(tmp_path) as bench:
        talk = await call(bench.controller, media={})
        assert "missing" not in await talk.started()
        await talk.stopped()
        (info,) = await report(bench.controller.broker)
        assert files(info) == []


async def test_wanted_from_a_start_by_hand_on_until_it_is_stopped_by_hand(tmp_path: Path) -> None:
    async with faulty(tmp_path) as bench:
        talk = await call(bench.controller)
        bench.spoil("lose=0.2*1")
        await talk.started()
        await until(lambda: count(talk, "roomRecordingStarted", 2))
        starts = events_of(talk.owner, "roomRecordingStarted")
        assert [each["by"] for each in starts] == ["alice", "system"]
        (stopped,) = events_of(talk.owner, "roomRecordingStopped")
        assert (stopped["reason"], stopped["by"]) == ("failed", "system")

        await talk.stopped()
        bench.spoil("start=refuse*1")
        await back_off(bench.controller)
        assert await talk.segments() == ["stopped", "stopped"]


async def test_wanted_from_an_automatic_start_on_until_it_is_stopped_by_hand(
    tmp_path: Path,
) -> None:
    async with faulty(tmp_path) as bench:
        talk = await call(bench.controller, record=True)
        await talk.owner.event("roomRecordingStarted")
        await talk.stopped()
        bench.spoil("start=refuse*1")
        await back_off(bench.controller)
        assert await talk.segments() == ["stopped"]
        assert (await talk.started())["segment"] == 2


async def test_a_stop_while_nothing_runs_but_is_wanted_ends_the_wanting(tmp_path: Path) -> None:
    async with faulty(tmp_path) as bench:
        bench.spoil("start=refuse*1")
        talk = await call(bench.controller, record=True)
        await talk.owner.event("roomRecordingFailed")
        assert (await talk.stop())["error"]["code"] == "NOT_RECORDING"
        bench.spoil("start=refuse*1")
        await back_off(bench.controller)
        assert await talk.segments() == ["failed"]


async def test_a_start_by_hand_does_not_wait_for_the_back_off(tmp_path: Path) -> None:
    async with faulty(tmp_path) as bench:
        bench.spoil("start=refuse*1")
        talk = await call(bench.controller, record=True)
        await talk.owner.event("roomRecordingFailed")
        assert (await talk.started())["segment"] == 2
        assert events_of(talk.owner, "roomRecordingFailed")[0]["final"] is False
        (started,) = events_of(talk.owner, "roomRecordingStarted")
        assert started["by"] == "alice"


async def test_a_stop_while_starting_is_carried_out_when_the_start_is_decided() -> None:
    plane = MemoryPlane()
    async with live(plane=plane) as controller:
        talk = await call(controller)
        for medium in Medium:
            plane.behave(medium, "start", Behaviour.HOLD)
        start = asyncio.create_task(talk.start())
        await until(lambda: in_states(talk, "starting"))
        stop = asyncio.create_task(talk.stop())
        await asyncio.sleep(0)  # the stop is sent
        await talk.owner.ok("getRoom", ROOM)  # and has been read
        assert await in_states(talk, "starting")
        plane.release()
        assert (await start)["payload"]["segment"] == (await stop)["payload"]["segment"] == 1
        answers = [
            frame["payload"]["endpoint"]
            for frame in talk.owner.received
            if "endpoint" in frame["payload"] and "Recording" in frame["payload"]["endpoint"]
        ]
        assert answers == ["startRoomRecording", "stopRoomRecording"]
        assert await in_states(talk, "stopped")


async def test_a_start_while_starting_or_recording_names_the_running_segment() -> None:
    plane = MemoryPlane()
    async with live(plane=plane) as controller:
        talk = await call(controller)
        for medium in Medium:
            plane.behave(medium, "start", Behaviour.HOLD)
        start = asyncio.create_task(talk.start())
        await until(lambda: in_states(talk, "starting"))
        for _ in range(2):
            refused = (await talk.start())["error"]
            assert refused["code"] == "ALREADY_RECORDING"
            assert refused["details"] == {"room": "call", "segment": 1}
            plane.release()
            await start


async def test_no_request_is_held_up_by_the_media_plane_of_another_room(tmp_path: Path) -> None:
    async with faulty(tmp_path) as bench:
        stuck = await call(bench.controller)
        talk = await call(bench.controller, "other", owner="carol", other="dave")
        bench.spoil("start=hang*1")
        start = asyncio.create_task(stuck.start())
        await until(lambda: in_states(stuck, "starting"))
        await talk.started()
        await talk.stopped()
        await talk.owner.ok("leaveRoom", {"room": "other"})
        assert await in_states(stuck, "starting")
        assert not start.done()
        await stuck.service.ok("endRoom", ROOM)
        assert (await start)["error"]["code"] == "ROOM_ENDED"


async def test_a_running_segment_is_not_cut_by_a_change_of_permission() -> None:
    plane = MemoryPlane()
    async with live(plane=plane) as controller:
        talk = await call(controller)
        await talk.started()
        await controller.permit("alice", None)
        assert await in_states(talk, "recording")
        assert (await talk.stopped())["segment"] == 1
        assert (await talk.start())["error"]["code"] == "NOT_PERMITTED"


async def test_captures_that_end_by_themselves_one_after_the_other_end_the_segment_once() -> None:
    plane = MemoryPlane()
    async with live(plane=plane) as controller:
        talk = await call(controller)
        await talk.started()
        for medium in Medium:
            plane.behave(medium, "start", Behaviour.REFUSE)
        video, audio = plane.running
        assert video.segment == SegmentNo(1)
        plane.lose(video)
        await until(lambda: is_missing(talk, video.medium))
        plane.lose(audio)
        stopped = await talk.owner.event("roomRecordingStopped")
        (info,) = await report(controller.broker)
        assert (stopped["segment"], stopped["reason"], info["incomplete"]) == (1, "failed", True)


async def in_states(talk: Call, *states: str) -> bool:
    """Whether the segments are so."""
    return await talk.segments() == list(states)


async def is_missing(talk: Call, medium: str) -> bool:
    """Whether the running segment does without this medium at the moment."""
    shown: Json = (await talk.shown())["segments"][-1]
    return bool(shown.get("missing") == [medium])


async def count(talk: Call, event: str, times: int) -> bool:
    """Whether the owner has heard that event so often."""
    return len(events_of(talk.owner, event, talk.room)) >= times


async def films(folder: Path, number: int) -> bool:
    """Whether there are so many video files that hold something."""
    found = await asyncio.to_thread(lambda: [each.stat().st_size for each in folder.rglob("*.mjr")])
    return len([size for size in found if size > 1000]) >= number


def times(info: Json, user: str) -> tuple[str, str]:
    """When the one file of a user begins and ends."""
    (streams,) = info["video"][user].values()
    (file,) = streams.values()
    return file["startTime"], file["stopTime"]
