"""Publisher ids at a real SFU and mixer: from track to id and back.

The id of a user's microphone and camera is ``p-<user>``, that of the screen it shares ``s-<user>``,
each with ``~`` and some letters and digits after it where a client needs several (a second device,
a connection that the SFU has not yet noticed to be dead). User ids never contain ``~``, so the
user can be parsed from the id, and no table has to survive a restart. The id of a user of another
domain is ``p-<domain>=<user>``. Ids of users of the room's own domain fit into a file name with all
that the SFU adds to them; other users take part only in public rooms, which are never recorded.
"""

import re
from dataclasses import dataclass

from sfu_wrapper.core.room import Room, Rules
from sfu_wrapper.model.identity import RoomUuid, UserId
from sfu_wrapper.model.media import Medium, Stream, Track

_PREFIX = {Stream.CAMERA: "p-", Stream.AUDIO: "p-", Stream.SCREEN: "s-"}
_FOREIGN = "="  # in the place of the slash of ``shown_user``, which no file name may hold
_ID = re.compile(
    r"([ps])-((?:[A-Za-z0-9._@+:-]{1,128}=)?[A-Za-z0-9._@+:-]{1,128})(?:~[A-Za-z0-9]{1,8})?"
)


@dataclass(frozen=True, slots=True)
class MediaPlace:
    """Ids with which one participant publishes; a room is None if no real plane has its medium."""

    publisher_id: str
    screen_publisher_id: str
    video_room: RoomUuid | None
    audio_room: RoomUuid | None


def media_place(room: Room, user: UserId, rules: Rules) -> MediaPlace | None:
    """Return the ids for a participant that joins; None: no real plane carries its media."""
    if not rules.authoritative_media:
        return None
    return MediaPlace(
        publisher_id(Track(user, Stream.CAMERA)),
        publisher_id(Track(user, Stream.SCREEN)),
        room.uuid if Medium.VIDEO in rules.authoritative_media else None,
        room.uuid if Medium.AUDIO in rules.authoritative_media else None,
    )


def publisher_id(track: Track) -> str:
    """Return the publisher id of a track."""
    return _PREFIX[track.stream] + track.user.replace("/", _FOREIGN)


def track_of(publisher: str, medium: Medium) -> Track | None:
    """Return the track of a publisher id in this medium; None: the id is not one of ours."""
    match = _ID.fullmatch(publisher)
    if match is None:
        return None
    screen = match[1] == "s"
    user = UserId(match[2].replace(_FOREIGN, "/"))
    if medium is Medium.AUDIO:
        return None if screen else Track(user, Stream.AUDIO)
    return Track(user, Stream.SCREEN if screen else Stream.CAMERA)
