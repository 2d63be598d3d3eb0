"""The pages in docs/ name what the code says: every error code, every log line, every link."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from sfu_wrapper.core.captures import LOST, TOO_MANY_FILES
from sfu_wrapper.core.fault import FAULTS
from sfu_wrapper.core.policy import Reason
from sfu_wrapper.core.segments import GIVEN_UP
from sfu_wrapper.core.timers import NOT_CONFIRMED
from sfu_wrapper.model.errors import Code
from sfu_wrapper.wire.signaling import Payload

TOP = Path(__file__).parents[2]
MODULES = sorted((TOP / "sfu_wrapper").rglob("*.py"))
PAGES = [
    TOP / "README.md",
    TOP / "CONTRIBUTING.md",
    TOP / "SECURITY.md",
    *sorted((TOP / "docs").rglob("*.md")),
]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
# Whoever is called so passes the action on to the log.
PASSING_ON = {"warn", "_tell"}
# Where the action is not written in the log call itself but comes from one of these.
INDIRECT = {"service/rooms/effects.py", "service/rooms/permissions.py"}
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call, with the last name of what is called."""
    for node in ast.walk(tree(path)):
        match node:
            case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
                yield name, node


def text_of(call: ast.Call, position: int) -> str | None:
    """The literal text at that position, if there is one."""
    match call.args[position : position + 1]:
        case [ast.Constant(value=str(text))]:
            return text
    return None


def log_calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for name, call in calls(path):
        match call.func:
            case ast.Attribute(value=ast.Name(id="log" | "logger" | "_log")) if name in LEVELS:
                yield name, call


def actions(path: Path) -> Iterator[str]:
    """The messages of this module's log lines, up to where a value is put in."""
    written = [text_of(call, int(name == "log")) for name, call in log_calls(path)]
    passed_on = [text_of(call, 0) for name, call in calls(path) if name in PASSING_ON]
    # A name without a dot that is passed on is a message of the broker, not an action.
    for text in written + [text for text in passed_on if text and "." in text]:
        if text is not None:
            yield text.partition("%")[0].strip()


def relays(path: Path) -> Iterator[tuple[str, int]]:
    """Functions of this module that make a JobFailed of a code that they are given, and where."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef):
            names = [argument.arg for argument in node.args.args]
            for inner in ast.walk(node):
                match inner:
                    case ast.Call(
                        func=ast.Name(id="JobFailed"), args=[_, ast.Name(id=given), *_]
                    ) if given in names:
                        yield node.name, names.index(given)


def job_codes(path: Path) -> Iterator[str]:
    """The codes of the failures that this module tells of."""
    where = {"JobFailed": 1} | dict(relays(path))
    for name, call in calls(path):
        if name in where and (code := text_of(call, where[name])):
            yield code
    for node in ast.walk(tree(path)):
        match node:
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    match key, value:
                        case ast.Constant(value="code"), ast.Constant(value=str(code)):
                            yield code


def faults(path: Path) -> Iterator[tuple[str, bool]]:
    """The codes of the failures that this module tells of, and whether they are for good."""
    where, otherwise = {"JobFailed": 1} | dict(relays(path)), dict(assumptions(path))
    for name, call in calls(path):
        if name in where and (code := text_of(call, where[name])):
            said = {word.arg: word.value for word in call.keywords}
            match said.get("permanent", otherwise.get(name)):
                case ast.Constant(value=bool(permanent)):
                    yield code, permanent


def assumptions(path: Path) -> Iterator[tuple[str, ast.expr | None]]:
    """Functions of this module, and what they take ``permanent`` to be if it is not said."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef):
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
                if argument.arg == "permanent":
                    yield node.name, default


def page(name: str) -> str:
    (path,) = (TOP / "docs").rglob(name)
    return path.read_text(encoding="utf-8")


def first_cells(text: str) -> set[str]:
    """What stands in code style in the first cell of each row of the tables."""
    rows = (line for line in text.splitlines() if line.startswith("| `"))
    return {found for row in rows for found in re.findall(r"`([^`]+)`", row.split(" | ")[0])}


ALL_ACTIONS = sorted({action for path in MODULES for action in actions(path)})
ALL_FAULTS: dict[str, set[bool]] = {}
for _code, _permanent in sorted({fault for path in MODULES for fault in faults(path)}):
    ALL_FAULTS.setdefault(_code, set()).add(_permanent)
ALL_JOB_CODES = sorted({code for path in MODULES for code in job_codes(path)})


def test_there_is_something_to_look_for() -> None:
    assert {"ready", "recording.missed", "Processing video:"} <= set(ALL_ACTIONS)
    assert {"MISSING_FILE", "UNREADABLE_MJR", "NOT_A_RECORDING_INFO"} <= set(ALL_JOB_CODES)


@pytest.mark.parametrize("code", [*Code, "MISCONFIGURED", *ALL_JOB_CODES])
def test_every_error_code_is_explained(code: str) -> None:
    assert code in first_cells(page("errors.md"))


@pytest.mark.parametrize("code", ALL_FAULTS)
def test_a_fault_is_for_good_and_somebodys_as_its_page_says(code: str) -> None:
    section = page("errors.md").partition("## Segments that")[2].partition("\n## ")[0]
    (row,) = (line for line in section.splitlines() if line.startswith(f"| `{code}` |"))
    _, _, for_good, whose, *rest = row.split(" | ")

    assert whose == FAULTS[code]
    if ALL_FAULTS[code] == {True, False}:
        assert "not for good where" in " ".join(rest)
    else:
        assert ALL_FAULTS[code] == {for_good == "yes"}


@pytest.mark.parametrize("action", ALL_ACTIONS)
def test_every_log_line_is_explained(action: str) -> None:
    explained = first_cells(page("log-actions.md"))

    assert any(cell == action or cell.startswith(f"{action} ") for cell in explained)


@pytest.mark.parametrize("reason", [*Reason, LOST, TOO_MANY_FILES, GIVEN_UP, NOT_CONFIRMED])
def test_every_reason_is_explained(reason: str) -> None:
    assert reason in first_cells(page("policy.md"))


@pytest.mark.parametrize("payload", get_args(Payload), ids=lambda payload: payload.__name__)
def test_every_endpoint_is_described(payload: type) -> None:
    endpoint = payload.__name__[0].lower() + payload.__name__[1:]

    assert f"`{endpoint}`" in page("protocol.md")


def test_every_failure_is_somebodys_fault() -> None:
    assert set(FAULTS) == {*ALL_FAULTS, "NOT_A_RECORDING_INFO"}


def test_no_code_is_explained_that_nobody_gives() -> None:
    assert first_cells(page("errors.md")) <= {*Code, "MISCONFIGURED", *ALL_JOB_CODES}


def test_no_log_line_is_explained_that_nobody_writes() -> None:
    section = page("log-actions.md").partition("## Log lines")[2].partition("\n## ")[0]

    assert not {
        cell
        for cell in first_cells(section)
        if not any(cell == action or cell.startswith(f"{action} ") for action in ALL_ACTIONS)
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TOP)))
def test_the_action_of_a_log_line_can_be_found(path: Path) -> None:
    hidden = [
        call.lineno for name, call in log_calls(path) if text_of(call, int(name == "log")) is None
    ]

    assert not hidden or str(path.relative_to(TOP / "sfu_wrapper")) in INDIRECT


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    targets = {link.partition("#")[0] for link in LINK.findall(text) if "://" not in link}

    assert not {target for target in targets if target and not (path.parent / target).exists()}
