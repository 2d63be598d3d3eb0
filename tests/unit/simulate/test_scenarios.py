"""Scenario files, their schedule, expectations and statistics."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.simulate.matching import difference, fill
from sfu_wrapper.simulate.report import Report, StepResult, as_json, as_junit, as_text, percentile
from sfu_wrapper.simulate.scenario import load, parse, schema
from sfu_wrapper.simulate.schedule import plan, users

FOLDER = Path(__file__).parents[3] / "scripts" / "scenarios"
HEAD = "scenario: s\nclients:\n  alice: {}\nsteps:\n"
CALLS = "calls: {count: 10, within: 20, ramp: RAMP}\n" + HEAD + "  - pause: [1, 2]\n"


def test_the_schema_of_scenarios_is_current() -> None:
    assert json.loads((FOLDER / "scenario.schema.json").read_text()) == schema()


def test_a_step_knows_its_line() -> None:
    scenario = parse(HEAD + "  - {client: alice, send: ping}\n  - pause: 1\n", "a.yaml")

    assert [step.line for step in scenario.steps] == [5, 6]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "a.yaml:1: expected the node content"),
        ("a: 1\na: 2\n", "a.yaml:2: 'a' twice"),
        ("a: &x 1\nb: *x\n", "a.yaml:1: anchors are not used here"),
        ("", "a.yaml:1: scenario: "),
        (HEAD + "  - {client: alice, sned: ping}\n", "a.yaml:5: steps.0.sned: Extra inputs"),
        (HEAD + "  - {client: bob, send: ping}\n", "line 5: no client 'bob' in clients"),
        (HEAD + "  - {client: alice}\n", "a.yaml:5: steps.0: Value error, a step has one of"),
        (HEAD + "  - {send: ping}\n", "send has a client"),
        (HEAD + "  - {client: alice, pause: 1}\n", "pause has no client"),
        (HEAD + "  - {client: alice, event: a, refused: X}\n", "refused belongs to send"),
        (HEAD + "  - {client: alice, send: a, refused: X, expect: {}}\n", "exclude each other"),
        (HEAD + "  - {client: alice, frame: {text: a}}\n", "frame needs closed"),
        (HEAD + "  - pause: 1\nrooms: [alice]\n", "a room and a client of one name"),
        (
            HEAD + "  - pause: 1\npermissions:\n  bob: {recordingType: all,"
            " recordingProfile: always}\n",
            "permissions: no client 'bob'",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse(text, "a.yaml")
    assert message in refused.value.detail


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="No such file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "long.yaml").write_text("#" * 2_000_000)
    with pytest.raises(Malformed, match="more than 1048576 bytes"):
        load(tmp_path / "long.yaml")


@pytest.mark.parametrize("ramp", ["even", "rising", "random"])
def test_a_seed_decides_all_of_a_run(ramp: str) -> None:
    scenario = parse(CALLS.replace("RAMP", ramp), "a.yaml")
    calls, again = plan(scenario, 1, "r"), plan(scenario, 1, "r")
    (step,) = scenario.steps

    assert calls == again
    assert [each.pause_s(step, 0) for each in calls] == [each.pause_s(step, 0) for each in again]
    assert calls[0].pause_s(step, 0) != calls[0].pause_s(step, 1)
    assert calls[0].pause_s(step, 0) != plan(scenario, 2, "r")[0].pause_s(step, 0)
    begins = [each.begin_s for each in calls]
    assert begins == sorted(begins)
    assert 0 <= begins[0] < begins[-1] < 20


def test_each_call_has_people_and_a_room_of_its_own() -> None:
    scenario = parse(CALLS.replace("RAMP", "even"), "a.yaml")
    names = [dict(each.names) for each in plan(scenario, 1, "r")]

    assert names[1] == {"alice": "alice-2", "room": "room-r-2"}
    assert len(users(scenario, "alice")) == 10


@pytest.mark.parametrize(
    ("expected", "value", "path"),
    [
        ({"a": 1}, {"a": 1.0, "b": 2}, None),
        ({"a": True}, {"a": 1}, "a"),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}, "a.b[1].c"),
        ({"a": [1]}, {"a": [1, 2]}, "a"),
        ({"a": {"b": 1}}, {"a": 1}, "a"),
        ({"a": 1}, {}, "a"),
        ({"a": {"$present": False}}, {}, None),
        ({"a": {"$present": True}}, {}, "a"),
        ({"a": {"$at_least": 2}}, {"a": 2}, None),
        ({"a": {"$at_least": 2}}, {"a": "3"}, "a"),
        ({"a": {"$at_most": 2}}, {"a": 3}, "a"),
        ({"a": {"$one_of": [1, 2]}}, {"a": 2}, None),
        ({"a": {"$has": {"b": 1}}}, {"a": [{"b": 2}, {"b": 1}]}, None),
        ({"a": {"$length": 1}}, {"a": []}, "a"),
    ],
)
def test_an_expectation_names_the_first_difference(
    expected: Any,  # noqa: ANN401 - JSON
    value: Any,  # noqa: ANN401 - JSON
    path: str | None,
) -> None:
    found = difference(expected, value)

    assert (None if found is None else found.partition(":")[0]) == path


def test_names_are_filled_in_everywhere() -> None:
    filled = fill({"a": ["$alice", 1], "b": "at $room", "c": "$other"}, {"alice": "x", "room": "r"})

    assert filled == {"a": ["x", 1], "b": "at r", "c": "$other"}


RESULTS = tuple(
    StepResult(5, call, f"alice-{call}", "ping", call / 1000, "ok") for call in range(1, 101)
)
REPORT = Report("a.yaml", "All is well", 3, 100, 1.5, RESULTS)


def test_percentiles_are_values_that_were_measured() -> None:
    assert [percentile([3, 1, 2], each) for each in (50, 90, 100)] == [2, 3, 3]


def test_a_report_has_latencies_and_the_slowest_steps() -> None:
    text, shown = as_text(REPORT), as_json(REPORT)

    assert REPORT.latencies() == {"ping": (100, [50.0, 90.0, 99.0, 100.0])}
    assert "slow: a.yaml:5: alice-100 ping 100.0 ms" in text
    assert "answers: ok 100" in text
    assert (shown["passed"], shown["steps"]) == (True, 100)


def test_a_report_of_many_failures_shows_the_first_ones() -> None:
    failed = tuple(replace(each, failure="expected a\x00") for each in RESULTS)
    report = replace(REPORT, results=failed)

    assert not report.passed
    assert "  a.yaml:5: alice-1: expected a" in as_text(report)
    assert "and 80 more failures" in as_text(report)
    assert as_junit([report]).count(b"<failure ") == 20
