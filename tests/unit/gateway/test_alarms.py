"""Alarms of connections: each rings when its link is due, a few in one turn of the loop."""

import asyncio

from sfu_wrapper.gateway.send_queue import Outgoing
from sfu_wrapper.gateway.server import Alarms
from tests.helpers.clocks import StandingClock


class Link:
    """Due until it was looked at."""

    def __init__(self, due_ms: int | None = 0) -> None:
        self.due_ms = due_ms
        self.ticks = 0

    def tick(self) -> list[Outgoing]:
        self.ticks += 1
        self.due_ms = None
        return [b"closed"]


async def test_a_thousand_alarms_that_are_due_at_once_ring_a_few_a_turn() -> None:
    alarms, sent = Alarms(StandingClock()), list[Outgoing]()
    links = [Link() for _ in range(1000)]
    for link in links:
        alarms.of(link, sent.extend).set()
    turns = []
    async with asyncio.timeout(20):
        while len(sent) < 1000:
            before = len(sent)
            await asyncio.sleep(0)
            turns.append(len(sent) - before)

    assert max(turns) == 16
    assert {link.ticks for link in links} == {1}


async def test_an_alarm_that_was_cancelled_while_it_waited_for_its_turn_does_not_ring() -> None:
    alarms, sent = Alarms(StandingClock()), list[Outgoing]()
    many = [alarms.of(Link(), sent.extend) for _ in range(20)]
    for alarm in many:
        alarm.set()
    gone = Link()
    late = alarms.of(gone, sent.extend)
    late.set()
    async with asyncio.timeout(20):
        while not sent:  # noqa: ASYNC110  # turns of the loop are what is counted
            await asyncio.sleep(0)
    late.cancel()
    async with asyncio.timeout(20):
        while len(sent) < 20:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert gone.ticks == 0


async def test_a_link_that_is_never_due_has_no_timer() -> None:
    alarm = Alarms(StandingClock()).of(Link(None), lambda _: None)
    alarm.set()
    alarm.ring()  # nothing to ring for
