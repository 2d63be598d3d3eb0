"""The diagrams of the docs match the code."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from sfu_wrapper.core.lifecycle import CAPTURE_ARROWS

TOP = Path(__file__).parents[2]
ARCHITECTURE = TOP / "docs" / "explanation" / "architecture.md"


@cache
def script() -> ModuleType:
    """Load ``scripts/diagrams``."""
    loader = SourceFileLoader("diagrams", str(TOP / "scripts" / "diagrams"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_every_diagram_is_on_a_page() -> None:
    texts = [page.read_text(encoding="utf-8") for page in script().pages()]

    found = [name for text in texts for _, name, _ in script().BLOCK.findall(text)]
    assert sorted(found) == sorted(script().DIAGRAMS)


def test_the_diagrams_are_fresh() -> None:
    for page in script().pages():
        text = page.read_text(encoding="utf-8")
        assert script().drawn(text) == text, f"{page.name} is stale: run scripts/diagrams"


def test_the_diagram_of_a_capture_shows_each_change_of_its_state() -> None:
    text = script().DIAGRAMS["capture"]()
    shown = re.findall(r"(\w+) --> (\w+): (.*)", text)

    found = {(by, source, target) for source, target, bys in shown for by in bys.split(", ")}
    changes = {arrow for arrow in CAPTURE_ARROWS if arrow[1] is not arrow[2]}
    assert found == {(by, a.name.lower(), b.name.lower()) for by, a, b in changes}


@cache
def functions() -> frozenset[str]:
    """Return ``Class.method`` and ``function`` of everything that we have written."""
    return frozenset(_functions())


def _functions() -> Iterator[str]:
    for path in (TOP / "sfu_wrapper").rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    yield name
                case ast.ClassDef(name=owner, body=body):
                    for inner in body:
                        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                            yield f"{owner}.{inner.name}"


@pytest.mark.parametrize(
    "name",
    re.findall(r"[\w.]+(?=\(\))", ARCHITECTURE.read_text(encoding="utf-8").split("```mermaid")[1]),
)
def test_each_call_in_the_sequence_of_a_toggle_exists(name: str) -> None:
    assert name in functions()
