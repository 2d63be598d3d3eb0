"""Base class and value types of the groups of keys. Rules about single keys live elsewhere."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel


class Section(BaseModel):
    """Group of keys: frozen, closed, and strict, so that ``"8765"`` is no port."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        alias_generator=to_camel,
        populate_by_name=True,
    )


def reveal(secret: SecretStr | None) -> str | None:
    """Return the text of a secret; None where it is not set."""
    return None if secret is None else secret.get_secret_value()


def _named(value: object) -> object:
    """Refuse an empty path: it would be the working directory, from a variable left empty."""
    if value == "":
        raise ValueError("must be a path that is not empty")
    return value


FolderPath = Annotated[Path, BeforeValidator(_named)]
Text = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(gt=0)]
Limit = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=0, le=65535)]
Whole = Annotated[int, Field(ge=0)]
