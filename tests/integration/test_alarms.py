"""The metric of errors counts each error of the log, wherever it is logged."""

import asyncio
import logging
import urllib.request

from sfu_wrapper.adapters.memory.store import MemoryStore
from tests.helpers.live import Live, live


async def alarms(controller: Live) -> float:
    """Return the value of ``sfu_wrapper_alarms_total``."""
    answer = await asyncio.to_thread(urllib.request.urlopen, f"{controller.http_url}/metrics")
    lines: list[str] = answer.read().decode().splitlines()
    (line,) = (line for line in lines if line.startswith("sfu_wrapper_alarms_total "))
    return float(line.split()[1])


async def test_a_store_that_cannot_write_is_counted_as_an_alarm() -> None:
    store = MemoryStore()
    async with live(store=store) as controller:
        alice = await controller.client("alice")
        before = await alarms(controller)

        store.failing = True
        assert await alice.refused("createRoom", {"kind": "meeting"}) == "OVERLOADED"
        store.failing = False

        assert before == 0
        assert await alarms(controller) >= 1  # room.notStored


async def test_an_error_of_any_module_is_counted_and_a_warning_is_not() -> None:
    async with live() as controller:
        logging.getLogger("sfu_wrapper.adapters.janus.room_queue").warning("janus.refused")
        assert await alarms(controller) == 0

        logging.getLogger("sfu_wrapper.adapters.janus.room_queue").error("janus.roomFailed")
        logging.getLogger("sfu_wrapper.service.rooms.router").critical("room.unreadable")

        assert await alarms(controller) == 2


async def test_errors_after_the_end_of_a_controller_are_not_counted_for_it() -> None:
    before = list(logging.getLogger("sfu_wrapper").handlers)
    async with live():
        assert logging.getLogger("sfu_wrapper").handlers != before

    assert logging.getLogger("sfu_wrapper").handlers == before
