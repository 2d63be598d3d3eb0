"""Rules of the house, and what breaks them: language of docstrings, names, sizes, citations.

``test_house_rules.py`` holds them. ``python -m tests.unit.house_rules`` prints what is exempt now.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.helpers.source import nodes

TOP = Path(__file__).parents[2]
PACKAGE = TOP / "sfu_wrapper"
MODULES = sorted(PACKAGE.rglob("*.py"))
DOCS = [TOP / "README.md", TOP / "CONTRIBUTING.md", TOP / "SECURITY.md", *TOP.glob("docs/**/*.md")]
GLOSSARY = TOP / "docs" / "reference" / "glossary.md"
FORBIDDEN_HEADING = "## Words that no identifier has"
SHORTEST_LINES = 40

# Openings that need the name to be read first, or that describe instead of naming the thing.
WH_WORDS = (
    "What", "Whether", "Who", "Whose", "Whom", "Whoever", "Whatever", "How", "When", "Where",
    "Which", "Why", "Unless", "If", "As",
)  # fmt: skip
PRONOUNS = (
    "It", "They", "He", "She", "This", "That", "These", "Those", "Nobody", "Somebody", "Everybody",
    "Anybody", "One", "There", "Some", "All",
)  # fmt: skip
# Verbs for which the trade has its own: send, request, handle, emit, report.
VERBS = (
    "Tell", "Tells", "Told", "Say", "Says", "Said", "Hear", "Hears", "Heard", "Ask", "Asks",
    "Asked", "Look", "Mend", "Stir", "Let",
)  # fmt: skip
OPENING = re.compile(rf"({'|'.join((*WH_WORDS, *PRONOUNS, *VERBS))})\b")
# Words that no summary has, wherever they stand.
LISTED = re.compile(
    r"\b(whoever|whatever|anew|beside|seldom|amiss|mend|mends|mended|believed|has not the|comes to"
    r"|in vain|once more|put right|picture|pictures|film)\b",
    re.IGNORECASE,
)

# Modules below 40 lines, with the reason why they are on their own; __init__.py is left out.
SHORT = {
    "adapters/os/clock.py": "adapter of ports/system, used by everything that is composed",
    "cli/__main__.py": "python -m sfu_wrapper.cli needs it",
}

# Folders whose language is still being worked on, by rule. An entry that is no longer needed fails.
STILL_OPENING: set[str] = set()
STILL_LISTED: set[str] = set()
STILL_FORBIDDEN: set[str] = set()
STILL_SHORT: set[str] = set()

# Identifiers that others gave us, although the glossary has another word.
OF_OTHERS: dict[str, str] = {
    "PICTURE_TOO_LARGE": "code in failure_queue",
    "picture_id": "RFC 7741 and RFC 9628: PictureID",
    "_picture_id": "RFC 7741 and RFC 9628: PictureID",
    "_PICTURE_ID": "RFC 9628: PictureID",
    "_LONG_PICTURE_ID": "RFC 7741 and RFC 9628: PictureID",
    "_HAS_PICTURE_ID": "RFC 7741: PictureID",
    "_skip_picture_order": "H.264: picture order count",
}


def name_of(path: Path) -> str:
    """Return the path of a module below the package."""
    return str(path.relative_to(PACKAGE))


def folder_of(path: Path) -> str:
    """Return the folder of a module, by which the lists above name it."""
    return str(path.parent.relative_to(PACKAGE))


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring."""
    for node in nodes(path):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


def summary(text: str) -> str:
    """Return the first paragraph of a docstring on one line."""
    return " ".join(text.partition("\n\n")[0].split())


def bad_openings(path: Path) -> list[str]:
    """Return the summaries that open with a wh-word, a pronoun or a listed verb."""
    return [
        f"{path.relative_to(TOP)}:{line}: {summary(text)}"
        for line, text in docstrings(path)
        if OPENING.match(summary(text))
    ]


def listed_words(path: Path) -> list[str]:
    """Return the summaries that have a listed word."""
    return [
        f"{path.relative_to(TOP)}:{line}: {summary(text)}"
        for line, text in docstrings(path)
        if LISTED.search(summary(text))
    ]


def identifiers(path: Path) -> set[str]:
    """Return every name that a module gives: of classes, functions, arguments, variables."""
    found: set[str] = set()
    for node in nodes(path):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                found.add(name)
            case ast.AsyncFunctionDef(name=name) | ast.arg(arg=name):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                found.add(name)
    return found


def words_of(identifier: str) -> str:
    """Return an identifier as lower-case words with underscores around each: _priority_queue_."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", identifier)
    return f"_{apart.strip('_').lower()}_"


@cache
def forbidden() -> tuple[str, ...]:
    """Return the words of the glossary that no identifier has."""
    section = GLOSSARY.read_text(encoding="utf-8").partition(FORBIDDEN_HEADING)[2]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return tuple(word for row in rows for word in re.findall(r"`(\w+)`", row))


def forbidden_identifiers(path: Path) -> list[str]:
    """Return the names of a module that have a forbidden word."""
    return sorted(
        f"{name_of(path)}: {name}"
        for name in identifiers(path) - OF_OTHERS.keys()
        if any(f"_{word}_" in words_of(name) for word in forbidden())
    )


def is_short(path: Path) -> bool:
    """Return True if a module has fewer lines than one should."""
    lines = len(path.read_text(encoding="utf-8").splitlines())
    return path.name != "__init__.py" and lines < SHORTEST_LINES


CITATION = re.compile(r'\b([\w-]+\.md)\b(?:[,;]? \(?((?:"[^"]+"(?:,? (?:and )?)?)+))?')


def prose(path: Path) -> Iterator[str]:
    """Yield docstrings and comments of a module, each on one line."""
    for _, text in docstrings(path):
        yield " ".join(text.split())
    comments: list[str] = []
    before = 0
    source = io.StringIO(path.read_text(encoding="utf-8"))
    for token in tokenize.generate_tokens(source.readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] > before + 1 and comments:
                yield " ".join(comments)
                comments = []
            comments.append(token.string.lstrip("# "))
            before = token.start[0]
    if comments:
        yield " ".join(comments)


@cache
def headings() -> dict[str, set[str]]:
    """Return the headings of each page, without marks; also without what follows a colon."""
    found: dict[str, set[str]] = {}
    for page in DOCS:
        lines = page.read_text(encoding="utf-8").splitlines()
        whole = {
            line.lstrip("#").strip().replace("`", "") for line in lines if line.startswith("#")
        }
        found[page.name] = whole | {heading.partition(":")[0] for heading in whole}
    return found


def lost_citations(path: Path) -> list[str]:
    """Return what a module cites and no page has."""
    lost: list[str] = []
    if ".md" not in path.read_text(encoding="utf-8"):
        return lost  # to find its comments would take most of the time of all rules
    for text in prose(path):
        for page, quoted in CITATION.findall(text):
            wanted = re.findall(r'"([^"]+)"', quoted)
            known = headings().get(page)
            if known is None:
                lost.append(f"{path.relative_to(TOP)}: {page}")
            else:
                lost += [
                    f'{path.relative_to(TOP)}: {page}, "{heading}"'
                    for heading in wanted
                    if heading not in known
                ]
    return lost


def main() -> None:
    """Print what the exempt folders still have."""
    for path in MODULES:
        for found in (bad_openings(path), listed_words(path), forbidden_identifiers(path)):
            if found:
                print(*found, sep="\n")


if __name__ == "__main__":
    main()
