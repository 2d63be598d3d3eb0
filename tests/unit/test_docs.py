"""The pages in docs/ name what the code says: every error code, every log line, every link."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from sfu_wrapper.core.captures import LOST, TOO_MANY_FILES
from sfu_wrapper.core.job import FAILURES
from sfu_wrapper.core.policy import Reason
from sfu_wrapper.core.segments import GIVEN_UP
from sfu_wrapper.core.timers import NOT_CONFIRMED
from sfu_wrapper.model.codecs import AUDIO_INPUT, VIDEO_INPUT
from sfu_wrapper.model.errors import Code, JobCode
from sfu_wrapper.wire.signaling import Payload
from tests.helpers.source import nodes

TOP = Path(__file__).parents[2]
MODULES = sorted((TOP / "sfu_wrapper").rglob("*.py"))
DOCS = TOP / "docs"
ROOT_PAGES = [TOP / f"{name}.md" for name in ("README", "SECURITY", "CONTRIBUTING", "CHANGELOG")]
PAGES = [*ROOT_PAGES, *sorted(DOCS.rglob("*.md"))]
KINDS = ("tutorials", "how-to", "reference", "explanation")
COLUMNS = 120
# A page, and after it headings; citations in the code are looked at by test_house_rules.py.
CITATION = re.compile(r"([\w-]+\.md)((?:(?:\)?,| and)\s+\"[^\"]+\")*)")
# Words of an earlier style; the glossary has those that no identifier has.
UNWANTED = re.compile(
    r"\b(whoever|whomever|anew|amiss|seldom|mend(?:s|ed)?|believed|comes to|let go|"
    r"(?:some|any|every|no)body|pictures?|sounds?|films?|stands)\b",
    re.IGNORECASE,
)
INLINE = re.compile(r"`[^`]*`")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
# A function of these names passes the action on to the log.
PASSING_ON = {"warn", "_log_change"}
# Where the action is not written in the log call itself but comes from one of these.
INDIRECT = {"service/rooms/commit.py", "service/rooms/permissions.py"}
AUDITED = re.compile(
    r"(recording|permission|retention|erasure|file|link|log|evidence|webhook|token)\.[a-zA-Z]+"
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call, with the last name of what is called."""
    for node in nodes(path):
        match node:
            case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
                yield name, node


def text_of(call: ast.Call, position: int) -> str | None:
    """The literal text at that position, if there is one."""
    match call.args[position : position + 1]:
        case [ast.Constant(value=str(text))]:
            return text
    return None


def member_of(call: ast.Call, position: int) -> str | None:
    """Return the member of ``JobCode`` at that position, if there is one."""
    match call.args[position : position + 1]:
        case [ast.Attribute(value=ast.Name(id="JobCode"), attr=code)]:
            return code
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


def levels(path: Path) -> Iterator[tuple[str, str]]:
    """Return the actions of this module with the level of each, where the call names both."""
    names = {"warning": "warn", "exception": "error"}
    for name, call in log_calls(path):
        if name != "log" and (text := text_of(call, 0)):
            yield text.partition("%")[0].strip(), names.get(name, name)


def audit_actions(path: Path) -> Iterator[str]:
    """Yield the actions of the audit entries of this module, such as ``file.read``.

    They are the names of that form in modules that make entries, but for those in log calls.
    """
    text = path.read_text(encoding="utf-8")
    if "recordings.audit import" not in text and "model.audit import AuditEntry" not in text:
        return
    made = [*log_calls(path), *(each for each in calls(path) if each[0] in PASSING_ON)]
    logged = {argument for _, call in made for argument in call.args}
    for node in nodes(path):
        match node:
            case ast.Constant(value=str(name)) if AUDITED.fullmatch(name) and node not in logged:
                yield name
            case _:
                pass


def relays(path: Path) -> Iterator[tuple[str, int]]:
    """Functions of this module that make a JobFailed of a code that they are given, and where."""
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef):
            names = [argument.arg for argument in node.args.args]
            for inner in ast.walk(node):
                match inner:
                    case ast.Call(
                        func=ast.Name(id="JobFailed"), args=[_, ast.Name(id=given), *_]
                    ) if given in names:
                        yield node.name, names.index(given)


