"""The table that a soak run ends with: what was tried, for how long, and what was measured."""

import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A table that can go into testing.md as it stands."""
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call" and "soak" in report.keywords
    ]
    if not reports:
        return
    today = datetime.now(UTC).date()
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    terminalreporter.write_line("")
    terminalreporter.write_line(f"{today}, {machine}:")
    terminalreporter.write_line("")
    for line in _table(reports):
        terminalreporter.write_line(line)


def _table(reports: list[pytest.TestReport]) -> Iterator[str]:
    yield "| test | outcome | took | measured |"
    yield "|---|---|---|---|"
    for report in reports:
        name = report.nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ")
        measured = "; ".join(f"{what} {value}" for what, value in report.user_properties)
        yield f"| {name} | {report.outcome} | {report.duration:.0f} s | {measured} |"
