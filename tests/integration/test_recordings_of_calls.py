"""Calls through a real controller: each segment is a recording in the index of its store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.model.identity import DomainId, StopReason, UserId, UserKey
from sfu_wrapper.model.recording import Recording, RecordingState
from sfu_wrapper.ports.recordings import RecordingQuery
from sfu_wrapper.ports.store import Store
from tests.helpers.calls import call
from tests.helpers.live import DOMAIN, Live, live

ROOM = {"room": "call"}
ALICE, BOB = (UserKey(DomainId(DOMAIN), UserId(name)) for name in ("alice", "bob"))


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "store.db")
    yield store
    store.close()


def listed(controller: Live, **query: object) -> list[Recording]:
    page = controller.store.index.recordings(RecordingQuery(**query))  # type: ignore[arg-type]
    return list(page.recordings)


async def test_a_segment_is_a_recording_from_its_start(store: Store) -> None:
    async with live("recordRecordingAtStart=false", store=store) as controller:
        made = await call(controller)
        await made.owner.ok("startRoomRecording", ROOM)
        (running,) = listed(controller, participant=BOB)

        assert running.state is RecordingState.RECORDING
        assert (running.facts.room, running.facts.owner_key) == ("call", ALICE)
        assert [(stay.user, stay.left_ms) for stay in running.facts.stays] == [
            (ALICE, None),
            (BOB, None),
        ]

        await made.owner.ok("stopRoomRecording", ROOM)
        (stopped,) = listed(controller, state=RecordingState.QUEUED)

        assert stopped.key == running.key
        assert stopped.facts.reason is StopReason.REQUESTED
        assert stopped.facts.stays[0].left_ms == stopped.facts.stopped_ms
        assert stopped.facts.decision is not None
        assert stopped.facts.decision.source == "user"


async def test_a_call_that_is_recorded_twice_has_two_recordings(store: Store) -> None:
    async with live(store=store) as controller:
        made = await call(controller, record=True)
        await made.owner.event("roomRecordingStarted")
        await made.owner.ok("stopRoomRecording", ROOM)
        before = len(made.owner.received)
        await made.owner.ok("startRoomRecording", ROOM)
        await made.service.ok("endRoom", ROOM)
        await made.owner.event("roomRecordingStopped", since=before)
        second, first = listed(controller, domain=ALICE.domain)

        assert (first.key.segment, second.key.segment) == (1, 2)
        assert (first.facts.by, second.facts.by) == (None, "alice")
        assert second.facts.reason is StopReason.CALL_ENDED


async def test_an_unrecorded_call_is_in_no_list(store: Store) -> None:
    async with live(store=store) as controller:
        made = await call(controller)
        await made.service.ok("endRoom", ROOM)
        await made.owner.event("roomEnded")

        assert listed(controller) == []
