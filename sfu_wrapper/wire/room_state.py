"""Stored form of rooms: a head and named parts, both opaque to the store.

The head holds the single values of a room: a format version and a JSON document. Each participant,
segment and presence is a part of its own, a JSON document, so that the cost of a change does not
grow with the age of the room. ``encode_room`` returns the parts that differ from an earlier state
of the room; the store keeps the other parts.

Names of parts: ``person/DOMAIN/USER`` (is a participant), ``member/DOMAIN/USER`` (was one at some
time), ``carried/USER`` (its streams as reported by the media plane), ``segment/N``,
``stay/N/ENTRY`` (one presence in segment N), ``invited`` and ``farewell`` (lists). ``result/N`` is
the message of the recording service about segment N: stored with the room, no part of its state.

``split`` converts a room as 0.1.0 stored it, one JSON document, into head and parts. 0.1.0 stored
the order of participants only, so ``split`` assigns the ``entry`` numbers. It drops open presences:
the participant implies them. Source: upgrade.md, "From 0.1.0".
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, make_dataclass, replace
from itertools import chain
from typing import Any, Final, get_type_hints

from pydantic import TypeAdapter, ValidationError

from sfu_wrapper.core.people import (
    Participant,
    Participants,
    PlaneTracks,
    PresenceInterval,
    PresenceIntervals,
    Publishing,
)
from sfu_wrapper.core.room import Room, Segment, Segments
from sfu_wrapper.model.errors import Broken
from sfu_wrapper.model.identity import SegmentNo, UserId, UserKey
from sfu_wrapper.model.persistent import PersistentMap, PersistentSet
from sfu_wrapper.wire.strict_json import dump

OLD_VERSION: Final = b"1"

_Json = dict[str, Any]


def split(document: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Return head and parts of a room in the format of 0.1.0.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: the document is not of that format.
    """
    room: _Json = json.loads(document)
    segments: list[_Json] = room.pop("segments", [])
    people: list[_Json] = room.pop("participants", [])
    parts: _Json = {f"member/{_old_user(key)}": key for key in room.pop("members", ())}
    parts |= {name: room.pop(name) for name in ("invited", "farewell") if name in room}
    parts |= _carried(room.pop("carried", []))
    left = _number_entries(people, segments)
    room["entries"] = left + len(people)
    parts |= {f"person/{_old_user(person['key'])}": person for person in people}
    for segment in segments:
        for entry, stay in enumerate(segment.pop("stays", ()), start=1):
            parts[f"stay/{segment['number']}/{entry}"] = stay | {"entry": entry}
        parts[f"segment/{segment['number']}"] = segment
    return dump(room), {name: dump(part) for name, part in parts.items()}


def _number_entries(people: list[_Json], segments: list[_Json]) -> int:
    """Number the participants, and keep the closed presences of the open segment.

    Returns:
        The number of entries of participants who have left.
    """
    still_open = segments[-1] if segments and "outcome" not in segments[-1] else None
    if still_open is None:
        begun: set[str] = set()
        left: list[_Json] = []
    else:
        asked_ms = still_open["asked"]["wall_ms"]
        stays = still_open.get("stays", ())
        left = [stay for stay in stays if "left_ms" in stay]
        present = (stay for stay in stays if "left_ms" not in stay)
        begun = {stay["user"] for stay in present if stay["joined_ms"] == asked_ms}
        still_open["stays"] = left
        still_open["entries"] = len(left) + len(begun)
    people.sort(key=lambda person: person["key"]["user"] not in begun)
    for entry, person in enumerate(people, start=len(left) + 1):
        person["entry"] = entry
    return len(left)


def _carried(tracks: list[_Json]) -> _Json:
    streams: dict[str, list[str]] = {}
    for track in tracks:
        streams.setdefault(track["user"], []).append(track["stream"])
    return {f"carried/{user}": {"user": user, "streams": of} for user, of in streams.items()}


def _old_user(key: _Json) -> str:
    return f"{key['domain']}/{key['user']}"


VERSION: Final = b"2"


