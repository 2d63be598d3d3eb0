"""Rooms as 0.1.0 stored them: one JSON document, taken apart into head and parts of today.

Of its people it kept the order alone; ``entry`` numbers are given here. A stay of somebody who was
still there is not kept: the participant says so. Source: upgrade.md, "From 0.1.0".
"""

import json
from typing import Any, Final

from sfu_wrapper.wire.strict_json import dump

OLD_VERSION: Final = b"1"

_Json = dict[str, Any]


def split(document: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Return the head and the parts.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is no such document.
    """
    room: _Json = json.loads(document)
    segments: list[_Json] = room.pop("segments", [])
    people: list[_Json] = room.pop("participants", [])
    parts: _Json = {f"member/{_user(key)}": key for key in room.pop("members", ())}
    parts |= {name: room.pop(name) for name in ("invited", "farewell") if name in room}
    parts |= _carried(room.pop("carried", []))
    left = _number_entries(people, segments)
    room["entries"] = left + len(people)
    parts |= {f"person/{_user(person['key'])}": person for person in people}
    for segment in segments:
        for entry, stay in enumerate(segment.pop("stays", ()), start=1):
            parts[f"stay/{segment['number']}/{entry}"] = stay | {"entry": entry}
        parts[f"segment/{segment['number']}"] = segment
    return dump(room), {name: dump(part) for name, part in parts.items()}


def _number_entries(people: list[_Json], segments: list[_Json]) -> int:
    """Number those who are there, and of the open segment keep the stays of those who left.

    Returns:
        How many entries belong to those who left.
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


def _user(key: _Json) -> str:
    return f"{key['domain']}/{key['user']}"
