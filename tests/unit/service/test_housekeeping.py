"""What the housekeeper removes, and when by which clock."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from sfu_wrapper.adapters.memory.broker import MemoryBroker
from sfu_wrapper.adapters.memory.plane import MemoryPlane
from sfu_wrapper.adapters.os.clock import ManualClock
from sfu_wrapper.observe.metrics import Health
from sfu_wrapper.service.rooms import maintenance
from sfu_wrapper.service.rooms.maintenance import DAY_MS, Maintenance

YEARS_MS = 10 * 365 * DAY_MS
DAYS = 30


class Removed:
    """A store that notes up to when ended rooms are to be removed."""

    def __init__(self) -> None:
        self.before_ms: list[int] = []
        self.asked = asyncio.Event()

    async def forget_answers(self, now_ms: int) -> None:
        """See ``Store``."""

    async def forget_rooms(self, ended_before_ms: int, most: int) -> int:
        """See ``Store``."""
        self.before_ms.append(ended_before_ms)
        self.asked.set()
        return 0


class Relaying:
    """A relay in order."""

    class status:  # noqa: N801 as the attribute is called
        failing = None


@pytest.fixture(autouse=True)
def _busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "FORGET_S", 0.0)
    monkeypatch.setattr(maintenance, "CHECK_S", 0.0)


async def removed_after(passed_ms: int, leap_ms: int) -> tuple[int, int]:
    """How old a room is by now that is removed; and by the clock at the beginning."""
    clock, store = ManualClock(), Removed()
    health = Health(lambda: clock.now().wall_ms)
    parts: Any = (store, MemoryPlane(), Relaying(), MemoryBroker(), {}, clock, health)
    keeper = Maintenance(*parts, room_days=DAYS)
    began_ms = clock.now().wall_ms
    clock.pass_ms(passed_ms)
    clock.jump_ms(leap_ms)
    running = asyncio.create_task(keeper.run())
    async with asyncio.timeout(20):
        await store.asked.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return clock.now().wall_ms - store.before_ms[0], began_ms - store.before_ms[0]


async def test_ended_rooms_leave_the_store_after_their_days() -> None:
    age_ms, _ = await removed_after(5 * DAY_MS, 0)

    assert age_ms == DAYS * DAY_MS


async def test_a_clock_set_forward_by_years_removes_no_room_before_its_days_have_passed() -> None:
    _, from_beginning_ms = await removed_after(5 * DAY_MS, YEARS_MS)

    assert from_beginning_ms == (DAYS - 5) * DAY_MS


async def test_a_clock_set_back_by_years_removes_nothing_early() -> None:
    age_ms, _ = await removed_after(5 * DAY_MS, -YEARS_MS)

    assert age_ms == DAYS * DAY_MS
