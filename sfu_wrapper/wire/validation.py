"""Limits on all input from outside, and the first error of a validation.

Limits are in one table (protocol.md, "Limits"). Each is checked before its subject costs anything:
a text before it is parsed, a list before its items are validated (``at_most``; lists are declared
with ``fail_fast``). Quotas, which depend on stored data, are elsewhere.

Error messages repeat keys and texts of the input cut to a bounded length.
"""

from typing import Final

from pydantic import BaseModel, BeforeValidator, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from sfu_wrapper.wire.strict_json import Structure

UNAUTHENTICATED_BYTES: Final = 9_216  # of a message before its sender is known
MAX_WHOLE: Final = 2**53 - 1
"""Largest whole number that every reader of JSON understands in the same way (RFC 7493)."""

MAX_ITEMS: Final = 4_096  # of a list in a request
MAX_TOPICS: Final = 16  # of a watch
MAX_DESCRIPTION: Final = 32_768  # characters of a session description of one stream
MAX_ROLES: Final = 64  # that a gateway may name for one client
MAX_TOKEN: Final = 8_192  # characters of a token; longer ones are not decoded
MAX_TOKEN_HEADER: Final = (
    2_048  # characters of its header, which is parsed before the signature is verified
)
MAX_CLAIMED: Final = 256  # roles, or audiences, of one token
MAX_PATH_PART: Final = 64  # characters of a field's name that an error repeats
MAX_PATH: Final = 256  # characters of the whole path


MAX_FILES: Final = 20_000  # of one kind (video, audio) in an event; outputs of a segment
MAX_STAYS: Final = 50_000  # of all participants in an event
MAX_NAME: Final = 256  # characters of an id, a reason or a kind in a broker message
MAX_TEXT: Final = 4_096  # characters of a file name or a sentence in a broker message


MIB: Final = 1024 * 1024

BEFORE_AUTHENTICATION: Final = Structure(commas=256, brackets=64)
REQUEST: Final = Structure(commas=MAX_ITEMS + 256, brackets=256)
EVENT: Final = Structure(commas=1_000_000, brackets=300_000, size=16 * MIB)
OUTCOME: Final = Structure(commas=1_000_000, brackets=300_000, size=8 * MIB)
PROGRESS: Final = Structure(commas=64, brackets=16, size=4_096)


class OneUnknownField(BaseModel):
    """Base of models that forbid unknown fields.

    Drops all but the first unknown field before validation, since each would be an error object.
    """

    @model_validator(mode="before")
    @classmethod
    def _keep_one_unknown(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        known = {field.alias for field in cls.model_fields.values()}
        unknown = [name for name in given if name not in known]
        return {name: given[name] for name in given if name in known or name == unknown[0]}


def _whole(value: object) -> object:
    """Return 60 for 60.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE: Final = BeforeValidator(_whole)
"""Accepts 60.0 as a whole number: in JSON, and for JSON Schema, it is the same number as 60."""


def first_error(exc: ValidationError) -> tuple[str, ErrorDetails]:
    """Return the dotted path of the first wrong field, and its error."""
    first = exc.errors(include_url=False, include_input=False)[0]
    return field_path(first["loc"]), first


def field_path(parts: tuple[int | str, ...]) -> str:
    """Join the parts of a path by dots, each cut to a bounded length."""
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
    """Count the values ``depth`` levels down; only lists and objects have levels below."""
    if not isinstance(value, list | dict):
        return 0
    if depth == 1:
        return len(value)
    inner = value.values() if isinstance(value, dict) else value
    return sum(count_leaves(each, depth - 1) for each in inner)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
