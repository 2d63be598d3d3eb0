"""The rules and the dashboard: true of the metrics, and fired by a real Prometheus."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # brings no types of its own

from sfu_wrapper.adapters.memory.plane import Behaviour, MemoryPlane
from sfu_wrapper.model.media import Medium
from tests.helpers.calls import ALWAYS, call
from tests.helpers.crammed import disk
from tests.helpers.live import live
from tests.helpers.processes import environment, free_port, start
from tests.helpers.prometheus import RULES, prometheus, promtool

TOP = Path(__file__).parents[2]
DASHBOARD = json.loads((TOP / "config/grafana/sfu-wrapper.json").read_text(encoding="utf-8"))
PANELS = [each for each in DASHBOARD["panels"] if each["type"] != "row"]
EXPRESSIONS = [target["expr"] for each in PANELS for target in each["targets"]]
GROUPS = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
ALERTS: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
REFERENCE = (TOP / "docs/reference/metrics.md").read_text(encoding="utf-8")


def named(expression: str) -> set[str]:
    """The metrics of ours in an expression, as the reference names them."""
    found = set(re.findall(r"sfu_wrapper_\w+", expression))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def test_rules_and_dashboard_name_metrics_that_exist() -> None:
    known = set(re.findall(r"`(sfu_wrapper_\w+)`", REFERENCE))
    for expression in [*EXPRESSIONS, *(rule["expr"] for rule in ALERTS)]:
        assert named(expression) <= known, expression


def test_every_metric_is_on_the_dashboard() -> None:
    known = set(re.findall(r"^(?:\* )?`(sfu_wrapper_\w+)` \(", REFERENCE, re.MULTILINE))
    assert known - set().union(*map(named, EXPRESSIONS)) == set()


def test_every_alert_has_a_panel_and_a_section_that_says_what_to_do() -> None:
    guide = (TOP / "docs/how-to/monitoring.md").read_text(encoding="utf-8")
    described = " ".join(each["description"] for each in PANELS)
    for rule in ALERTS:
        name = rule["alert"]
        assert re.search(rf"Alerts? [^.]*\b{name}\b", described), name
        assert f"\n### {name}\n" in guide
        assert rule["annotations"]["runbook"] == f"docs/how-to/monitoring.md#{name.lower()}"
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_every_alert_has_a_unit_test_in_which_it_fires() -> None:
    cases = yaml.safe_load(RULES.with_suffix(".test.yml").read_text(encoding="utf-8"))["tests"]
    checks = [check for case in cases for check in case["alert_rule_test"]]
    fired = {check["alertname"] for check in checks if check["exp_alerts"]}
    assert fired == {rule["alert"] for rule in ALERTS}


def test_panels_overlap_nowhere() -> None:
    cells = [
        (x, y)
        for place in (each["gridPos"] for each in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert len({each["id"] for each in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.system
@pytest.mark.parametrize(
    "check",
    [
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "sfu-wrapper.rules.test.yml"),
    ],
    ids=["config", "rules"],
)
def test_promtool_finds_rules_and_their_tests_right(check: tuple[str, ...]) -> None:
    done = promtool(*check)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.system
def test_promtool_reads_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{n}", "expr": expr} for n, expr in enumerate(EXPRESSIONS)]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


@pytest.mark.system
@pytest.mark.timeout(240)
async def test_faults_of_a_controller_fire_their_alerts_and_repairs_end_them(
    tmp_path: Path,
) -> None:
    plane = MemoryPlane()
    http = free_port()
    jobs = {"sfu-wrapper": http}
    async with (
        live(f"http.port={http}", plane=plane) as here,
        prometheus(tmp_path / "prometheus", jobs) as watched,
    ):
        plane.unavailable = {Medium.VIDEO}
        assert (await watched.fires("MediaPlaneAway"))["part"] == "sfu"
        plane.unavailable = set()
        await watched.clears("MediaPlaneAway")

        made = await call(here)
        await made.started()
        await made.stopped()  # its event waits for a worker, and there is none
        assert (await watched.fires("WorkerAbsent"))["queue"] == "processing"
        assert await watched.value('sum(sfu_wrapper_segments_total{outcome="stopped"})') == 1
        assert await watched.value('sfu_wrapper_queue_messages{queue="processing"}') == 1

        for medium in Medium:
            plane.behave(medium, "start", Behaviour.REFUSE)
        await here.permit("dora", ALWAYS)
        service, dora = await here.service(), await here.client("dora")
        room = {"id": "missed", "kind": "meeting", "owner": "dora", "domain": "example"}
        await service.ok("createRoom", room | {"record": True})
        await dora.ok("joinRoom", {"room": "missed"})
        await watched.fires("RecordingsMissed")

        await here.broker.close()
        await dora.ok("leaveRoom", {"room": "missed"})  # what it announces cannot be published
        await watched.fires("OutboxStuck")
        assert (await watched.fires("PartUnavailable"))["part"] == "broker"


@pytest.mark.system
@pytest.mark.timeout(180)
async def test_a_full_disk_of_a_worker_fires_its_alert(tmp_path: Path) -> None:
    port, out = free_port(), tmp_path / "out"
    for name in ("out", "raw", "raw-audio", "state"):
        (tmp_path / name).mkdir()
    with disk(out, kib=16_384):
        env = environment(tmp_path, WORKER__HTTP_PORT=str(port))
        worker = await start(env, "worker")
        try:
            await worker.logged("worker.serving")
            jobs = {"sfu-wrapper-worker": port}
            async with prometheus(tmp_path / "prometheus", jobs) as watched:
                found = await watched.fires("DiskFull")
                assert found["folder"] == "destination_path"
                assert await watched.value("sfu_wrapper_worker_busy") == 0
        finally:
            await worker.terminate()
