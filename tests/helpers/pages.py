"""Blocks of code on a page of the docs, for tests that run them."""

import re
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def section(page: str, title: str) -> str:
    """Return the text below a heading, up to the next of its level; the first part of a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert found is not None, f"{page} has no heading {title!r}"
    rest = text[found.end() :]
    deepest = max(2, len(found[1]))
    end = re.search(rf"^#{{1,{deepest}}} ", _without_code(rest), re.MULTILINE)
    return rest if end is None else rest[: end.start()]


def blocks(page: str, title: str, language: str = "") -> list[str]:
    """Return the blocks of code below a heading, of one language if given."""
    found = _BLOCK.findall(section(page, title))
    return [text for kind, text in found if not language or kind == language]


def block(page: str, title: str, language: str = "") -> str:
    """Return the only block of code below a heading."""
    (only,) = blocks(page, title, language)
    return only


def _without_code(text: str) -> str:
    """Blank out blocks of code, keeping all positions: comments of a shell look like headings."""
    return _BLOCK.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
