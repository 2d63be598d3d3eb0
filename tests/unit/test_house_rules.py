"""Rules of house_rules.py on every module, and tables that must name all members of an enum."""

import enum
import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

import sfu_wrapper
from tests.unit import house_rules
from tests.unit.house_rules import MODULES, TOP, folder_of, name_of

OURS = [*MODULES, *TOP.glob("scripts/**/*.py"), *TOP.glob("tests/**/*.py")]
FOLDERS = sorted({folder_of(path) for path in MODULES})

Find = Callable[[Path], list[str]]


def in_folder(folder: str, find: Find) -> list[str]:
    """Return what breaks a rule in a folder, without those below it."""
    return [found for path in MODULES if folder_of(path) == folder for found in find(path)]


def held(folder: str, find: Find, still: set[str]) -> None:
    """Fail where a folder breaks a rule, and where it is exempt and no longer needs it."""
    found = in_folder(folder, find)
    if folder in still:
        assert found, f"{folder} needs no exemption any more: remove it from house_rules.py"
    else:
        assert found == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_docstring_opens_with_a_verb_or_names_the_thing(folder: str) -> None:
    held(folder, house_rules.bad_openings, house_rules.STILL_OPENING)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_summary_has_a_listed_word(folder: str) -> None:
    held(folder, house_rules.listed_words, house_rules.STILL_LISTED)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_identifier_has_a_word_that_the_glossary_forbids(folder: str) -> None:
    held(folder, house_rules.forbidden_identifiers, house_rules.STILL_FORBIDDEN)


def test_names_of_others_are_used() -> None:
    used = {name for path in MODULES for name in house_rules.identifiers(path)}

    assert used >= house_rules.OF_OTHERS.keys()
    assert all(house_rules.OF_OTHERS.values())


def test_a_short_module_has_a_reason() -> None:
    short = {name_of(path) for path in MODULES if house_rules.is_short(path)}

    assert short == house_rules.SHORT.keys() | house_rules.STILL_SHORT
    assert not house_rules.SHORT.keys() & house_rules.STILL_SHORT
    assert all(house_rules.SHORT.values())


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(TOP)))
def test_what_is_cited_is_a_heading_of_the_docs(path: Path) -> None:
    assert house_rules.lost_citations(path) == []


@pytest.mark.parametrize(
    ("identifier", "words"),
    [("_tell", "_tell_"), ("SoundFile", "_sound_file_"), ("HTTPServer", "_http_server_")],
)
def test_identifiers_are_taken_apart(identifier: str, words: str) -> None:
    assert house_rules.words_of(identifier) == words


@pytest.mark.parametrize(
    "text",
    ["What a thing is.", "It is lost.", "Whether to stay.", "Tell people.", "How long it takes."],
)
def test_bad_openings_are_known(text: str) -> None:
    assert house_rules.OPENING.match(text)


def test_citations_are_found() -> None:
    found = house_rules.CITATION.findall('see policy.md, "Segments" and "The grant"; http.md.')

    assert found == [("policy.md", '"Segments" and "The grant"'), ("http.md", "")]


def tables() -> Iterator[tuple[str, Mapping[Any, Any], set[Any]]]:
    """Yield each table at the top of a module that has the members of an enum or Literal as keys.

    With its name, and all members.
    """
    for found in pkgutil.walk_packages(sfu_wrapper.__path__, "sfu_wrapper."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        hints = get_type_hints(module)
        for name, table in vars(module).items():
            if not isinstance(table, Mapping) or not table:
                continue
            kinds = {type(key) for key in table}
            key_hint = (get_args(hints.get(name)) or (None,))[0]
            if len(kinds) == 1 and issubclass(kind := kinds.pop(), enum.Enum):
                yield f"{found.name}.{name}", table, set(kind)
            elif get_origin(key_hint) is Literal:
                yield f"{found.name}.{name}", table, set(get_args(key_hint))


TABLES = {name: (table, members) for name, table, members in tables()}


def test_there_are_tables_of_enums_and_of_literals() -> None:
    kinds = {type(key) for table, _ in TABLES.values() for key in table}

    assert str in kinds
    assert any(issubclass(kind, enum.Enum) for kind in kinds)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_names_every_member(name: str) -> None:
    table, members = TABLES[name]

    assert set(table) == members
