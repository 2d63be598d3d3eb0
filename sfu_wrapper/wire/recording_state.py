"""Stored form of recordings: what no column of the index holds, as two JSON documents.

``facts`` is written by the room, ``rest`` by everything that happens to the recording later, so
that each is replaced without reading the other. Columns hold what queries filter and order by.
"""

from dataclasses import dataclass, fields
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from sfu_wrapper.model.errors import Broken
from sfu_wrapper.model.identity import (
    DomainId,
    Kind,
    Origin,
    RecordingType,
    RoomId,
    StopReason,
    UserId,
)
from sfu_wrapper.model.recording import (
    DecisionAtStart,
    Deletion,
    Hold,
    Outcome,
    Recording,
    RecordingFacts,
    RecordingKey,
    RecordingState,
    Stay,
)


@dataclass(frozen=True, slots=True)
class RecordingColumns:
    """Values of a recording that have columns of their own, as ``Recording`` defines them."""

    key: RecordingKey
    room: RoomId
    domain: DomainId
    owner: UserId
    state: RecordingState
    started_ms: int
    stopped_ms: int | None
    duration_ms: int | None
    version: int


@dataclass(frozen=True, slots=True)
class _Facts:
    """Facts without columns; see ``RecordingFacts``."""

    kind: Kind
    origin: Origin
    type: RecordingType
    by: str | None
    decision: DecisionAtStart | None = None
    stays: tuple[Stay, ...] = ()
    reason: StopReason | None = None
    incomplete: str | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Rest:
    """Parts that the room does not write; see ``Recording``."""

    outcome: Outcome | None = None
    outcome_ms: int | None = None
    hold: Hold | None = None
    deletion: Deletion | None = None
    retries: int = 0


_FACTS: Final = TypeAdapter(_Facts)
_REST: Final = TypeAdapter(_Rest)
# Looked up once: a page decodes 500 recordings.
_FACT_NAMES: Final = tuple(field.name for field in fields(_Facts))
_REST_NAMES: Final = tuple(field.name for field in fields(_Rest))


def encode_facts(facts: RecordingFacts) -> bytes:
    """Return the document of the facts that have no column."""
    return _FACTS.dump_json(_Facts(**_values(_FACT_NAMES, facts)), exclude_defaults=True)


def encode_rest(recording: Recording) -> bytes:
    """Return the document of all that the room does not write."""
    return _REST.dump_json(_Rest(**_values(_REST_NAMES, recording)), exclude_defaults=True)


def decode_recording(columns: RecordingColumns, facts: bytes, rest: bytes) -> Recording:
    """Return a recording from its columns and documents. Raises Broken: it is damaged."""
    try:
        known = _FACTS.validate_json(facts)
        later = _REST.validate_json(rest)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        message = f"the stored recording {columns.key} is damaged: {first['msg']}"
        raise Broken(message) from error
    return Recording(
        facts=RecordingFacts(
            key=columns.key,
            room=columns.room,
            domain=columns.domain,
            owner=columns.owner,
            started_ms=columns.started_ms,
            stopped_ms=columns.stopped_ms,
            duration_ms=columns.duration_ms,
            **_values(_FACT_NAMES, known),
        ),
        state=columns.state,
        version=columns.version,
        **_values(_REST_NAMES, later),
    )


def _values(names: tuple[str, ...], source: object) -> dict[str, Any]:
    return {name: getattr(source, name) for name in names}
