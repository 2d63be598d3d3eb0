"""``sfu-wrapper simulate``: each scenario passes, and fails with an expectation turned round."""

import asyncio
import json
import re
from argparse import Namespace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sfu_wrapper.cli.main import main
from sfu_wrapper.cli.simulate import own_controller
from sfu_wrapper.simulate.player import Run
from sfu_wrapper.simulate.report import Report
from sfu_wrapper.simulate.scenario import Scenario, load, parse
from tests.helpers.live import live, token
from tests.helpers.pages import block

pytestmark = pytest.mark.timeout(120)

FOLDER = Path(__file__).parents[2] / "scripts" / "scenarios"
LARGE = ("busy-morning.yaml", "files-of-a-call.yaml")
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.yaml"))}
SCENARIOS = [name for name in TEXTS if name not in LARGE]
# The last refusal, event or close that a scenario expects, and what it is turned into.
TURNS = (
    (r"refused: \w+", "refused: INTERNAL"),
    (r"expect: \{", "expect: {turned: round, "),
    (r"closed: \d+", "closed: 4999"),
)
FAST = 20.0


def turned_round(text: str) -> tuple[str, int]:
    """Return a scenario with its last expectation wrong, and the line of that one."""
    found = [
        (match.start(), match.end(), wrong)
        for pattern, wrong in TURNS
        for match in re.finditer(pattern, text)
    ]
    begin, end, wrong = max(found)
    return text[:begin] + wrong + text[end:], text[:begin].count("\n") + 1


async def play(scenario: Scenario, name: str, folder: Path) -> Report:
    """Play a scenario against a controller of its own."""
    async with own_controller(Namespace(), scenario, folder) as target:
        return await Run(name, scenario, target).play()


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_scenario_passes(name: str, tmp_path: Path) -> None:
    report = await play(parse(TEXTS[name], name), name, tmp_path)

    assert report.failures == []


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_scenario_fails_with_one_expectation_turned_round(
    name: str, tmp_path: Path
) -> None:
    text, line = turned_round(TEXTS[name])

    (failure, *_) = (await play(parse(text, name), name, tmp_path)).failures

    where, client, what = failure.split(": ", 2)
    first_line = int(where.partition(":")[2])
    assert first_line <= line < first_line + 5  # of the step, which may have several lines
    assert client in parse(text, name).clients
    assert "received" in what


@pytest.mark.slow
async def test_a_recorded_call_becomes_a_file(tmp_path: Path) -> None:
    path = FOLDER / "files-of-a-call.yaml"

    assert (await play(load(path), path.name, tmp_path)).failures == []


async def test_thirty_calls_of_the_busy_morning_pass(tmp_path: Path) -> None:
    text = TEXTS["busy-morning.yaml"]
    scenario = parse(text.replace("count: 300", "count: 30"), "busy")
    async with own_controller(Namespace(), scenario, tmp_path) as target:
        report = await Run("busy", scenario, target, seed=7, speed=FAST).play()

    assert report.failures == []
    assert report.calls == 30
    assert report.answers() == {"ok": 30 * 10, "NOT_ROOM_OWNER": 30}


def test_the_command_reports_as_text_json_and_junit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junit = tmp_path / "junit.xml"
    scenario = FOLDER / "pause-and-resume.yaml"

    assert main(["simulate", str(scenario)]) == 0
    assert capsys.readouterr().out.startswith("passed")
    assert main(["simulate", str(scenario), "--json", "--junit", str(junit)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["passed"], shown["latencies"]["startRoomRecording"]["count"]) == (True, 1)
    suites = ElementTree.parse(junit).getroot()  # noqa: S314 - written by us
    assert [suite.get("failures") for suite in suites] == ["0"]


def test_the_command_fails_where_an_expectation_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, line = turned_round(TEXTS["fault-quota.yaml"])
    path, junit = tmp_path / "turned.yaml", tmp_path / "junit.xml"
    path.write_text(text, encoding="utf-8")

    assert main(["simulate", str(tmp_path), "--junit", str(junit)]) == 1
    assert capsys.readouterr().out.startswith("FAILED")
    assert b"expected the refusal INTERNAL" in junit.read_bytes()
    assert line > 1


def test_the_scenario_of_the_guide_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "guide.yaml"
    path.write_text(block("how-to/simulate-calls.md", "Write a scenario", "yaml"), encoding="utf-8")

    assert main(["simulate", str(path)]) == 0
    assert capsys.readouterr().out.startswith("passed")


async def test_a_running_controller_is_driven_by_its_url() -> None:
    tokens = ["--token", token("gateway-1", "gateway"), "--token", token("rooms", "service")]
    async with live() as here:
        command = ["simulate", str(FOLDER / "table-02-direct-asked-not-granted.yaml")]
        code = await asyncio.to_thread(main, [*command, "--url", here.url, *tokens])

    assert code == 0


@pytest.mark.parametrize(
    ("arguments", "detail"),
    [
        (["--url", "ws://127.0.0.1:9"], "--url needs --token"),
        (["--url", "ws://127.0.0.1:9", "--token", "x"], "not a token"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: list[str], detail: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(FOLDER / "fault-quota.yaml")

    assert main(["simulate", path, *arguments]) == 1
    assert detail in capsys.readouterr().err


async def test_a_user_without_a_token_is_named() -> None:
    async with live() as here:
        command = ["simulate", str(FOLDER / "fault-quota.yaml"), "--url", here.url]
        code = await asyncio.to_thread(main, [*command, "--token", token("zoe")])

    assert code == 1
