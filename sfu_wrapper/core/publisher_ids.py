"""Under which ids participants publish at a real SFU and mixer, and whose an id is.

The id of a user's microphone and camera is ``p-<user>``, that of the screen it shares ``s-<user>``,
each with ``~`` and some letters and digits after it where a client needs several (a second device,
a connection that the SFU has not yet noticed to be dead). ``~`` is in no user's id, so an id can be
read back by anybody who knows this rule: no table has to survive a restart. A user of another
domain than the room's is ``p-<domain>=<user>``. Ids of users of the room's own domain fit into a
file name with all that the SFU writes around them; others take part in public rooms alone, which
are never recorded.
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
    """Where one participant publishes. A room is None where no real plane carries its medium."""

    publisher_id: str
    screen_publisher_id: str
    video_room: RoomUuid | None
    audio_room: RoomUuid | None


def media_place(room: Room, user: UserId, rules: Rules) -> MediaPlace | None:
    """What a participant is told when it joins; None where nothing real carries its media."""
    if not rules.authoritative_media:
        return None
    return MediaPlace(
        publisher_id(Track(user, Stream.CAMERA)),
        publisher_id(Track(user, Stream.SCREEN)),
        room.uuid if Medium.VIDEO in rules.authoritative_media else None,
        room.uuid if Medium.AUDIO in rules.authoritative_media else None,
    )


def publisher_id(track: Track) -> str:
    """The id under which a track is published."""
    return _PREFIX[track.stream] + track.user.replace("/", _FOREIGN)


def track_of(publisher: str, medium: Medium) -> Track | None:
    """Whose track it is that an id publishes in this medium; None: it is none of ours."""
    match = _ID.fullmatch(publisher)
    if match is None:
        return None
    screen = match[1] == "s"
    user = UserId(match[2].replace(_FOREIGN, "/"))
    if medium is Medium.AUDIO:
        return None if screen else Track(user, Stream.AUDIO)
    return Track(user, Stream.SCREEN if screen else Stream.CAMERA)
