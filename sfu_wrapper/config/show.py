"""Effective value and source of every key; secrets masked."""

from collections.abc import Iterator
from dataclasses import dataclass

from sfu_wrapper.config.catalogue import LIFTED, Key, known_keys
from sfu_wrapper.config.load import DEFAULT, Loaded
from sfu_wrapper.config.sources import masked


@dataclass(frozen=True, slots=True)
class Row:
    """Effective value of one key.

    Attributes:
        key: the key.
        value: as in JSON, masked.
        source: a file, ``$VARIABLE``, ``--set`` or ``default``.
    """

    key: Key
    value: object
    source: str


def rows(loaded: Loaded) -> Iterator[Row]:
    """Yield all keys, in the order of the catalogue."""
    tree = loaded.settings.model_dump(mode="json", by_alias=True)
    top = {**tree, **tree[LIFTED]}
    for path, key in known_keys().items():
        value = top[path[0]] if len(path) == 1 else top[path[0]][path[1]]
        yield Row(key, masked(key, value), loaded.sources.get(path, DEFAULT))
