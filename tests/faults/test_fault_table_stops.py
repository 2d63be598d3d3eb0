"""What happens when a stop or the end of a call goes wrong: rows of policy.md, live."""

import asyncio
from pathlib import Path

import pytest

from sfu_wrapper.wire.strict_json import parse_iso
from tests.helpers.calls import (
    Call,
    Faulty,
    call,
    closings,
    events_of,
    faulty,
    files,
    mixes,
    report,
    reported,
    still_written,
)
from tests.helpers.live import Json
from tests.helpers.wait import until


async def test_a_stop_not_confirmed_in_time(tmp_path: Path) -> None:
    async with faulty(tmp_path) as bench:
        talk = await call(bench.controller)
        await talk.started()
        bench.spoil("stop=hang")
        assert await unanswered(bench, talk) == "MEDIA_FAILED"
        assert await talk.segments() == ["stopping"]
        assert reported(bench.controller.broker) == []

        waiting = asyncio.create_task(talk.start())  # a start waits for the stop
        bench.spoil("")
        bench.run_out()
        stopped = await talk.other.event("roomRecordingStopped")
        (info,) = await report(bench.controller.broker)
        assert (stopped["segment"], stopped["reason"]) == (1, "requested")
        assert (info["segment"], info["incomplete"]) == (1, False)
        assert (await waiting)["payload"]["segment"] == 2
        assert await talk.segments() == ["stopped", "recording"]


async def test_a_stop_never_confirmed_is_reported_after_30_s_and_asked_again(
    tmp_path: Path,
) -> None:
    async with faulty(tmp_path) as bench:
        talk = await call(bench.controller)
        await talk.started()
        bench.spoil("stop=hang")
        assert await unanswered(bench, talk) == "MEDIA_FAILED"
        bench.clock.forward(30)
        stopped = await talk.other.event("roomRecordingStopped")
        (info,) = await report(bench.controller.broker)
        assert stopped["segment"] == 1
        assert (info["incomplete"], len(files(info)), len(mixes(info))) == (True, 2, 1)
        assert len(still_written(tmp_path, info)) == 2

        assert (await talk.started())["segment"] == 2, "nobody waits for it any longer"
        bench.spoil("")

        async def closed() -> bool:
            bench.clock.forward(1)
            return not still_written(tmp_path, info)

        await until(closed)
        await talk.stopped()
        numbers = [each["segment"] for each in await report(bench.controller.broker, 2)]
        assert numbers == [1, 2], "one event each, whatever came later"


async def test_the_media_plane_dies_in_mid_segment(tmp_path: Path) -> None:
    async with faulty(tmp_path) as bench:
        talk = await call(bench.controller)
        bench.spoil("die=0.5*1")
        started = await talk.started()
        stopped = await talk.other.event("roomRecordingStopped")
        (info,) = await report(bench.controller.broker)
        again = await started_event(talk, 2)

        assert (stopped["segment"], stopped["reason"]) == (1, "failed")
        assert info["incomplete"] is True
        assert info["completed"] == stopped["stoppedAt"] == max(closings(info))
        assert stopped["startedAt"] == started["startedAt"]
        length_ms = parse_iso(stopped["stoppedAt"]) - parse_iso(stopped["startedAt"])
        assert length_ms > 200
        assert stopped["duration"] == pytest.approx(length_ms / 1000, abs=0.5)
        assert (again["segment"], again["by"]) == (2, "system")
        await talk.stopped()
        numbers = [each["segment"] for each in await report(bench.controller.broker, 2)]
        assert numbers == [1, 2]


ENDS = ["endRoom", "the last one leaves"]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("way", ["late", "mute"])
async def test_a_room_ends_while_starting_and_something_was_written(
    tmp_path: Path, way: str, end: str
) -> None:
    async with faulty(tmp_path) as bench:
        talk = await call(bench.controller, kind="meeting")
        if way == "late":
            bench.hold()
        else:
            bench.spoil("start=mute*1")
        start = asyncio.create_task(talk.start())
        await until(lambda: is_starting(talk))
        await end_call(talk, end)
        assert (await start)["error"]["code"] == "ROOM_ENDED"
        if way == "late":
            bench.release()
        (info,) = await report(bench.controller.broker)
        shown = (await talk.shown())["segments"]

        assert [(each["state"], each["reason"]) for each in shown] == [("stopped", "callEnded")]
        assert len(files(info)) == 2