def faults(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield the codes of the failures that this module makes, and whether they are permanent."""
    where, otherwise = {"JobFailed": 1} | dict(relays(path)), dict(assumptions(path))
    for name, call in calls(path):
        if name in where and (code := member_of(call, where[name])):
            said = {word.arg: word.value for word in call.keywords}
            match said.get("permanent", otherwise.get(name)):
                case ast.Constant(value=bool(permanent)):
                    yield code, permanent


def assumptions(path: Path) -> Iterator[tuple[str, ast.expr | None]]:
    """Functions of this module, and what they take ``permanent`` to be if it is not said."""
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef):
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
                if argument.arg == "permanent":
                    yield node.name, default


def page(name: str) -> str:
    (path,) = (TOP / "docs").rglob(name)
    return path.read_text(encoding="utf-8")


def entries(text: str) -> dict[str, str]:
    """Return the entries of lists on a page: the name in code style, and the whole entry."""
    found = re.findall(r"^\* `([^`]+)`((?:.|\n(?!\n|\*|#))*)", text, re.MULTILINE)
    return {name: " ".join(rest.split()) for name, rest in found}


def section(name: str, title: str) -> str:
    """Return the text below one heading of a page."""
    return page(name).partition(f"\n## {title}\n")[2].partition("\n## ")[0]


# Computed in the one process that runs these tests, not in each that collects them.
@cache
def all_actions() -> frozenset[str]:
    """Return the actions of all log lines."""
    return frozenset(action for path in MODULES for action in actions(path))


@cache
def all_faults() -> dict[str, set[bool]]:
    """Return the code of each failure of a job that is made, and how permanent it is."""
    found: dict[str, set[bool]] = {}
    for code, permanent in {fault for path in MODULES for fault in faults(path)}:
        found.setdefault(code, set()).add(permanent)
    return found


def entry_of(action: str, explained: dict[str, str]) -> str | None:
    """Return the entry of an action, whose name may be followed by that of a value."""
    found = [
        entry
        for name, entry in explained.items()
        if name == action or name.startswith(f"{action} ")
    ]
    return found[0] if found else None


def test_there_is_something_to_look_for() -> None:
    assert {"ready", "recording.missed", "Processing video:"} <= all_actions()
    assert {"MISSING_FILE", "UNREADABLE_MJR", "NO_SPACE"} <= all_faults().keys()


@pytest.mark.parametrize("code", [*Code, "MISCONFIGURED", *JobCode])
def test_every_error_code_is_explained(code: str) -> None:
    assert code in entries(page("errors.md"))


def test_every_job_code_has_an_owner_and_a_permanence() -> None:
    assert set(FAILURES) == set(JobCode)


@pytest.mark.parametrize("code", JobCode)
def test_the_entry_of_a_job_code_says_what_the_table_says(code: JobCode) -> None:
    entry = entries(section("errors.md", "Segments that could not be processed"))[code]
    _, permanence, owner = entry.partition("(")[2].partition(")")[0].split("; ")

    assert owner == FAILURES[code].owner
    assert permanence == FAILURES[code].permanence


def test_a_failure_is_raised_only_as_permanent_as_the_table_allows() -> None:
    assert not [
        code
        for code, raised in all_faults().items()
        if not all(FAILURES[code].allows(permanent=permanent) for permanent in raised)
    ]


def test_no_page_and_no_table_has_a_job_code_that_nothing_raises() -> None:
    of_the_wire = {JobCode.NOT_A_RECORDING_INFO}  # of a message that is no job yet

    assert set(JobCode) - all_faults().keys() == of_the_wire


def test_every_log_line_is_explained() -> None:
    explained = entries(page("log-actions.md"))

    assert not [action for action in all_actions() if entry_of(action, explained) is None]


def test_every_log_line_has_the_level_that_its_entry_says() -> None:
    explained = entries(page("log-actions.md"))
    logged = dict(found for path in MODULES for found in levels(path))
    assert logged["ready"] == "info"

    assert not {
        action: level
        for action, level in logged.items()
        if not (entry_of(action, explained) or "").startswith(f"({level})")
    }


@pytest.mark.parametrize("reason", [*Reason, LOST, TOO_MANY_FILES, GIVEN_UP, NOT_CONFIRMED])
def test_every_reason_is_explained(reason: str) -> None:
    assert reason in entries(page("policy.md"))


@pytest.mark.parametrize("payload", get_args(Payload), ids=lambda payload: payload.__name__)
def test_every_endpoint_is_described(payload: type) -> None:
    endpoint = payload.__name__[0].lower() + payload.__name__[1:]

    assert f"`{endpoint}`" in page("protocol.md")


def test_no_code_is_explained_that_nobody_gives() -> None:
    assert entries(page("errors.md")).keys() <= {*Code, "MISCONFIGURED", *JobCode}


@pytest.mark.parametrize("title", ["Log lines", "Log lines of a segment"])
def test_no_log_line_is_explained_that_nobody_writes(title: str) -> None:
    explained = entries(section("log-actions.md", title))
    assert explained

    assert not {
        name
        for name in explained
        if not any(name == action or name.startswith(f"{action} ") for action in all_actions())
    }


def test_every_action_of_the_audit_log_is_explained_and_no_other() -> None:
    listed = section("audit.md", "What is recorded")
    explained = set(re.findall(r"`([a-z]+\.[a-zA-Z]+)`", listed))
    made = set().union(*map(audit_actions, MODULES))
    assert {"recording.start", "link.read", "webhook.disable"} <= made

    assert made == explained


def test_log_actions_have_standard_words() -> None:
    private = re.compile(r"([Aa]way|[Bb]roke|[Tt]old|[Ll]ooks|[Gg]ivenUp|[Hh]anded)(?![a-z])")

    of_the_product = {"worker.storageAway"}
    assert {action for action in all_actions() if private.search(action)} == of_the_product


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TOP)))
def test_the_action_of_a_log_line_can_be_found(path: Path) -> None:
    hidden = [
        call.lineno for name, call in log_calls(path) if text_of(call, int(name == "log")) is None
    ]

    assert not hidden or str(path.relative_to(TOP / "sfu_wrapper")) in INDIRECT


def named(path: Path) -> str:
    """Return the path within the clone, for the names of tests."""
    return str(path.relative_to(TOP))


def without_code(path: Path) -> str:
    """Return the text of a page without its blocks of code."""
    return FENCED.sub("", path.read_text(encoding="utf-8"))


@cache
def headings(path: Path) -> list[str]:
    """Return the headings of a page, without code style."""
    return [heading.replace("`", "") for heading in HEADING.findall(without_code(path))]


def anchor(heading: str) -> str:
    """Return the anchor that a heading gets in a browser."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_every_link_leads_somewhere(path: Path) -> None:
    links = [link for link in LINK.findall(without_code(path)) if "://" not in link]
    for link in links:
        name, _, part = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not part or part in {anchor(heading) for heading in headings(target)}, link


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_no_line_is_longer_than_a_screen(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()

    assert not [number for number, line in enumerate(lines, 1) if len(line) > COLUMNS]


def test_every_page_is_of_one_kind_and_in_the_index() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} - {"README.md"}

    assert not [page for page in pages if page.partition("/")[0] not in KINDS]
    assert {link for link in LINK.findall(index) if not link.startswith("..")} == pages


def test_a_page_is_cited_by_its_name_alone() -> None:
    names = [path.name for path in DOCS.rglob("*.md") if path.name != "README.md"]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=named)
