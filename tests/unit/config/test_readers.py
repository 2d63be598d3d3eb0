"""Every key of the configuration is read by something: none is accepted and then ignored.

Reads are found in the source: ``settings.store.url``, the same through a name that was given a
section (``store = settings.store``) or is annotated with its class (``store: Store``), and what
methods and properties of the sections read, if these are used. Reads in ``config`` do not count:
checking or showing a value is no use of it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from sfu_wrapper.config.settings import Settings
from tests.helpers.source import nodes, tree

PACKAGE = Path(__file__).parents[3] / "sfu_wrapper"
CONFIG = PACKAGE / "config"
OUTSIDE = [path for path in PACKAGE.rglob("*.py") if not path.is_relative_to(CONFIG)]

Read = tuple[str, str]  # section and field; "" for a key of the whole

SECTIONS: dict[str, type[BaseModel]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}
CLASSES = {section.__name__: name for name, section in SECTIONS.items()}
KEYS = [(section, field) for section, model in SECTIONS.items() for field in model.model_fields] + [
    ("", name) for name in Settings.model_fields if name not in SECTIONS
]


def section_of(value: ast.expr) -> str | None:
    """Return the section that an expression such as ``settings.store`` names."""
    return value.attr if isinstance(value, ast.Attribute) and value.attr in SECTIONS else None


def names_in(module: ast.Module) -> dict[str, set[str]]:
    """Return the sections that each name of a module may hold."""
    found: dict[str, set[str]] = {}

    def note(target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for pair in zip(target.elts, value.elts, strict=False):
                note(*pair)
        elif isinstance(target, ast.Name) and (section := section_of(value)):
            found.setdefault(target.id, set()).add(section)

    for node in ast.walk(module):
        match node:
            case ast.Assign(targets=[target], value=value):
                note(target, value)
            case ast.arg(arg=name, annotation=ast.Name(id=kind)) if kind in CLASSES:
                found.setdefault(name, set()).add(CLASSES[kind])
    return found


def reads(module: ast.Module) -> Iterator[Read]:
    """Yield every section and attribute that a module reads."""
    names = names_in(module)
    for node in ast.walk(module):
        if not isinstance(node, ast.Attribute):
            continue
        if section := section_of(node.value):
            yield section, node.attr
        if isinstance(node.value, ast.Name):
            for section in names.get(node.value.id, ()):
                yield section, node.attr
            if node.value.id in ("settings", "self"):
                yield "", node.attr
        elif isinstance(node.value, ast.Attribute) and node.value.attr == "settings":
            yield "", node.attr


def members(name: str, found: set[Read]) -> Iterator[Read]:
    """Yield what the used methods and properties of a section, or of the whole, read."""
    kind = SECTIONS[name].__name__ if name else "Settings"
    for path in CONFIG.glob("*.py"):
        for node in nodes(path):
            if not isinstance(node, ast.ClassDef) or node.name != kind:
                continue
            for member in node.body:
                used = isinstance(member, ast.FunctionDef) and (name, member.name) in found
                for inner in ast.walk(member) if used else ():
                    match inner:
                        case ast.Attribute(value=ast.Name(id="self"), attr=field):
                            yield name, field
                        case ast.Attribute(value=value, attr=field) if section_of(value):
                            yield str(section_of(value)), field


def all_reads() -> set[Read]:
    """Return every read outside of the configuration, directly or through its members."""
    found = {read for path in OUTSIDE for read in reads(tree(path))}
    for name in ("", *SECTIONS):
        found |= set(members(name, found))
    return found


READS = all_reads()


@pytest.mark.parametrize("key", sorted({*KEYS}), ids=lambda key: ".".join(filter(None, key)))
def test_a_key_has_a_reader(key: Read) -> None:
    assert key in READS


def test_a_key_without_a_reader_is_found() -> None:
    source = ast.parse(
        "def start(settings, auth: Auth):\n"
        "    rooms, store = settings.rooms, settings.store\n"
        "    return rooms.record, store.url, auth.secret, other.url, settings.log.level\n"
    )

    found = set(reads(source))
    assert {("rooms", "record"), ("store", "url"), ("auth", "secret"), ("log", "level")} <= found
    assert ("janus", "url") not in found
    assert ("rooms", "max_invited") not in found
