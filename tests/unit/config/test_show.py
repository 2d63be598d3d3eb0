"""The configuration as people, editors and configuration.md see it."""

import json
from pathlib import Path

import pytest

from sfu_wrapper.config.catalogue import Key, allowed, known_keys
from sfu_wrapper.config.load import read, rows, schema

DOCS = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"


def test_every_key_is_shown_with_its_source(tmp_path: Path) -> None:
    (tmp_path / "recording.toml").write_text("quality = 'high'")

    shown = {row.key.name: row for row in rows(read(tmp_path, {}))}
    assert shown.keys() == {key.name for key in known_keys().values()}
    assert (shown["quality"].value, shown["quality"].source) == (
        "high",
        f"{tmp_path}/recording.toml",
    )
    assert (shown["websocket.port"].value, shown["websocket.port"].source) == (8765, "default")


def test_secrets_are_masked_wherever_they_hide(tmp_path: Path) -> None:
    overrides = [
        "auth.secret=hush",
        "rabbitmq.address=amqp://guest:hush@broker/vhost",
        "store.url=postgresql://wrapper:hush@db/sfu",
    ]

    loaded = read(tmp_path, {}, overrides)
    shown = {row.key.name: row.value for row in rows(loaded)}
    assert shown["auth.secret"] == "********"
    assert shown["rabbitmq.address"] == "amqp://guest:********@broker/vhost"
    assert shown["store.url"] == "postgresql://wrapper:********@db/sfu"
    assert "hush" not in repr(loaded.settings.auth)


def test_a_secret_that_is_not_set_is_shown_as_such(tmp_path: Path) -> None:
    shown = {row.key.name: row.value for row in rows(read(tmp_path, {}))}

    assert shown["auth.secret"] is None


def test_the_schema_has_every_key_at_its_place() -> None:
    described = schema()

    for path in known_keys():
        inner = described["properties"][path[0]]
        if len(path) == 2:
            inner = described["$defs"][inner["$ref"].rpartition("/")[2]]["properties"][path[1]]
        assert inner["description"]


def test_each_key_has_a_variable_of_its_own() -> None:
    variables = [key.variable for key in known_keys().values()]

    assert len(set(variables)) == len(variables)
    assert "SFU_WRAPPER__TRUNK__RECORD_INCOMING_PSTN" in variables


@pytest.mark.parametrize("key", known_keys().values(), ids=lambda key: key.name)
def test_the_documentation_has_every_key_as_it_is(key: Key) -> None:
    default = "none" if key.default is None else f"`{json.dumps(key.default)}`"
    entry = f"* `{key.name}` = {default}: {key.description}. Allowed: {allowed(key)}."

    page = " ".join(DOCS.read_text(encoding="utf-8").split())
    assert f" {entry} " in page