@dataclass(frozen=True, slots=True)
class StoredRoom:
    """A room in its stored form.

    Attributes:
        head: format version and the single values of the room.
        parts: by name; None removes the part.
    """

    head: bytes
    parts: Mapping[str, bytes | None] = field(default_factory=dict)

    @property
    def outdated(self) -> bool:
        """True if the room has an older format: the store then rewrites all of it."""
        return self.head.partition(b" ")[0] == OLD_VERSION


class _Codec:
    """JSON form of a dataclass, without defaults and without fields that are parts of their own.

    Args:
        kind: the dataclass.
        apart: fields that are stored as parts of their own.
        renamed: key in the JSON of each field whose name there differs from its name in ``kind``.
    """

    def __init__(self, kind: type, *apart: str, **renamed: str) -> None:
        hints = get_type_hints(kind)
        kept = [each for each in fields(kind) if each.name not in apart]
        self._kind = kind
        self._keys = {each.name: renamed.get(each.name, each.name) for each in kept}
        self._slim: Any = make_dataclass(
            kind.__name__,
            [(self._keys[each.name], hints[each.name], _same(each)) for each in kept],
        )
        self._adapter: TypeAdapter[Any] = TypeAdapter(self._slim)

    def dump(self, value: object) -> bytes:
        """Write a value."""
        slim = self._slim(**{key: getattr(value, name) for name, key in self._keys.items()})
        return self._adapter.dump_json(slim, exclude_defaults=True)

    def load(self, document: bytes, **apart: object) -> Any:  # noqa: ANN401 as ``kind``
        """Read a value; ``apart`` are the fields from other parts. Raises ValidationError."""
        slim = self._adapter.validate_json(document)
        found = {name: getattr(slim, key) for name, key in self._keys.items()}
        return self._kind(**found, **apart)


def _same(declared: "Field[Any]") -> "Field[Any]":
    """Return a field with the same default."""
    made: Field[Any] = field(default=declared.default)  # MISSING: no default
    return made


@dataclass(frozen=True, slots=True)
class _Kind:
    """A map of a room whose values are parts."""

    prefix: str
    field: str
    name: Callable[[Any], str]
    codec: _Codec
    collect: Callable[[Iterable[Any]], PersistentMap[Any, Any]]


def _user(key: UserKey) -> str:
    return f"{key.domain}/{key.user}"


_KINDS: Final = (
    _Kind("person", "participants", lambda it: _user(it.key), _Codec(Participant), Participants),
    _Kind("member", "members", _user, _Codec(UserKey), PersistentSet),
    _Kind("carried", "plane_tracks", lambda it: str(it.user), _Codec(Publishing), PlaneTracks),
)
_INVITED: Final = TypeAdapter(tuple[UserId, ...])
_FINAL_AUDIENCE: Final = TypeAdapter(tuple[UserKey, ...])
_APART: Final = ("segments", "invited", "final_audience", *(kind.field for kind in _KINDS))
_HEAD: Final = _Codec(Room, *_APART)
_RESULT: Final = "result"
_PREFIXES: Final = {
    _RESULT,
    "segment",
    "stay",
    "invited",
    "farewell",
    *(kind.prefix for kind in _KINDS),
}
_SEGMENT: Final = _Codec(Segment, "presences", requested_at="asked", announced="told")
_STAY: Final = _Codec(PresenceInterval)


def member_part(user: UserKey) -> str:
    """Return the name of the part which records that a user was a participant at some time."""
    return f"member/{_user(user)}"


def result_part(segment: SegmentNo) -> str:
    """Return the name of the part with the result of a segment."""
    return f"{_RESULT}/{segment}"


def stored_results(stored: StoredRoom) -> Iterator[bytes]:
    """Yield the messages about the results of the room's segments."""
    for name, document in stored.parts.items():
        if name.startswith(f"{_RESULT}/") and document is not None:
            yield document


def encode_room(room: Room, before: Room | None = None) -> StoredRoom:
    """Return the stored form: the head, and the parts that differ from ``before``."""
    parts = chain(_people(room, before), _lists(room, before), _segments(room, before))
    return StoredRoom(VERSION + b" " + _HEAD.dump(room), dict(parts))


