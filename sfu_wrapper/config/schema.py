"""Configuration as JSON Schema, by key: one name space over all four files."""

from sfu_wrapper.config.catalogue import LIFTED, JsonSchema
from sfu_wrapper.config.settings import Settings

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> JsonSchema:
    """Return the JSON Schema of all keys, with defaults and descriptions; for editors and tools."""
    whole = Settings.model_json_schema()
    definitions = dict(whole["$defs"])
    lifted = definitions.pop(whole["properties"][LIFTED]["$ref"].rpartition("/")[2])
    properties = {name: part for name, part in whole["properties"].items() if name != LIFTED}
    return {
        "$schema": _DRAFT,
        "title": "sfu-wrapper",
        "description": "config.json, sfu-wrapper.toml, recording.toml and default.toml together",
        "type": "object",
        "additionalProperties": False,
        "properties": {**properties, **lifted["properties"]},
        "$defs": definitions,
    }