def test_a_page_cites_headings_that_exist(path: Path) -> None:
    known = {page.name: headings(page) for page in PAGES}
    text = " ".join(path.read_text(encoding="utf-8").split())
    for page, rest in CITATION.findall(text):
        for heading in re.findall(r'"([^"]+)"', rest):
            assert heading in known[page], f'{page}, "{heading}"'


@pytest.mark.parametrize(
    "path", [page for page in PAGES if page.name not in ("CHANGELOG.md", "glossary.md")], ids=named
)
def test_a_page_is_written_in_plain_technical_english(path: Path) -> None:
    prose = INLINE.sub("", without_code(path))

    assert not UNWANTED.findall(prose)


def test_the_table_of_codecs_is_that_of_the_code() -> None:
    """An input codec that no reader of the page would expect fails here."""
    page = (DOCS / "reference" / "recordings.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(\w+)` \| (.+) \| (.+) \|$", page.partition("### Codecs")[2], re.MULTILINE
    )
    video = [
        (it.name, it.title, " or ".join(map("`{}`".format, it.suffixes)))
        for it in VIDEO_INPUT.values()
    ]
    audio = [(it.name, it.title, f"`{it.suffix}`") for it in AUDIO_INPUT.values()]

    assert rows[: len(video) + len(audio)] == video + audio
