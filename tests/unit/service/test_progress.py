"""How far a job is: told seldom, as it is by then, and never in the way of the job."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from sfu_wrapper.adapters.memory.broker import MemoryBroker
from sfu_wrapper.core.estimate import ProgressSnapshot
from sfu_wrapper.model.errors import Stage
from sfu_wrapper.model.identity import SegmentNo
from sfu_wrapper.model.segment import JobProgress
from sfu_wrapper.ports.broker import Message, ReceivedMessage
from sfu_wrapper.service.worker.progress import reporting
from sfu_wrapper.wire.job_results import parse_progress
from tests.helpers.builders import segment_info
from tests.helpers.clocks import StandingClock

DEADLINE_S = 20
INFO = segment_info("uuid-1", None)


async def following(heard: AsyncGenerator[ReceivedMessage, None]) -> JobProgress:
    async with asyncio.timeout(DEADLINE_S):
        return parse_progress((await anext(heard)).body)


def at(stage: Stage, percent: float, eta_s: float = 60) -> ProgressSnapshot:
    return ProgressSnapshot(stage, percent, eta_s)


async def test_the_latest_is_told_and_when_all_will_be_done() -> None:
    broker, clock = MemoryBroker(), StandingClock()
    await broker.open(())
    async with (
        aclosing(broker.listen(("progress",), 100)) as heard,
        reporting(broker, clock, INFO, 0.0) as progress,
    ):
        waiting = asyncio.ensure_future(following(heard))
        await asyncio.sleep(0)
        progress(at(Stage.PREPROCESS, 0, 9.04))
        first = await waiting
        progress(at(Stage.COMPOSE, 25, 7))
        progress(at(Stage.COMPOSE, 40.06, 5))
        clock.pass_s(3)  # before it can be told
        second = await following(heard)
        progress(at(Stage.COMPOSE, 5, 1))  # another attempt
        clock.pass_s(3)
        third = await following(heard)

    one = SegmentNo(1)
    assert first == JobProgress(INFO.uuid, one, "preprocess", 0, 9.0)
    assert second == JobProgress(INFO.uuid, one, "compose", 40.1, 2.0)
    assert third == JobProgress(INFO.uuid, one, "compose", 5, 0)
    assert [message.message_id for message in broker.published] == [
        "uuid-1:1:progress:1",
        "uuid-1:1:progress:2",
        "uuid-1:1:progress:3",
    ]


async def test_no_more_than_one_is_told_in_each_span_of_time() -> None:
    broker = MemoryBroker()
    await broker.open(())
    async with reporting(broker, StandingClock(), INFO, 3600) as progress:
        progress(at(Stage.COMPOSE, 1))
        async with asyncio.timeout(DEADLINE_S):
            while not broker.published:  # noqa: ASYNC110 nothing else to wait on
                await asyncio.sleep(0.001)
        for percent in range(100):
            progress(at(Stage.COMPOSE, percent))
            await asyncio.sleep(0)

    assert len(broker.published) == 1


async def test_a_broker_that_is_away_is_in_nobodys_way() -> None:
    broker = MemoryBroker()
    await broker.open(())
    broker.unavailable = True
    async with (
        asyncio.timeout(DEADLINE_S),
        reporting(broker, StandingClock(), INFO, 0.0) as progress,
    ):
        for percent in range(20):
            progress(at(Stage.COMPOSE, percent))
            await asyncio.sleep(0.001)
        broker.unavailable = False
        progress(at(Stage.COMPOSE, 50))
        while not broker.published:  # noqa: ASYNC110 nothing else to wait on
            await asyncio.sleep(0.001)

    assert parse_progress(broker.published[-1].body).percent == 50


async def test_a_broker_that_hangs_is_not_waited_for() -> None:
    class Hanging(MemoryBroker):
        async def publish(self, message: Message) -> None:
            tried.set()
            await asyncio.Event().wait()

    tried = asyncio.Event()
    async with asyncio.timeout(DEADLINE_S):
        async with reporting(Hanging(), StandingClock(), INFO, 0.0) as progress:
            progress(at(Stage.COMPOSE, 1))
            await tried.wait()


async def test_a_bug_there_costs_no_job(caplog: pytest.LogCaptureFixture) -> None:
    tried = asyncio.Event()

    class Buggy(MemoryBroker):
        async def publish(self, message: Message) -> None:
            tried.set()
            raise ValueError("a bug")

    with caplog.at_level(logging.ERROR):
        async with reporting(Buggy(), StandingClock(), INFO, 0.0) as progress:
            progress(at(Stage.COMPOSE, 1))
            await asyncio.wait_for(tried.wait(), DEADLINE_S)
            progress(at(Stage.COMPOSE, 2))

    assert caplog.messages == ["job.progressFailed"]


async def test_what_fails_within_is_raised_as_it_is() -> None:
    with pytest.raises(ValueError, match="of the job"):
        async with reporting(MemoryBroker(), StandingClock(), INFO, 0.0):
            raise ValueError("of the job")
