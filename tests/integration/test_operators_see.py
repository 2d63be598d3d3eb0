"""What operators see of recordings and workers: log lines, health, metrics, doctor."""

import json
import logging
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.request import urlopen

import pytest

from sfu_wrapper.adapters.memory.plane import Behaviour, MemoryPlane
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.os.threads import run_in_daemon_thread
from sfu_wrapper.app import worker_health
from sfu_wrapper.app.worker_health import observed
from sfu_wrapper.config.load import load
from sfu_wrapper.model.media import Medium
from sfu_wrapper.observe.logs import LogSettings, formatter
from tests.helpers.calls import call
from tests.helpers.live import live
from tests.helpers.owners import Owner, owner
from tests.helpers.processes import free_port
from tests.helpers.wait import until

__all__ = ["owner"]

DAY_S = 86_400
EXPIRES = "sfu_wrapper_encryption_key_expires_seconds "
LINES = formatter(LogSettings(level="info", folders=(), format="text"))


def lines(caplog: pytest.LogCaptureFixture, action: str) -> list[str]:
    """The lines of that action, as they are written, without their time."""
    found = [each for each in caplog.records if each.getMessage() == action]
    return [LINES.format(each).partition(" ")[2] for each in found]


async def test_the_log_says_when_whose_and_why_a_recording_starts_and_stops(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with live() as controller:
        talk = await call(controller)
        await talk.started()
        await talk.stopped()
        await talk.started()
        await talk.service.ok("endRoom", {"room": "call"})
        await until(lambda: len(lines(caplog, "recording.stopped")) == 2)

    started = lines(caplog, "recording.started")
    stopped = lines(caplog, "recording.stopped")
    whose = 'room=call owner="alice of example"'
    assert started[0].endswith(f"recording.started {whose} segment=1 by=alice type=all")
    assert started[1].endswith(f"recording.started {whose} segment=2 by=alice type=all")
    assert f"recording.stopped {whose} segment=1 by=alice reason=requested took=" in stopped[0]
    assert f"recording.stopped {whose} segment=2 by=system reason=callEnded took=" in stopped[1]


async def test_a_recording_that_cannot_be_started_is_logged_with_the_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plane = MemoryPlane()
    for medium in Medium:
        plane.behave(medium, "start", Behaviour.REFUSE)
    async with live(plane=plane) as controller:
        talk = await call(controller)
        await talk.start()
        await until(lambda: bool(lines(caplog, "recording.notStarted")))

    (line,) = lines(caplog, "recording.notStarted")
    assert "code=MEDIA_FAILED" in line
    assert "the media plane could not start the recording" in line


@pytest.mark.system
async def test_a_worker_serves_health_and_metrics_of_its_own(
    owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.make("rec@example.org", expires="20d")
    port = free_port()
    keys = (
        f"worker.httpPort={port}",
        f"destination_path={tmp_path / 'out'}",
        f"recordings_path={tmp_path / 'raw'}",
        f"logs_path={tmp_path / 'logs'}",
        f"store.url=sqlite:{tmp_path / 'store.db'}",
        "should_encrypt=true",
        "encryption_mail=rec@example.org",
        f"encryption_key={owner.public(tmp_path / 'key.asc')}",
    )
    settings = load(Path("config"), {}, keys)
    async with observed(settings, SystemClock()) as monitor:
        logging.getLogger("sfu_wrapper.service.worker.progress").error("job.failed")
        await until_async(lambda: read(port, "/health/ready"), "the key expires in 19 days")
        monitor.report("disk", False, await monitor.fullest_disk())
        health = json.loads(await read(port, "/health/ready"))
        metrics = await read(port, "/metrics")

    assert health["status"] == "degraded"
    assert health["parts"]["disk"]["state"] == "away"
    assert "free on /" in health["parts"]["disk"]["detail"]
    assert health["parts"]["encryption"] == {
        "state": "ok",
        "since": health["parts"]["encryption"]["since"],
        "detail": "the key expires in 19 days",
    }
    assert "sfu_wrapper_alarms_total 1.0" in metrics
    (left,) = [line for line in metrics.splitlines() if line.startswith(EXPIRES)]
    assert 19 * DAY_S < float(left.split()[1]) <= 20 * DAY_S


async def test_a_worker_without_a_port_serves_nothing(tmp_path: Path) -> None:
    settings = load(Path("config"), {}, (f"destination_path={tmp_path}",))
    async with observed(settings, SystemClock()) as monitor:
        assert "free on" in await monitor.fullest_disk()


async def test_a_file_server_that_hangs_does_not_hold_up_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(worker_health, "disk", lambda _: answers.wait())
    monkeypatch.setattr(worker_health, "_DISK_S", 0.01)
    settings = load(Path("config"), {}, (f"destination_path={tmp_path}",))
    async with observed(settings, SystemClock()) as monitor:
        assert await monitor.fullest_disk() == "unknown: no answer within 0.01 s"
    answers.set()


async def read(port: int, path: str) -> str:
    """What is served there."""

    def get() -> str:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    return await run_in_daemon_thread(get)


async def until_async(look: Callable[[], Awaitable[str]], words: str) -> None:
    """Wait until what is seen has these words."""

    async def there() -> bool:
        return words in await look()

    await until(there)
