"""Participants and life of a room: join, publish, leave, establishment, end.

Source: policy.md, "The life of a room"; protocol.md, "Endpoints"; errors.md.
"""

from dataclasses import replace

from sfu_wrapper.core.access import require_may_join, require_member, require_owner
from sfu_wrapper.core.effects import (
    Ended,
    Hangup,
    Invited,
    Joined,
    Left,
    MediaUpdated,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantMedia,
    Refusal,
    RoomEnded,
    RoomEstablished,
)
from sfu_wrapper.core.events import (
    EndRequested,
    InviteRequested,
    JoinRequested,
    LeaveRequested,
    MediaRequested,
)
from sfu_wrapper.core.intent import PendingKind, RecordingIntent
from sfu_wrapper.core.lifecycle import Life, Phase, advance
from sfu_wrapper.core.media_plane import (
    CloseMediaRoom,
    OpenMediaRoom,
    PublishTrack,
    TracksCarried,
    UnpublishTrack,
)
from sfu_wrapper.core.people import Participant, Participants, Publishing
from sfu_wrapper.core.policy import decide
from sfu_wrapper.core.publisher_ids import media_place
from sfu_wrapper.core.quotas import require_invited, require_participants
from sfu_wrapper.core.segment_report import presence_in
from sfu_wrapper.core.segments import start_wanted, stop
from sfu_wrapper.core.transition import Transition
from sfu_wrapper.model.errors import Code
from sfu_wrapper.model.identity import (
    EndReason,
    Kind,
    OwnerPermissions,
    StopReason,
    UserId,
    UserKey,
    shown_user,
)
from sfu_wrapper.model.media import Media, Stream, Track
from sfu_wrapper.model.persistent import PersistentSet


def join(turn: Transition, event: JoinRequested) -> None:
    """Add a participant; for a user that is present already, handle it as a reconnection."""
    require_may_join(turn.room, event.by, event.user)
    present = turn.room.participants.get(event.user)
    if present is None:
        count = len(turn.room.participants) + 1
        require_participants(turn.rules.quotas, count, turn.room.id)
        by_service = event.by.key != event.user
        media = _counted(turn, event.user, event.media or Media())
        _enter(turn, event.user, media, by_service=by_service)
    else:
        if event.by.key == event.user:  # the service brings no connection of the user
            _put(turn, replace(present, gone_by_ms=None))
        set_media(turn, event.user, _counted(turn, event.user, event.media or present.media))
    _establish_if_due(turn, event.permissions)
    place = media_place(turn.room, _shown(turn, event.user), turn.rules)
    turn.reply(event.ref, Joined(turn.room, event.permissions, place))


def update_media(turn: Transition, event: MediaRequested) -> None:
    """Set the media that a participant publishes."""
    require_member(turn.room, event.by, event.user)
    media = _counted(turn, event.user, event.media)
    set_media(turn, event.user, media)
    turn.reply(event.ref, MediaUpdated(turn.room.id, media))


def apply_plane_tracks(turn: Transition, fact: TracksCarried) -> None:
    """Store the tracks that the media plane reports; they overrule what clients claim."""
    reported: dict[UserId, list[Stream]] = {}
    for track in fact.tracks:
        reported.setdefault(track.user, []).append(track.stream)
    tracks = turn.room.plane_tracks
    for known in tracks:
        others = [each for each in known.streams if each.medium is not fact.medium]
        streams = (*others, *reported.pop(known.user, ()))
        if not streams:
            tracks = tracks.without(known.user)
        elif streams != known.streams:
            tracks = tracks.put(Publishing(known.user, streams))
    for user, new in reported.items():
        tracks = tracks.put(Publishing(user, tuple(new)))
    turn.room = replace(turn.room, plane_tracks=tracks)
    for participant in turn.room.participants:
        set_media(turn, participant.key, _counted(turn, participant.key, participant.media))


def invite(turn: Transition, event: InviteRequested) -> None:
    """Extend the list of invited users; a room without a list presences open to its domain."""
    require_owner(turn.room, event.by, "invite others")
    invited = turn.room.invited or PersistentSet()
    for user in event.users:
        invited = invited.put(user)
    require_invited(turn.rules.quotas, len(invited))
    if turn.room.invited is not None:
        turn.room = replace(turn.room, invited=invited)
    turn.reply(event.ref, Invited(turn.room.id, tuple(invited)))


def leave(turn: Transition, event: LeaveRequested) -> None:
    """Remove a participant on request."""
    require_member(turn.room, event.by, event.user)
    depart(turn, event.user)
    turn.reply(event.ref, Left(turn.room.id))


def end_by_request(turn: Transition, event: EndRequested) -> None:
    """End the room by request of the owner or the service."""
    require_owner(turn.room, event.by, "end this room")
    end(turn, EndReason.ENDED)
    turn.reply(event.ref, Ended(turn.room))


def set_media(turn: Transition, user: UserKey, media: Media) -> None:
    """Store the media of ``user``; send the changes to the media plane and the audience."""
    participant = turn.room.participants.get(user)
    if participant is None or participant.media == media:
        return
    _put(turn, replace(participant, media=media))
    before, after = participant.media.streams(), media.streams()
    for stream in before:
        if stream not in after:
            _request_plane(turn, UnpublishTrack(turn.room.uuid, Track(_shown(turn, user), stream)))
    for stream in after:
        if stream not in before:
            _request_plane(turn, PublishTrack(turn.room.uuid, Track(_shown(turn, user), stream)))
    turn.notify(ParticipantMedia(turn.room.id, _shown(turn, user), media))


