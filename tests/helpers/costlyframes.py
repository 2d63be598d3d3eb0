"""Requests that are refused, each made to cost its reader as much as it can; harmless otherwise.

Each is a whole message of at most as many characters as asked for. Shared by the tests that count
work and by ``scripts/bench/frames``, which measures it.
"""

import json
from collections.abc import Callable

Maker = Callable[[int], str]

_ROOM = 200  # characters that an envelope takes


def _whole(endpoint: str, inside: str, request_id: str = "r1") -> str:
    return (
        f'{{"type":"request","payload":{{"endpoint":"{endpoint}","id":"{request_id}",'
        f'"payload":{{{inside}}}}}}}'
    )


def _filled(endpoint: str, before: str, item: str, after: str) -> Maker:
    """As many items as there is room for, with commas between them."""

    def make(size: int) -> str:
        items = ",".join([item] * max((size - _ROOM) // (len(item) + 1), 1))
        return _whole(endpoint, f"{before}{items}{after}")

    return make


def _numbered(endpoint: str, member: str) -> Maker:
    """As many members of different names as there is room for."""

    def make(size: int) -> str:
        count = (size - _ROOM) // (len(member) + 9)
        return _whole(endpoint, ",".join(f'"x{number:05}":{member}' for number in range(count)))

    return make


def _nested(size: int) -> str:
    return _filled("ping", '"x":[', "[" * 50 + "]" * 50, "]")(size)


def _text(endpoint: str, field: str, piece: str) -> Maker:
    def make(size: int) -> str:
        return _whole(endpoint, f'"{field}":"{piece * ((size - _ROOM) // len(piece))}"')

    return make


REFUSED: dict[str, Maker] = {
    "list of numbers for names": _filled("createRoom", '"invited":[', "1", "]"),
    "list of wrong names": _filled("createRoom", '"invited":[', '"!"', "]"),
    "list of objects for names": _filled("inviteToRoom", '"users":[', "{}", "]"),
    "list of lists for names": _filled("inviteToRoom", '"users":[', "[0]", "]"),
    "list of wrong topics": _filled("watch", '"topics":[', '"x"', "]"),
    "list of fractions": _filled("watch", '"topics":[', "0.5", "]"),
    "one key many times": _filled("ping", "", '"a":1', ""),
    "many keys, a field wrong": _numbered("joinRoom", "1"),
    "many keys with colons, a field wrong": _numbered("joinRoom", '":"'),
    "deep nesting many times": _nested,
    "long room": _text("joinRoom", "room", "r"),
    "long room of escapes": _text("joinRoom", "room", '\\"'),
    "long room of colons": _text("joinRoom", "room", ":"),
    "long room, escaped colons": _text("joinRoom", "room", "\\u003a"),
    "long room, not ASCII": _text("joinRoom", "room", "é"),
    "long token": _text("authenticate", "token", "a"),
    "long token of many parts": _text("authenticate", "token", "a."),
    "numbers beyond 64 bits": _filled("watch", '"topics":[', "123456789012345678901", "]"),
    "unknown endpoint, many values": _filled("nothing", '"x":[', "1", "]"),
    "unknown endpoint, long": lambda size: _whole("e" * (size - _ROOM), ""),
    "long id": lambda size: _whole("ping", "", "i" * (size - _ROOM)),
    "half a surrogate pair, many values": _filled("ping", '"y":"\\ud800","x":[', "1", "]"),
    "wrong type of everything": lambda size: _filled(
        "createRoom",
        '"id":1,"uuid":[],"kind":{},"owner":2,"domain":3,"record":4,"origin":5,'
        '"confbridgeId":6,"invited":[',
        "0",
        "]",
    )(size),
    "no request, many values": lambda size: f"[{','.join(['1'] * ((size - _ROOM) // 2))}]",
    "no JSON, many values": lambda size: f"[{'1,' * ((size - _ROOM) // 2)}",
}
MEDIA: dict[str, Maker] = {
    "unknown fields of a media request": _numbered("mute", "1"),
    "unknown fields of a candidate": lambda size: _whole(
        "candidate",
        '"stream":"audio","candidate":{'
        + ",".join(f'"x{number:05}":1' for number in range((size - _ROOM) // 10))
        + "}",
    ),
    "long description": _text("publish", "sdp", "a=x\\r\\n"),
    "description of one line": _text("publish", "sdp", "a"),
    "list for a description": _filled("publish", '"sdp":[', "1", "]"),
    "unknown endpoint, many values": REFUSED["unknown endpoint, many values"],
    "deep nesting many times": _nested,
}


def carried(message: str, socket_id: str = "s") -> str:
    """The message inside of a gateway frame."""
    return json.dumps({"type": "message", "socketId": socket_id, "data": message})
