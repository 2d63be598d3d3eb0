"""A Prometheus of the test's own that scrapes processes on loopback, by the project's rules."""

import asyncio
import json
import re
import subprocess
import urllib.parse
import urllib.request
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers.processes import free_port
from tests.helpers.wait import until

CONFIG = Path(__file__).parents[2] / "config" / "prometheus"
RULES = CONFIG / "sfu-wrapper.rules.yml"
FIRES_S = 60.0  # a deadline, not a measurement: machines are shared


def shortened(rules: str) -> str:
    """The rules with seconds in place of their minutes, so that a test need not wait for those."""
    rules = re.sub(r"for: \d+[mh]", "for: 1s", rules)
    rules = re.sub(r"\[\d+[mh]\]", "[20s]", rules)
    return rules.replace("age_seconds > 60", "age_seconds > 1")


@dataclass(slots=True)
class Prometheus:
    """A running server."""

    url: str

    async def get(self, path: str) -> Any:  # noqa: ANN401  # JSON
        """The data of an answer of its API."""
        answer = await asyncio.to_thread(urllib.request.urlopen, self.url + path)
        return json.loads(answer.read())["data"]

    async def firing(self) -> dict[str, dict[str, str]]:
        """The labels of the alerts that fire, by their name."""
        with suppress(OSError):
            alerts = (await self.get("/api/v1/alerts"))["alerts"]
            firing = [each for each in alerts if each["state"] == "firing"]
            return {each["labels"]["alertname"]: each["labels"] for each in firing}
        return {}

    async def fires(self, alert: str) -> dict[str, str]:
        """Wait until an alert fires; its labels."""

        async def there() -> bool:
            return alert in await self.firing()

        await until(there, within_s=FIRES_S, pause_s=0.3)
        return (await self.firing())[alert]

    async def clears(self, alert: str) -> None:
        """Wait until an alert no longer fires."""

        async def gone() -> bool:
            return alert not in await self.firing()

        await until(gone, within_s=FIRES_S, pause_s=0.3)

    async def value(self, query: str) -> float:
        """The value of a query with one result."""
        found = await self.get(f"/api/v1/query?query={urllib.parse.quote(query)}")
        return float(found["result"][0]["value"][1])


@asynccontextmanager
async def prometheus(folder: Path, jobs: Mapping[str, int]) -> AsyncIterator[Prometheus]:
    """Run one that scrapes ports of loopback, by their job, every second."""
    _write_config(folder, jobs)
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    server = Prometheus(f"http://127.0.0.1:{port}")
    try:
        yield server
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def _write_config(folder: Path, jobs: Mapping[str, int]) -> None:
    folder.mkdir()
    (folder / RULES.name).write_text(shortened(RULES.read_text()))
    scrapes = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        for job, port in jobs.items()
    ]
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config = {"global": every, "rule_files": [RULES.name], "scrape_configs": scrapes}
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool in the folder of the rules."""
    return subprocess.run(
        ["promtool", *arguments], cwd=CONFIG, capture_output=True, text=True, check=False
    )
