"""The shape of the house (architecture.md): who may import whom, how long things may be."""

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from tests.helpers.source import nodes, tree

ROOT = Path(__file__).parents[2] / "sfu_wrapper"
FLOORS = [
    {"model"},
    {"core", "formats"},
    {"wire", "config", "ports", "observe"},
    {"service", "adapters", "client"},
    {"gateway", "simulate"},
    {"app"},
    {"cli"},
]
FLOOR = {name: level for level, names in enumerate(FLOORS) for name in names}
PURE = {"model", "core", "formats"}
# A module that imports one of these reads a clock, rolls dice, waits, or touches the outside.
IMPURE = {
    "asyncio", "logging", "multiprocessing", "os", "random", "secrets", "shutil", "signal",
    "socket", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "uuid",
}  # fmt: skip
# A path may be passed on as a value; these look at what it names.
TOUCHING = {
    "open", "print", "input", "exists", "glob", "is_dir", "is_file", "iterdir", "mkdir", "resolve",
    "read_bytes", "read_text", "stat", "touch", "unlink", "write_bytes", "write_text",
}  # fmt: skip
MAX_MODULE_LINES = 400
MAX_MODULES = 359
MEDIAN_LINES = range(130, 195)
MAX_FUNCTION_LINES = 40

MODULES = sorted(ROOT.rglob("*.py"))
INSIDE = [path for path in MODULES if path.parent != ROOT]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def imports(path: Path) -> Iterator[str]:
    for node in nodes(path):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from (f"{module}.{alias.name}" for alias in names)


def calls(path: Path) -> set[str]:
    """The last name of everything that is called."""
    functions = [node.func for node in nodes(path) if isinstance(node, ast.Call)]
    return {
        called.attr if isinstance(called, ast.Attribute) else called.id
        for called in functions
        if isinstance(called, (ast.Attribute, ast.Name))
    }


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in nodes(path):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def outside(*parts: str) -> list[Path]:
    """Every module but those of these floors."""
    return [path for path in INSIDE if part_of(path) not in parts]


def test_every_folder_has_its_floor() -> None:
    assert {part_of(path) for path in INSIDE} == set(FLOOR)
    assert {path.name for path in set(MODULES) - set(INSIDE)} <= {"__init__.py"}


@pytest.mark.parametrize("path", INSIDE, ids=name_of)
def test_imports_go_down_or_stay_in_their_folder(path: Path) -> None:
    part = part_of(path)
    targets = {name.split(".")[1] for name in imports(path) if name.startswith("sfu_wrapper.")}

    too_high = {t for t in targets & FLOOR.keys() if t != part and FLOOR[t] >= FLOOR[part]}
    assert not too_high


@pytest.mark.parametrize("path", outside("app", "cli", "adapters"), ids=name_of)
def test_only_the_composition_root_and_commands_build_adapters(path: Path) -> None:
    assert not [name for name in imports(path) if name.startswith("sfu_wrapper.adapters")]


OUTSIDERS = [path for path in INSIDE if part_of(path) in ("client", "simulate")]


@pytest.mark.parametrize("path", OUTSIDERS, ids=name_of)
def test_clients_know_the_wire_and_nothing_of_the_controller(path: Path) -> None:
    targets = {name.split(".")[1] for name in imports(path) if name.startswith("sfu_wrapper.")}

    assert targets <= {part_of(path), "client", "wire", "core", "model"}


@pytest.mark.parametrize("path", [p for p in INSIDE if part_of(p) in PURE], ids=name_of)
def test_the_pure_floors_touch_nothing_outside(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & IMPURE
    assert not calls(path) & TOUCHING


SCENARIO_FILES = ROOT / "simulate" / "scenario.py"  # a border too: files that people write


@pytest.mark.parametrize(
    "path", [p for p in outside("wire", "config") if p != SCENARIO_FILES], ids=name_of
)
def test_pydantic_stays_at_the_border(path: Path) -> None:
    assert not {n for n in imports(path) if n.split(".")[0] in {"pydantic", "pydantic_core"}}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_import_is_relative(path: Path) -> None:
    assert not [node for node in nodes(path) if isinstance(node, ast.ImportFrom) and node.level]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_what_it_is_for_and_stays_short(path: Path) -> None:
    assert ast.get_docstring(tree(path))
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_MODULE_LINES


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_stay_short(path: Path) -> None:
    lengths = {f.name: (f.end_lineno or f.lineno) - f.lineno + 1 for f in functions(path)}

    assert {name for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == set()


def test_modules_are_few_enough_to_be_found_and_short_enough_to_be_read() -> None:
    counted = [path for path in MODULES if path.name != "__init__.py"]
    lengths = [len(path.read_text(encoding="utf-8").splitlines()) for path in counted]

    assert len(counted) <= MAX_MODULES
    assert round(median(lengths)) in MEDIAN_LINES