@pytest.mark.parametrize("end", ENDS)
async def test_a_room_ends_while_starting_and_nothing_was_written(tmp_path: Path, end: str) -> None:
    async with faulty(tmp_path) as bench:
        talk = await call(bench.controller, kind="meeting")
        bench.spoil("start=hang*1")
        start = asyncio.create_task(talk.start())
        await until(lambda: is_starting(talk))
        await end_call(talk, end)
        assert (await start)["error"]["code"] == "ROOM_ENDED"
        bench.run_out()
        failed = await talk.owner.event("roomRecordingFailed")

        assert (failed["segment"], failed["final"]) == (1, True)
        assert await talk.segments() == ["failed"]
        assert reported(bench.controller.broker) == []


async def test_a_room_ends_while_the_plane_hangs(tmp_path: Path) -> None:
    async with faulty(tmp_path) as bench:
        talk = await call(bench.controller)
        await talk.started()
        bench.hold()
        ended = await talk.service.ok("endRoom", {"room": "call"})
        heard = [await peer.event("roomEnded") for peer in (talk.owner, talk.other)]

        assert [each["state"] for each in ended["segments"]] == ["stopping"]
        assert [each["reason"] for each in heard] == ["ended", "ended"]
        assert (await talk.shown())["state"] == "ended"
        assert await talk.owner.refused("startRoomRecording", {"room": "call"}) == "ROOM_ENDED"
        assert reported(bench.controller.broker) == [], "the plane has not closed the files yet"
        bench.release()
        (info,) = await report(bench.controller.broker)
        assert (info["incomplete"], len(files(info))) == (False, 2)
        stopped = await talk.owner.event("roomRecordingStopped")
        assert stopped["reason"] == "callEnded"
        assert events_of(talk.owner, "roomRecordingStopped") == [stopped]


async def test_a_room_ends_while_the_plane_hangs_for_longer_than_30_s(tmp_path: Path) -> None:
    async with faulty(tmp_path) as bench:
        talk = await call(bench.controller)
        await talk.started()
        bench.spoil("stop=hang")
        await talk.owner.ok("leaveRoom", {"room": "call"})
        assert (await talk.other.event("roomEnded"))["reason"] == "hangup"
        bench.clock.forward(30)
        (info,) = await report(bench.controller.broker)
        assert (info["incomplete"], len(files(info))) == (True, 2)


async def unanswered(bench: Faulty, talk: Call) -> str:
    """What a stop is refused with that the plane does not answer in time."""
    stop = asyncio.create_task(talk.stop())
    await until(lambda: is_stopping(talk))
    bench.run_out()
    return str((await stop)["error"]["code"])


async def is_stopping(talk: Call) -> bool:
    """Whether a stop is under way."""
    return await talk.segments() == ["stopping"]


async def is_starting(talk: Call) -> bool:
    """Whether a start is under way."""
    return await talk.segments() == ["starting"]


async def end_call(talk: Call, how: str) -> None:
    """End the room in one of ``ENDS``."""
    if how == "endRoom":
        await talk.service.ok("endRoom", {"room": talk.room})
        return
    for peer in (talk.owner, talk.other):
        await peer.ok("leaveRoom", {"room": talk.room})


async def started_event(talk: Call, segment: int) -> Json:
    """The ``roomRecordingStarted`` of that segment."""
    frame = await talk.other.receive(
        lambda frame: (
            frame["payload"].get("event") == "roomRecordingStarted"
            and frame["payload"]["payload"]["segment"] == segment
        )
    )
    payload: Json = frame["payload"]["payload"]
    return payload
