"""Bodies of ``/recordings`` and ``/usage``: writing of responses, reading of requests.

``recording_models`` describes the same bodies; tests compare the two. A list leaves out what can be
long: participants and sync.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter

from pydantic import ValidationError

from sfu_wrapper.core.finished import known_files, public_name
from sfu_wrapper.core.missed import Miss, MissedCall
from sfu_wrapper.core.policy import Reason, Source
from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.identity import (
    DomainId,
    RoomUuid,
    SegmentNo,
    UserKey,
    shown_user,
)
from sfu_wrapper.model.recording import (
    DecisionAtStart,
    Deletion,
    Recording,
    RecordingFacts,
    RecordingKey,
    RecordingState,
    Stay,
)
from sfu_wrapper.model.segment import (
    Failed,
    FinishedFile,
    JobProgress,
    Processed,
)
from sfu_wrapper.wire.job_messages import missing_object, sync_object
from sfu_wrapper.wire.recording_models import LinkRequest
from sfu_wrapper.wire.rest import (
    Json,
)
from sfu_wrapper.wire.strict_json import iso, parse_strict
from sfu_wrapper.wire.validation import REQUEST, first_error

DEFAULT_OUTPUT = "default"  # the product's own; further outputs have names of their own
SYSTEM = "system"  # as the starter of a segment: the controller


def parse_link_request(body: bytes) -> LinkRequest:
    """Read the body of a request for a link. Raises Malformed; ``path`` names the wrong field."""
    try:
        return LinkRequest.model_validate(parse_strict(body, REQUEST))
    except ValidationError as exc:
        path, first = first_error(exc)
        raise Malformed(f"{path or 'the body'} is wrong: {first['msg']}", path=path) from None


def recording_json(
    recording: Recording,
    progress: JobProgress | None,
    expires_ms: int | None,
    *,
    listed: bool = False,
) -> Json:
    """Return a recording as its owner sees it.

    Args:
        recording: the recording.
        progress: latest progress of its processing.
        expires_ms: epoch ms at which it is due for deletion; None: not known, or never.
        listed: leave out what can be long.
    """
    facts = recording.facts
    shown = _head(recording, progress, expires_ms) | {
        "files": _files(recording),
        "bytes": recording.bytes,
        "retries": recording.retries,
        "missing": list(facts.missing),
        "warnings": [],
    }
    shown |= _given(
        incomplete=facts.incomplete,
        progress=None if progress is None else _progress(progress),
        hold=_hold(recording),
        deletion=deletion_json(recording.deletion, facts.domain),
    )
    shown |= _outcome(recording, listed=listed)
    return shown if listed else shown | {"participants": _people(facts)}


def attended_json(recording: Recording, seconds: float, expires_ms: int | None) -> Json:
    """Return a recording as a participant sees it that does not own it.

    Args:
        recording: the recording.
        seconds: time of the participant in it.
        expires_ms: epoch ms at which it is due for deletion; None: not known, or never.
    """
    return _head(recording, None, expires_ms) | {"view": "attended", "seconds": seconds}


def _head(recording: Recording, progress: JobProgress | None, expires_ms: int | None) -> Json:
    facts = recording.facts
    worked_on = recording.state is RecordingState.QUEUED and progress is not None
    duration = None if facts.duration_ms is None else facts.duration_ms / 1000
    return {
        "recording": str(recording.key),
        "uuid": recording.key.uuid,
        "segment": recording.key.segment,
        "room": facts.room,
        "domain": facts.domain,
        "kind": facts.kind,
        "origin": facts.origin,
        "owner": facts.owner,
        "state": RecordingState.PROCESSING if worked_on else recording.state,
        "type": facts.type,
        "by": facts.by or SYSTEM,
        "startedAt": iso(facts.started_ms),
    } | _given(
        stoppedAt=_time(facts.stopped_ms),
        duration=duration,
        reason=facts.reason,
        expiresAt=_time(expires_ms),
        decision=None if facts.decision is None else _decision(facts.decision),
    )


def _outcome(recording: Recording, *, listed: bool) -> Json:
    """Return what the message of the recording service says."""
    processed_at = _given(processedAt=_time(recording.outcome_ms))
    match recording.outcome:
        case Processed() as result:
            shown = processed_at | {"output": result.output, "warnings": list(result.warnings)}
            if listed:
                return shown
            unusable = [missing_object(each) for each in result.missing]
            return shown | {"sync": sync_object(result.sync), "unusable": unusable}
        case Failed() as failure:
            error = {
                "stage": failure.stage,
                "code": failure.code,
                "message": failure.detail,
                "file": failure.file,
            }
            return processed_at | {"error": error}
        case _:
            return {}


def _files(recording: Recording) -> list[Json]:
    return [_file(file, recording.outcome) for file in known_files(recording)]


def _file(file: FinishedFile, result: object) -> Json:
    return {
        "name": public_name(file),
        "output": DEFAULT_OUTPUT,
        "kind": file.kind,
        "bytes": file.size_bytes,
        "sha256": file.sha256,
        "encrypted": isinstance(result, Processed) and result.encrypted,
    }


def _people(facts: RecordingFacts) -> list[Json]:
    stays = sorted(facts.stays, key=attrgetter("user", "joined_ms"))
    return [
        {"user": shown_user(user, facts.domain), "stays": [_stay(each) for each in of_user]}
        for user, of_user in groupby(stays, attrgetter("user"))
    ]


def _stay(stay: Stay) -> Json:
    return {"joinedAt": iso(stay.joined_ms)} | _given(leftAt=_time(stay.left_ms))


def _hold(recording: Recording) -> Json | None:
    hold = recording.hold
    if hold is None:
        return None
    by = shown_user(hold.by, recording.facts.domain)
    return {"by": by, "reason": hold.reason, "since": iso(hold.since_ms)}


def deletion_json(deletion: Deletion | None, domain: DomainId) -> Json | None:
    """Return a deletion, requested or done, of a recording of that domain."""
    if deletion is None:
        return None
    by = None if deletion.by is None else shown_user(deletion.by, domain)
    shown: Json = {"reason": deletion.reason, "requestedAt": iso(deletion.requested_ms)}
    return shown | _given(by=by, doneAt=_time(deletion.done_ms), trouble=deletion.trouble)


def _decision(decision: DecisionAtStart) -> Json:
    source = None if decision.source is None else Source(decision.source)
    shown: Json = {
        "allowed": decision.allowed,
        "automatic": decision.automatic,
        "type": decision.type,
        "source": source,
    }
    return shown | _given(reason=None if decision.reason is None else Reason(decision.reason))


def _progress(progress: JobProgress) -> Json:
    shown: Json = {"stage": progress.stage, "percent": progress.percent}
    return shown | _given(etaSeconds=progress.eta_s)


def _time(ms: int | None) -> str | None:
    return None if ms is None else iso(ms)


def _given(**fields: object) -> Json:
    return {name: value for name, value in fields.items() if value is not None}


def recordings_page_json(recordings: Iterable[Json], following: str | None) -> Json:
    """Return a page of recordings; ``following``: token of the next page."""
    return {"recordings": list(recordings)} | _given(next=following)


def page_token(started_ms: int, key: RecordingKey) -> str:
    """Return the token of a page that begins after that recording."""
    return f"{started_ms}.{key.segment}.{key.uuid}"


def parse_page_token(token: str) -> tuple[int, RecordingKey]:
    """Read a token that matches ``PAGE_PATTERN``: start and address of a recording."""
    started, segment, uuid = token.split(".", 2)
    return int(started), RecordingKey(RoomUuid(uuid), SegmentNo(int(segment)))


def usage_json(owner: UserKey, recordings: int, recorded_ms: int, size_bytes: int) -> Json:
    """Return the usage of one owner."""
    return {
        "domain": owner.domain,
        "owner": owner.user,
        "recordings": recordings,
        "seconds": recorded_ms / 1000,
        "bytes": size_bytes,
    }


def usage_page_json(owners: Sequence[Json], following: UserKey | None) -> Json:
    """Return a page of usage; ``following``: the last owner, where there may be more."""
    after = None if following is None else f"{following.domain}/{following.user}"
    return {"usage": list(owners)} | _given(next=after)


def missed_call_json(call: MissedCall) -> Json:
    """Return a call whose outcome differs from the decision that was made."""
    room = call.room
    return {
        "room": room.id,
        "uuid": room.uuid,
        "domain": room.domain,
        "owner": room.owner,
        "kind": room.kind,
        "origin": room.origin,
        "state": room.life,
        "establishedAt": _time(room.established_ms),
        "wantedSeconds": call.wanted_ms / 1000,
        "recordedSeconds": call.recorded_ms / 1000,
        "reasons": [_miss(each) for each in call.misses],
    } | _given(endedAt=_time(room.ended_ms))


def missed_recording_json(recording: Recording, misses: Iterable[Miss]) -> Json:
    """Return what one recording lacks, with the fields of ``missed_call_json`` that it has."""
    facts = recording.facts
    return {
        "room": facts.room,
        "uuid": facts.key.uuid,
        "segment": facts.key.segment,
        "domain": facts.domain,
        "owner": facts.owner,
        "kind": facts.kind,
        "origin": facts.origin,
        "reasons": [_miss(each) for each in misses],
    }


def _miss(miss: Miss) -> Json:
    keys = [str(key) for key in miss.recordings]
    return {"code": miss.code, "message": miss.message, "recordings": keys}


def missed_page_json(calls: Iterable[MissedCall], following: str | None) -> Json:
    """Return a page of missed calls; ``following``: token of the next page."""
    return {"calls": list(map(missed_call_json, calls))} | _given(next=following)


def place_token(at_ms: int, uuid: RoomUuid, *, settled: bool) -> str:
    """Return the token of a page that begins after that room."""
    return f"{'ended' if settled else 'open'}.{at_ms}.{uuid}"


def parse_place_token(token: str) -> tuple[bool, int, RoomUuid]:
    """Read a token that matches ``PLACE_PATTERN``: True for settled rooms, time, uuid."""
    kind, at_ms, uuid = token.split(".", 2)
    return kind == "ended", int(at_ms), RoomUuid(uuid)


def link_json(url: str, expires_ms: int) -> Json:
    """Return a signed link."""
    return {"url": url, "expiresAt": iso(expires_ms)}
