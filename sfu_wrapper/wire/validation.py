"""The first thing wrong with validated input, in words that stay short.

Validation stops early where it can: ``at_most`` refuses a long list before its first item is looked
at, and lists are declared with ``fail_fast``. Texts and keys of the input come out of here
cut to a bounded length.
"""

from pydantic import BaseModel, BeforeValidator, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from sfu_wrapper.wire.bounds import MAX_PATH, MAX_PATH_PART


class OneUnknownField(BaseModel):
    """Base of models that forbid unknown fields: each would be an error of its own.

    All but the first unknown field are left out before validation.
    """

    @model_validator(mode="before")
    @classmethod
    def _keep_one_unknown(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        known = {field.alias for field in cls.model_fields.values()}
        unknown = [name for name in given if name not in known]
        return {name: given[name] for name in given if name in known or name == unknown[0]}


def first_error(exc: ValidationError) -> tuple[str, ErrorDetails]:
    """Return the path of the first wrong field, parts joined by dots, and what is wrong with it."""
    first = exc.errors(include_url=False, include_input=False)[0]
    return field_path(first["loc"]), first


def field_path(parts: tuple[int | str, ...]) -> str:
    """Join the parts of a path; parts that come from the input may be long, and are cut."""
    return ".".join(_cut(str(part), MAX_PATH_PART) for part in parts[:MAX_PATH])[:MAX_PATH]


def at_most(limit: int) -> BeforeValidator:
    """Refuse lists and objects of more than ``limit`` items before any item is validated."""

    def check(value: object) -> object:
        if isinstance(value, list | dict) and len(value) > limit:
            raise PydanticCustomError(
                "too_many", "must have at most {limit} items", {"limit": limit}
            )
        return value

    return BeforeValidator(check)


def leaves_at_most(limit: int, *, depth: int) -> BeforeValidator:
    """Refuse nested objects of more than ``limit`` leaves before any leaf is validated.

    Args:
        limit: Leaves of all branches together.
        depth: Levels of lists and objects above a leaf.
    """

    def check(value: object) -> object:
        if count_leaves(value, depth) > limit:
            raise PydanticCustomError(
                "too_many", "must have at most {limit} entries in all", {"limit": limit}
            )
        return value

    return BeforeValidator(check)


def count_leaves(value: object, depth: int) -> int:
    """Count what stands ``depth`` levels down; what is no list or object has nothing below."""
    if not isinstance(value, list | dict):
        return 0
    if depth == 1:
        return len(value)
    inner = value.values() if isinstance(value, dict) else value
    return sum(count_leaves(each, depth - 1) for each in inner)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
