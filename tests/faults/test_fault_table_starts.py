"""What happens when a start goes wrong: rows of policy.md over live WebSockets."""

import asyncio
import logging
from pathlib import Path

import pytest

from tests.helpers.calls import (
    Call,
    back_off,
    call,
    events_of,
    faulty,
    files,
    metric,
    mixes,
    report,
    still_written,
)
from tests.helpers.wait import until


@pytest.mark.parametrize("way", ["refuse", "hang"])
async def test_a_start_by_hand_refused_by_the_plane_or_not_answered_in_time(
    tmp_path: Path, way: str
) -> None:
    async with faulty(tmp_path) as bench:
        talk = await call(bench.controller)
        bench.spoil(f"start={way}*1")
        start = asyncio.create_task(talk.start())
        if way == "hang":
            await until(lambda: is_starting(talk))
            bench.run_out()
        answer = await start
        events_of = await talk.other.event("roomRecordingFailed")

        assert answer["error"]["code"] == "MEDIA_FAILED"
        assert (events_of["segment"], events_of["code"], events_of["final"]) == (
            1,
            "MEDIA_FAILED",
            True,
        )
        assert await talk.segments() == ["failed"]

        bench.spoil("start=refuse*1")
        await back_off(bench.controller)
        assert await talk.segments() == ["failed"], "it is not wanted, so nothing starts by itself"

        again = await talk.started()
        await talk.stopped()
        (info,) = await report(bench.controller.broker)
        assert again["segment"] == info["segment"] == 2, "the number of the first is spent"


async def test_the_same_at_an_automatic_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with faulty(tmp_path) as bench:
        bench.spoil("start=refuse*3")
        with caplog.at_level(logging.ERROR):
            talk = await call(bench.controller, record=True)
            started = await talk.owner.event("roomRecordingStarted")
        failures = events_of(talk.owner, "roomRecordingFailed")

        assert [each["segment"] for each in failures] == [1, 2, 3]
        assert [each["final"] for each in failures] == [False] * 3
        assert (started["segment"], started["by"]) == (4, "system")
        assert [each.message for each in caplog.records].count("recording.missed") == 1
        assert await metric(bench.controller, "recordings_missed_total") == 1
        await talk.stopped()
        assert [each["segment"] for each in await report(bench.controller.broker)] == [4]


@pytest.mark.parametrize("way", ["late", "mute"])
async def test_late_confirmation_of_a_start_already_given_up(tmp_path: Path, way: str) -> None:
    async with faulty(tmp_path) as bench:
        talk = await call(bench.controller)
        if way == "late":
            bench.hold()
        else:
            bench.spoil("start=mute*1")
        start = asyncio.create_task(talk.start())
        await until(lambda: is_starting(talk))
        bench.run_out()
        answer = await start
        if way == "late":
            bench.release()
        (info,) = await report(bench.controller.broker)

        assert answer["error"]["code"] == "MEDIA_FAILED"
        assert (info["segment"], info["incomplete"], bool(info["reason"])) == (1, True, True)
        assert len(files(info)) == 2
        assert await talk.segments() == ["failed"]
        assert still_written(tmp_path, info) == [], "the capture was stopped"

        await talk.started()
        await talk.stopped()
        numbers = [each["segment"] for each in await report(bench.controller.broker, 2)]
        assert numbers == [1, 2]


async def test_audio_alone_fails_and_is_tried_again(tmp_path: Path) -> None:
    async with faulty(tmp_path) as bench:
        talk = await call(bench.controller)
        bench.spoil("audio.start=refuse*1")
        answer = await talk.started()
        event = await talk.other.event("roomRecordingStarted")
        assert answer["missing"] == event["missing"] == ["audio"]

        await until(lambda: nothing_missing(talk))
        await talk.stopped()
        (info,) = await report(bench.controller.broker)
        assert (info["segment"], info["incomplete"], info["missing"]) == (1, False, [])
        assert len(files(info)) == 2
        assert len(mixes(info)) == 1


@pytest.mark.parametrize("way", ["refuse", "hang"])
async def test_video_alone_fails_and_the_event_has_what_there_is(tmp_path: Path, way: str) -> None:
    async with faulty(tmp_path) as bench:
        talk = await call(bench.controller)
        bench.spoil(f"video.start={way}")
        start = asyncio.create_task(talk.started())
        if way == "hang":
            await until(lambda: is_starting(talk))
            bench.run_out()
        answer = await start
        await talk.stopped()
        (info,) = await report(bench.controller.broker)

        assert answer["missing"] == info["missing"] == ["video"]
        assert (len(files(info)), len(mixes(info))) == (0, 1)


async def test_a_capture_lost_in_mid_segment_is_tried_again_in_the_same_segment(
    tmp_path: Path,
) -> None:
    async with faulty(tmp_path) as bench:
        talk = await call(bench.controller)
        bench.spoil("audio.lose=0.3*1")
        await talk.started()
        await until(lambda: is_missing(talk, "audio"))
        await until(lambda: nothing_missing(talk))
        await talk.stopped()
        (info,) = await report(bench.controller.broker)

        assert (info["segment"], info["incomplete"], info["missing"]) == (1, True, [])
        assert len(mixes(info)) == 2


async def is_starting(talk: Call) -> bool:
    """Whether a start is under way."""
    return await talk.segments() == ["starting"]


async def nothing_missing(talk: Call) -> bool:
    """Whether the last segment has all that it asks for."""
    return "missing" not in (await talk.shown())["segments"][-1]


async def is_missing(talk: Call, medium: str) -> bool:
    """Whether the last segment does without this medium."""
    return medium in (await talk.shown())["segments"][-1].get("missing", ())
