"""JSON Schemas of models for descriptions of interfaces, in the dialect of browsers and brokers.

Pydantic writes patterns in the syntax of its own engine, and an optional field as "this or null".
A reader of a description needs patterns of ECMA 262, and the fields that are really sent.
"""

from collections.abc import Iterable
from inspect import cleandoc
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from sfu_wrapper.wire.client_models import MAY_BE_NULL

Json = dict[str, Any]

REF: Final = "#/components/schemas/{model}"
_NULL: Final = {"type": "null"}


def described(model: type[BaseModel]) -> str:
    """Return the first paragraph of a model's docstring as one line; empty without one."""
    if "__doc__" not in vars(model) or model.__doc__ is None:
        return ""
    return _plain(cleandoc(model.__doc__))


def schemas_of(
    models: Iterable[type[BaseModel]], *, prefix: str = "", prune: bool = False
) -> dict[str, Json]:
    """Return the schemas of models, and of those that they contain, by name.

    Args:
        models: the models; an underscore before a name is left out.
        prefix: text before each name.
        prune: True where a field that may be None is left out rather than sent as null.
    """
    asked = [(model, "validation") for model in dict.fromkeys(models)]
    _, found = models_json_schema(asked, ref_template=REF)  # type: ignore[arg-type]  # two modes
    return {
        prefix + name.strip("_"): _tidied(schema, prefix, prune=prune)
        for name, schema in found["$defs"].items()
    }


def _tidied(value: Any, prefix: str, *, prune: bool) -> Any:  # noqa: ANN401  # JSON
    """Return a schema with portable patterns, plain descriptions and the names of ``prefix``."""
    if isinstance(value, list):
        return [_tidied(each, prefix, prune=prune) for each in value]
    if not isinstance(value, dict):
        return value
    tidy = {key: _tidied(each, prefix, prune=prune) for key, each in value.items()}
    if isinstance(tidy.get("$ref"), str):
        name = tidy["$ref"].rpartition("/")[2].strip("_")
        tidy["$ref"] = REF.format(model=prefix + name)
    if isinstance(tidy.get("pattern"), str):
        tidy["pattern"] = tidy["pattern"].replace(r"\A", "^").replace(r"\z", "$")
    if isinstance(tidy.get("description"), str):
        tidy["description"] = _plain(tidy["description"])
    if isinstance(tidy.get("title"), str):  # the name once more
        del tidy["title"]
    return _without_null(tidy) if prune else tidy


def _without_null(schema: Json) -> Json:
    """Return the schema of a field that is left out rather than null."""
    if schema.pop(MAY_BE_NULL, False):
        return schema
    choices = schema.get("anyOf")
    never_null = "default" in schema and schema["default"] is None
    if not isinstance(choices, list) or _NULL not in choices or not never_null:
        return schema
    rest = [each for each in choices if each != _NULL]
    kept = {key: each for key, each in schema.items() if key not in ("anyOf", "default")}
    return kept | (rest[0] if len(rest) == 1 else {"anyOf": rest})


def _plain(text: str) -> str:
    """Return the first paragraph of a docstring without its markup."""
    return " ".join(text.partition("\n\n")[0].split()).replace("``", "`")
