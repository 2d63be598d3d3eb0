"""Rules for all tests: how hard properties are tried, and that nothing is skipped in silence."""

import logging
import os
from collections.abc import Callable, Generator, Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.helpers.rabbitmq"]  # its server is shared by the whole run

_SKIPS = Path(__file__).with_name("skips.txt")

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci",
    max_examples=300,
    deadline=None,
    derandomize=True,  # the gate says the same twice
    suppress_health_check=[HealthCheck.too_slow],  # shared machines
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

_NOTED = "noted"

# What these folders start are real processes that share a machine with others.
_OF_PROCESSES = ("acceptance", "contract", "faults", "integration", "samples")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a test of real processes that fails run a second time, which the summary lists."""
    root = Path(__file__).parent
    for item in items:
        if item.path.relative_to(root).parts[0] in _OF_PROCESSES:
            item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=2))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Make what a module shares once more for a second run.

    Many tests look at one recorded call: looking at the same one again would fail again.
    """
    if getattr(item, "execution_count", 1) == 1 or not isinstance(item, pytest.Function):
        return
    for definitions in item._fixtureinfo.name2fixturedefs.values():
        for definition in definitions:
            if definition.scope == "module":
                definition.finish(item._request)  # type: ignore[arg-type]  # it reads the node alone


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Remove what a command set up in this process: it logs to a stream that its test closes."""
    root, ours = logging.getLogger(), logging.getLogger("sfu_wrapper")
    before = [*root.handlers], root.level, ours.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Print a line at the end of the run, whichever process the test runs in."""
    return lambda line: record_property(_NOTED, line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the notes of tests, which are neither pass nor fail."""
    reports = [report for each in terminalreporter.stats.values() for report in each]
    noted = [
        (report.nodeid, line)
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, line in report.user_properties
        if name == _NOTED
    ]
    if noted:
        terminalreporter.section("notes of tests")
    for node, line in noted:
        terminalreporter.line(f"{node}: {line}")
    _list_second_runs(terminalreporter)


def _list_second_runs(terminalreporter: pytest.TerminalReporter) -> None:
    """Print each failure that a second run followed, since it is a fault to look for."""
    failures = terminalreporter.stats.get("rerun", [])
    if failures:
        terminalreporter.section("failed at the first run, and run again")
    for report in failures:
        terminalreporter.line(f"{report.nodeid}:")
        terminalreporter.line(report.longreprtext)


@cache
def _allowed() -> tuple[str, ...]:
    """The node ids of skips.txt, each of which has a reason beside it."""
    lines = (line.strip() for line in _SKIPS.read_text(encoding="utf-8").splitlines())
    entries = [line.partition("|") for line in lines if line and not line.startswith("#")]
    without = [name for name, _, reason in entries if not reason.strip()]
    if without:
        raise pytest.UsageError(f"{_SKIPS.name}: no reason beside {without[0]}")
    # Only the star is a pattern: node ids are full of brackets.
    return tuple(name.strip().replace("[", "[[]") for name, _, _ in entries)


def _refuse_silent_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not any(fnmatchcase(report.nodeid, name) for name in _allowed()):
        report.outcome = "failed"
        report.longrepr = f"skipped, and not in tests/{_SKIPS.name}: {report.longrepr}"
        vars(report).pop("wasxfail", None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip that is not accounted for into a failure."""
    report = yield
    _refuse_silent_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module that skips itself."""
    report = yield
    _refuse_silent_skip(report)
    return report
