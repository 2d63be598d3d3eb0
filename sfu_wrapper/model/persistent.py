"""Immutable maps; the versions of one map share their common nodes.

A room keeps its participants and its segments in these maps. To put or remove one of n values
costs O(log n), older versions stay valid, and ``changes`` compares two versions without visiting
the nodes that both share. So unchanged values cost nothing, neither in a step of the room nor when
the room is stored.

The structure is a hash trie: a leaf is a small dict, a branch a tuple of ``_WIDTH`` nodes, chosen
by the next bits of the key's hash. A node never changes once it is part of a map.
"""

from collections.abc import Hashable, Iterable, Iterator
from typing import Any, Final, Generic, Self, TypeAlias, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_BITS: Final = 4
_WIDTH: Final = 1 << _BITS
_LEAF_LIMIT: Final = 16  # entries of a leaf before it becomes a branch
_DEPTH_BITS: Final = 60  # hashes that agree so far stay in one leaf

_Node: TypeAlias = "dict[Any, Any] | tuple[_Node, ...]"


class PersistentMap(Generic[K, V]):
    """Values by key, iterated over in the order that ``order`` defines.

    Subclasses define ``key`` and ``order`` of a value, and may define ``marks``.

    Attributes:
        marked: keys of the values for which ``marks`` returns True: an index; its cost grows with
            the number of marked values only.
    """

    __slots__ = ("_count", "_ordered", "_root", "marked")

    def __init__(self, values: Iterable[V] = ()) -> None:
        root: _Node = {}
        count = 0
        marked = set()
        for value in values:
            key = self.key(value)
            count += _find(root, key) is None
            root = _put(root, key, value, 0)
            if self.marks(value):
                marked.add(key)
        self._root = root
        self._count = count
        self._ordered: tuple[V, ...] | None = None
        self.marked: frozenset[K] = frozenset(marked)

    @staticmethod
    def key(value: V) -> K:
        """Return the key of a value."""
        raise NotImplementedError

    @staticmethod
    def order(value: V) -> Any:  # noqa: ANN401 any sortable type
        """Return the rank of a value among the others; never changes for its key."""
        raise NotImplementedError

    @staticmethod
    def marks(value: V) -> bool:
        """Return True if the value's key belongs to ``marked``."""
        return False

    def get(self, key: K) -> V | None:
        """Return the value of that key, or None."""
        found: V | None = _find(self._root, key)
        return found

    def put(self, value: V) -> Self:
        """Return a version with this value, in place of the one of its key."""
        key = self.key(value)
        count = self._count + (key not in self)
        marked = self.marked
        if self.marks(value) is not (key in marked):
            marked = marked ^ {key}
        return self._version(_put(self._root, key, value, 0), count, marked)

    def without(self, key: K) -> Self:
        """Return a version without that key."""
        if key not in self:
            return self
        return self._version(_without(self._root, key, 0), self._count - 1, self.marked - {key})

    def changes(self, before: Self | None) -> list[tuple[V | None, V | None]]:
        """Return (old, new) of each key with different values; None where the key is absent."""
        root = before._root if before is not None else {}
        changed: list[tuple[V | None, V | None]] = list(_differences(root, self._root))
        changed.sort(key=lambda pair: self.order(pair[0] if pair[1] is None else pair[1]))  # type: ignore[arg-type]  # never both None
        return changed

    def marked_values(self) -> list[V]:
        """Return the values for which ``marks`` holds, in order."""
        found = [value for key in self.marked if (value := self.get(key)) is not None]
        return sorted(found, key=self.order)

    def __contains__(self, key: object) -> bool:
        return _find(self._root, key) is not None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[V]:
        return iter(self._in_order())

    def __getitem__(self, position: int) -> V:
        return self._in_order()[position]

    def __eq__(self, other: object) -> bool:
        """Compare keys and values; a tuple of the same values in order is equal too."""
        if isinstance(other, PersistentMap):
            return self._count == other._count and not any(_differences(other._root, self._root))
        return self._in_order() == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._in_order())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"

    def _in_order(self) -> tuple[V, ...]:
        """Return the values in order, sorted once a version."""
        if self._ordered is None:
            self._ordered = tuple(
                sorted((value for _, value in _entries(self._root)), key=self.order)
            )
        return self._ordered

    def _version(self, root: _Node, count: int, marked: frozenset[K]) -> Self:
        made = object.__new__(type(self))
        made._root = root
        made._count = count
        made._ordered = None
        made.marked = marked
        return made


class PersistentSet(PersistentMap[K, K]):
    """Values that are their own keys and have an order of their own."""

    __slots__ = ()

    @staticmethod
    def key(value: K) -> K:
        """Return the value."""
        return value

    order = key


def _digit(key: object, shift: int) -> int:
    return hash(key) >> shift & _WIDTH - 1


def _find(node: _Node, key: object) -> Any:  # noqa: ANN401 the type of a map's values
    shift = 0
    while isinstance(node, tuple):
        node = node[_digit(key, shift)]
        shift += _BITS
    return node.get(key)


def _put(node: _Node, key: object, value: object, shift: int) -> _Node:
    if isinstance(node, tuple):
        digit = _digit(key, shift)
        child = _put(node[digit], key, value, shift + _BITS)
        return (*node[:digit], child, *node[digit + 1 :])
    grown = {**node, key: value}
    if len(grown) <= _LEAF_LIMIT or shift >= _DEPTH_BITS:
        return grown
    children: list[dict[object, object]] = [{} for _ in range(_WIDTH)]
    for each, kept in grown.items():
        children[_digit(each, shift)][each] = kept
    return tuple(children)


def _without(node: _Node, key: object, shift: int) -> _Node:
    if isinstance(node, tuple):
        digit = _digit(key, shift)
        child = _without(node[digit], key, shift + _BITS)
        return (*node[:digit], child, *node[digit + 1 :])
    return {each: value for each, value in node.items() if each != key}


def _differences(before: _Node, after: _Node) -> Iterator[tuple[Any, Any]]:
    """Yield (old, new) where they differ, without visiting shared nodes."""
    if before is after:
        return
    if isinstance(before, tuple) and isinstance(after, tuple):
        for old, new in zip(before, after, strict=True):
            yield from _differences(old, new)
        return
    was, now = dict(_entries(before)), dict(_entries(after))
    for key in {**was, **now}:
        value_before, value_after = was.get(key), now.get(key)
        if value_before is not value_after and value_before != value_after:
            yield value_before, value_after


def _entries(node: _Node) -> Iterator[tuple[Any, Any]]:
    if isinstance(node, tuple):
        for child in node:
            yield from _entries(child)
    else:
        yield from node.items()