def decode_room(stored: StoredRoom) -> Room:
    """Read a room, given its head and all of its parts.

    Raises:
        Broken: the room has an unknown format, or is damaged.
    """
    version, _, head = stored.head.partition(b" ")
    parts = stored.parts
    if version not in (VERSION, OLD_VERSION):
        message = f"a stored room has format {version[:8]!r}, this version reads {VERSION!r}"
        raise Broken(message)
    try:
        if version == OLD_VERSION:
            head, parts = _split(head)
        return _room(head, parts)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Broken(f"a stored room is damaged at {place}: {first['msg']}") from error


def _split(document: bytes) -> tuple[bytes, Mapping[str, bytes]]:
    try:
        return split(document)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Broken(f"a room stored by 0.1.0 is damaged: {type(error).__name__}") from error


def _people(room: Room, before: Room | None) -> Iterator[tuple[str, bytes | None]]:
    for kind in _KINDS:
        earlier = None if before is None else getattr(before, kind.field)
        for old, new in getattr(room, kind.field).changes(earlier):
            name = f"{kind.prefix}/{kind.name(old if new is None else new)}"
            yield name, None if new is None else kind.codec.dump(new)


def _lists(room: Room, before: Room | None) -> Iterator[tuple[str, bytes | None]]:
    if room.invited is not None and (before is None or room.invited != before.invited):
        yield "invited", _INVITED.dump_json(tuple(room.invited))
    if room.final_audience and (before is None or room.final_audience != before.final_audience):
        yield "farewell", _FINAL_AUDIENCE.dump_json(room.final_audience)


def _segments(room: Room, before: Room | None) -> Iterator[tuple[str, bytes | None]]:
    """Yield changed segments and presences; a new presence alone does not rewrite its segment."""
    changed = room.segments.changes(None if before is None else before.segments)
    kept = (
        _segment(old, new) for old, new in changed if new is not None
    )  # segments are never removed
    return chain.from_iterable(kept)


def _segment(old: Segment | None, new: Segment) -> Iterator[tuple[str, bytes | None]]:
    if old is None or replace(old, presences=new.presences) != new:
        yield f"segment/{new.number}", _SEGMENT.dump(new)
    for left, stay in new.presences.changes(None if old is None else old.presences):
        if stay is not None:
            yield f"stay/{new.number}/{stay.entry}", _STAY.dump(stay)
        else:
            yield f"stay/{new.number}/{left.entry}", None  # type: ignore[union-attr]  # old or new is set


def _room(head: bytes, parts: Mapping[str, bytes | None]) -> Room:
    """Build a room from head and parts. Raises ValidationError, Broken."""
    found: dict[str, dict[str, bytes]] = {}
    for name, document in parts.items():
        prefix, _, rest = name.partition("/")
        if prefix not in _PREFIXES:
            raise Broken(
                f"a stored room has a part {name[:64]!r}, which this version does not know"
            )
        if document is not None:
            found.setdefault(prefix, {})[rest] = document
    people = {
        kind.field: kind.collect(map(kind.codec.load, found.get(kind.prefix, {}).values()))
        for kind in _KINDS
    }
    room: Room = _HEAD.load(
        head,
        segments=Segments(_loaded_segments(found.get("segment", {}), found.get("stay", {}))),
        invited=_loaded_invited(found),
        final_audience=_FINAL_AUDIENCE.validate_json(found["farewell"][""])
        if "farewell" in found
        else (),
        **people,
    )
    return room


def _loaded_invited(found: Mapping[str, Mapping[str, bytes]]) -> PersistentSet[UserId] | None:
    if "invited" not in found:
        return None
    return PersistentSet(_INVITED.validate_json(found["invited"][""]))


def _loaded_segments(
    segments: Mapping[str, bytes], stays: Mapping[str, bytes]
) -> Iterator[Segment]:
    of_segment: dict[str, list[PresenceInterval]] = {}
    for name, document in stays.items():
        of_segment.setdefault(name.partition("/")[0], []).append(_STAY.load(document))
    for number, document in segments.items():
        yield _SEGMENT.load(document, presences=PresenceIntervals(of_segment.get(number, ())))
