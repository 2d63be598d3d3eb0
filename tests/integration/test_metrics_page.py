"""Metrics of a running controller: each is on its page, and each logged error counts."""

import asyncio
import logging
import re
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.app.worker_health import observed
from sfu_wrapper.config.load import load
from tests.helpers.calls import call
from tests.helpers.live import Live, live
from tests.helpers.processes import free_port
from tests.helpers.wait import until

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
ENTRY = re.compile(r"^\* `(\w+)` \((\w+)(?:; labels ([\w, ]+))?\): ([^.]+)\.", re.MULTILINE)


async def fetch(controller: Live, path: str) -> str:
    """Return the body of an answer over HTTP."""
    answer = await asyncio.to_thread(urllib.request.urlopen, f"{controller.http_url}{path}")
    body: bytes = answer.read()
    return body.decode()


async def alarms(controller: Live) -> float:
    """Return the value of ``sfu_wrapper_alarms_total``."""
    lines = (await fetch(controller, "/metrics")).splitlines()
    (line,) = (line for line in lines if line.startswith("sfu_wrapper_alarms_total "))
    return float(line.split()[1])


async def test_the_page_has_each_metric_of_a_controller_as_it_is_rendered() -> None:
    async with live() as controller:
        await (await call(controller)).started()
        await fetch(controller, "/health/live")
        metrics = await fetch(controller, "/metrics")

    assert entries("Both", "Controller") == rendered(metrics)


async def test_the_page_has_each_metric_of_a_worker_as_it_is_rendered(tmp_path: Path) -> None:
    port = free_port()
    folders = [f"{name}={tmp_path}" for name in ("destination_path", "recordings_path")]
    settings = load(Path("config"), {}, (f"worker.httpPort={port}", *folders))

    async with observed(settings, SystemClock()):
        await read(port, "/health/live")
        await until(lambda: measured(port))
        metrics = await read(port, "/metrics")

    assert entries("Both", "Worker") == rendered(metrics)


async def measured(port: int) -> bool:
    """Whether the disks have been looked at; a scrape is rendered once a second at most."""
    return "disk_free_bytes{" in await read(port, "/metrics")


async def read(port: int, path: str) -> str:
    """Return the body of an answer of a worker."""
    answer = await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{port}{path}")
    body: bytes = answer.read()
    return body.decode()


def rendered(metrics: str) -> set[tuple[str, str, str, str]]:
    """Name, type, labels and meaning of each metric."""
    families = list(text_string_to_metric_families(metrics))
    return {
        (
            family.name + "_total" * (family.type == "counter"),
            family.type,
            ", ".join(sorted({name for each in family.samples for name in each.labels} - {"le"})),
            family.documentation,
        )
        for family in families
        if not family.name.endswith("_created")
    }


def entries(*headings: str) -> set[tuple[str, str, str, str]]:
    """The same of the sections of the page."""
    page = re.sub(r"\n  ", " ", PAGE.read_text(encoding="utf-8"))
    sections = {part.partition("\n")[0]: part for part in page.split("\n## ")}
    found = [entry for heading in headings for entry in ENTRY.findall(sections[heading])]
    return {(name, kind, labels or "", meaning) for name, kind, labels, meaning in found}


async def test_a_store_that_cannot_write_is_counted_as_an_alarm() -> None:
    store = MemoryStore()
    async with live(store=store) as controller:
        alice = await controller.client("alice")
        before = await alarms(controller)

        store.failing = True
        assert await alice.refused("createRoom", {"kind": "meeting"}) == "OVERLOADED"
        store.failing = False

        assert before == 0
        assert await alarms(controller) >= 1  # room.commitFailed


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
