"""The pages on security match the code: every limit, every attack, the way to report."""

import re
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path

import pytest

from scripts.attacks.catalogue import ATTACKS
from sfu_wrapper.config.catalogue import known_keys
from sfu_wrapper.gateway.settings import GatewaySettings, HttpSettings

TOP = Path(__file__).parents[2]
SECURITY = (TOP / "docs" / "explanation" / "security.md").read_text(encoding="utf-8")
THREATS = (TOP / "docs" / "explanation" / "attacks.md").read_text(encoding="utf-8")
LIMITS = (TOP / "docs" / "reference" / "limits.md").read_text(encoding="utf-8")
KEYS = {key.name: key.default for key in known_keys().values()}
# Sections whose numbers are limits on what others may do, and numbers in them that are none.
LIMITING = {"websocket", "http", "rooms", "quotas", "limits", "retention"}
NO_LIMITS = {"websocket.port", "http.port"}
# Fields of settings that are no limits, or that stand in the table by their key.
PLAIN_FIELDS = {"port", "ping_interval_s", "stop_s", "discard_bytes"}


def limits() -> dict[str, str]:
    """Return what each key or constant of the table is said to be."""
    rows = re.findall(r"^\| .+ \| (.+) \| \(?`(.+?)`\)? \|$", LIMITS, re.MULTILINE)
    return {name: said for said, name in rows}


def number_in_code(name: str) -> object:
    """Return the default of a key, or the value of a constant or field."""
    if name in KEYS:
        return KEYS[name]
    module, _, path = name.partition(":")
    value: object = import_module(f"sfu_wrapper.{module}")
    for part in path.split("."):
        if is_dataclass(value):
            return next(field.default for field in fields(value) if field.name == part)
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("name", limits())
def test_a_limit_is_as_the_page_says(name: str) -> None:
    number = number_in_code(name)
    assert isinstance(number, int | float)

    assert limits()[name] == f"{number:g}" if isinstance(number, float) else str(number)


def test_every_number_of_the_limiting_sections_is_in_the_table() -> None:
    numbers = {
        key.name
        for key in known_keys().values()
        if key.path[0] in LIMITING and key.schema.get("type") in ("integer", "number")
    }
    assert "websocket.maxMessageBytes" in numbers

    assert numbers - NO_LIMITS - set(limits()) == set()


@pytest.mark.parametrize(
    ("settings", "module"),
    [(GatewaySettings, "gateway.settings"), (HttpSettings, "gateway.settings")],
)
def test_every_bound_of_a_listener_is_in_the_table(settings: type, module: str) -> None:
    assert is_dataclass(settings)
    by_key = {simple(name.partition(".")[2]) for name in limits() if name in KEYS}
    missing = {
        field.name
        for field in fields(settings)
        if isinstance(field.default, int | float)
        and field.name not in PLAIN_FIELDS
        and simple(field.name) not in by_key
        and f"{module}:{settings.__name__}.{field.name}" not in limits()
    }

    assert missing == set()


def simple(name: str) -> str:
    """Return a name as it is, whether written for files or for Python."""
    return (
        re.sub(r"_s$", "", name)
        .replace("_", "")
        .lower()
        .removesuffix("seconds")
        .removesuffix("timeout")
    )


def test_every_attack_tries_a_threat_of_the_page_and_each_threat_is_tried() -> None:
    threats = set(re.findall(r"^\* \*\*(S\d+)\*\*", THREATS, re.MULTILINE))

    assert {attack.threat for attack in ATTACKS} == threats


def test_readers_find_the_way_to_report() -> None:
    policy = (TOP / "SECURITY.md").read_text(encoding="utf-8")
    readme = (TOP / "README.md").read_text(encoding="utf-8")

    assert "(docs/explanation/security.md)" in policy
    assert "(../../SECURITY.md)" in SECURITY
    assert "(docs/explanation/security.md)" in readme
    assert "(SECURITY.md)" in readme