def depart(turn: Transition, user: UserKey) -> None:
    """Remove a participant, and end the room where policy.md requires it."""
    room = turn.room
    participant = room.participants.get(user)
    if participant is None:
        return
    turn.notify(ParticipantLeft(room.id, _shown(turn, user)))
    turn.room = replace(room, participants=room.participants.without(user))
    _store_presences(turn, participant)
    for stream in participant.media.streams():
        _request_plane(turn, UnpublishTrack(room.uuid, Track(_shown(turn, user), stream)))
    reason = _reason_to_end(turn, user)
    if reason is not None:
        end(turn, reason)


def end(turn: Transition, reason: EndReason) -> None:
    """End the room for all participants at once; its segment may be closed later."""
    room = turn.room
    for participant in room.participants if reason is EndReason.HANGUP else ():
        turn.notify(Hangup(room.id, _shown(turn, participant.key)), only=participant.key)
    note = RoomEnded(room.id, room.uuid, turn.at.wall_ms, reason)
    turn.notify(note)
    turn.announce(note)
    _store_presences(turn, *room.participants)
    turn.room = replace(
        turn.room,
        life=advance(room.life, "end"),
        participants=Participants(),
        final_audience=tuple(participant.key for participant in room.participants),
        wanted=None,
        open_by_ms=None,
        ended_ms=turn.at.wall_ms,
        end_reason=reason,
    )
    refuse_starts(turn, Code.ROOM_ENDED, "the room has ended")
    if room.capture in (Phase.STARTING, Phase.RECORDING):
        stop(turn, StopReason.CALL_ENDED)
    elif room.capture is Phase.IDLE and room.opened:  # else ``segments`` closes it after the stop
        turn.request(CloseMediaRoom(room.uuid))


def refuse_starts(turn: Transition, code: Code, detail: str) -> None:
    """Refuse the pending starts; pending stops stay."""
    for waiting in turn.room.waiting:
        if waiting.want is PendingKind.START:
            turn.reply(waiting.ref, Refusal(code, detail, (("room", turn.room.id),)))
    kept = tuple(waiting for waiting in turn.room.waiting if waiting.want is not PendingKind.START)
    turn.room = replace(turn.room, waiting=kept)


def _shown(turn: Transition, user: UserKey) -> UserId:
    return shown_user(user, turn.room.domain)


def _enter(turn: Transition, key: UserKey, media: Media, *, by_service: bool) -> None:
    room = turn.room
    if not room.opened:
        turn.request(OpenMediaRoom(room.uuid, room.confbridge_id))
    entry = room.entries + 1
    participant = Participant(key, entry, turn.at.wall_ms, media, by_service)
    turn.room = replace(
        room,
        entries=entry,
        participants=room.participants.put(participant),
        members=room.members if key in room.members else room.members.put(key),
    )
    for stream in participant.media.streams():
        _request_plane(turn, PublishTrack(room.uuid, Track(_shown(turn, key), stream)))
    turn.notify(ParticipantJoined(room.id, _shown(turn, key), participant.media))


def _counted(turn: Transition, user: UserKey, claimed: Media) -> Media:
    """Return the media that counts: as the plane reports it, or else as the client claims it."""
    known = turn.room.plane_tracks.get(_shown(turn, user))
    reported = known.streams if known is not None else ()
    streams = (
        *(each for each in claimed.streams() if each.medium not in turn.rules.authoritative_media),
        *(each for each in reported if each.medium in turn.rules.authoritative_media),
    )
    return Media(
        audio=Stream.AUDIO in streams,
        video=Stream.CAMERA in streams,
        screen=Stream.SCREEN in streams,
    )


def _request_plane(turn: Transition, request: PublishTrack | UnpublishTrack) -> None:
    """Send the request, unless the plane detects the tracks of this medium itself."""
    if request.track.stream.medium not in turn.rules.authoritative_media:
        turn.request(request)


def _put(turn: Transition, participant: Participant) -> None:
    turn.room = replace(turn.room, participants=turn.room.participants.put(participant))


def _store_presences(turn: Transition, *left: Participant) -> None:
    """Store in the open segment the presence of participants that leave now."""
    segment = turn.room.open_segment
    if segment is None:
        return
    presences = segment.presences
    for participant in left:
        presences = presences.put(presence_in(turn.room, segment, participant, turn.at.wall_ms))
    turn.put_segment(replace(segment, presences=presences))


def _establish_if_due(turn: Transition, permissions: OwnerPermissions) -> None:
    """Establish a meeting at the first join, a direct call once owner and callee are present."""
    room = turn.room
    if room.life is not Life.WAITING:
        return
    if room.kind is Kind.DIRECT and (
        len(room.participants) < 2 or room.participants.get(room.owner_key) is None
    ):
        return
    decision = decide(room.kind, room.origin, room.flag, permissions, turn.rules.policy)
    turn.room = replace(
        room,
        life=advance(room.life, "establish"),
        established_ms=turn.at.wall_ms,
        decision=decision,
        open_by_ms=None,
    )
    turn.notify(RoomEstablished(room.id, turn.at.wall_ms))
    if decision.automatic:
        turn.room = replace(
            turn.room, wanted=RecordingIntent(decision.type, due_ms=turn.at.mono_ms)
        )
        start_wanted(turn)


def _reason_to_end(turn: Transition, gone: UserKey) -> EndReason | None:
    room = turn.room
    if room.kind is not Kind.DIRECT:
        return None if room.participants else EndReason.LAST_LEFT
    if room.life is Life.WAITING:
        return EndReason.CANCELLED if gone == room.owner_key else None
    return EndReason.HANGUP if len(room.participants) <= 1 else None
