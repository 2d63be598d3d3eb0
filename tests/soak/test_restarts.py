"""Ten restarts of Asterisk, and of Janus, while calls come, go and are recorded.

The servers are those of the environment (docs/how-to/testing.md, "Other servers"), or the installed
ones.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import test_asterisk_restarts, test_janus_restarts
from tests.helpers.asterisk import AsteriskServer
from tests.helpers.janus import running_janus

pytestmark = [pytest.mark.soak, pytest.mark.system, pytest.mark.timeout(1200)]

server = test_asterisk_restarts.server

RESTARTS = 10


@pytest.mark.parametrize("seed", range(2))
async def test_no_call_and_no_recording_outlives_ten_restarts_of_asterisk(
    seed: int, server: AsteriskServer, record_property: Callable[[str, object], None]
) -> None:
    rooms, events = await test_asterisk_restarts.restarts(server, RESTARTS, seed)

    record_property("restarts", RESTARTS)
    record_property("rooms", rooms)
    record_property("events", events)


@pytest.mark.parametrize("seed", range(2))
async def test_no_publisher_and_no_recording_outlives_ten_restarts_of_janus(
    seed: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with running_janus(tmp_path / "janus") as janus:
        calls, events = await test_janus_restarts.restarts(janus, tmp_path, RESTARTS, seed)

    record_property("restarts", RESTARTS)
    record_property("calls", calls)
    record_property("events", events)
