"""Holds, deletions and retention of a domain: who may, what happens, and what is noted."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from sfu_wrapper.core.events import Requester
from sfu_wrapper.model.errors import Refused, Unavailable
from sfu_wrapper.model.identity import DomainId, RoomUuid, SegmentNo, UserId, UserKey
from sfu_wrapper.model.recording import (
    Deletion,
    DeletionReason,
    Hold,
    RecordingKey,
    RecordingState,
)
from tests.helpers.indexed import HOME
from tests.helpers.kept import ADMIN, OTHER, OWNER, SERVICE, STRANGER, Kept, stay
from tests.helpers.stores import StoreBench, memory_bench, sqlite_bench

BENCHES = {"memory": memory_bench, "sqlite": sqlite_bench}
BOTH = Requester(UserKey(DomainId("other"), UserId("zoe")), service=True, admin=True)
NOWHERE = RecordingKey(RoomUuid("none"), SegmentNo(1))


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreBench]:
    bench = BENCHES[request.param](tmp_path)
    yield bench
    bench.store.close()


async def refusal(kept: Kept, deed: str, by: Requester, *args: object, **of: bool) -> str:
    with pytest.raises(Refused) as refused:
        await getattr(kept.changes(**of), deed)(by, *args)
    return refused.value.code


# holds


async def test_a_hold_is_set_and_removed_by_an_administrator(bench: StoreBench) -> None:
    kept = Kept(bench.store)
    at = await kept.put()
    await kept.changes().hold(ADMIN, at, "case 7")
    assert kept.known(at).hold == Hold(ADMIN.key, "case 7", kept.clock.wall_ms)

    await kept.changes().release(ADMIN, at)
    assert kept.known(at).hold is None
    assert await refusal(kept, "release", ADMIN, at) == "NOT_FOUND"
    entries = [row.entry for row in kept.audited()]
    assert len(entries) == 2
    assert b'"recording.hold"' in entries[0]
    assert b'"case 7"' in entries[0]
    assert b'"recording.release"' in entries[1]


@pytest.mark.parametrize(
    ("by", "code"),
    [
        (OWNER, "FORBIDDEN"),
        (SERVICE, "FORBIDDEN"),
        (BOTH, "FORBIDDEN"),
        (OTHER, "NOT_FOUND"),
        (STRANGER, "NOT_FOUND"),
    ],
)
async def test_nobody_else_holds_or_deletes(bench: StoreBench, by: Requester, code: str) -> None:
    kept = Kept(bench.store)
    at = await kept.put()

    assert await refusal(kept, "hold", by, at, "because") == code
    assert await refusal(kept, "release", by, at) == code
    assert await refusal(kept, "delete", by, at) == code
    assert kept.known(at).version == 1
    assert (kept.published, kept.audited()) == ([], [])


async def test_a_recording_that_is_not_there_is_not_found(bench: StoreBench) -> None:
    kept = Kept(bench.store)

    for by in (ADMIN, OWNER, SERVICE):
        assert await refusal(kept, "hold", by, NOWHERE, "because") == "NOT_FOUND"
        assert await refusal(kept, "delete", by, NOWHERE) == "NOT_FOUND"


# deletions


async def test_a_deletion_is_requested_published_and_noted(bench: StoreBench) -> None:
    kept = Kept(bench.store)
    at = await kept.put()
    found = await kept.changes().delete(ADMIN, at)

    assert found.state is RecordingState.READY
    wanted = Deletion(DeletionReason.REQUESTED, kept.clock.wall_ms, ADMIN.key)
    assert kept.known(at).deletion == wanted
    (request,) = kept.requests()
    assert (request.key, request.files) == (at, ("/results/uuid-1.webm",))
    (noted,) = kept.audited()
    assert b'"recording.delete"' in noted.entry
    assert b'"adam"' in noted.entry


async def test_a_second_deletion_changes_nothing(bench: StoreBench) -> None:
    kept = Kept(bench.store)
    at = await kept.put()
    await kept.changes().delete(ADMIN, at)
    await kept.changes().delete(ADMIN, at)

    assert len(kept.requests()) == len(kept.audited()) == 1


async def test_a_deleted_recording_is_returned_as_such(bench: StoreBench) -> None:
    kept = Kept(bench.store)
    done = Deletion(DeletionReason.REQUESTED, 1, ADMIN.key, 2)
    at = await kept.put(state=RecordingState.DELETED, deletion=done)

    assert (await kept.changes().delete(ADMIN, at)).state is RecordingState.DELETED
    assert kept.requests() == []


async def test_an_owner_deletes_where_the_configuration_allows_it(bench: StoreBench) -> None:
    kept = Kept(bench.store)
    at = await kept.put()

    assert await refusal(kept, "delete", OWNER, at) == "FORBIDDEN"
    assert await refusal(kept, "delete", SERVICE, at, owner_may_delete=True) == "FORBIDDEN"
    await kept.changes(owner_may_delete=True).delete(OWNER, at)
    assert len(kept.requests()) == 1


async def test_a_held_or_running_recording_is_not_deleted(bench: StoreBench) -> None:
    kept = Kept(bench.store)
    held = await kept.put(1, hold=Hold(ADMIN.key, "case 7", 0))
    runs = await kept.put(2, state=RecordingState.RECORDING)

    assert await refusal(kept, "delete", ADMIN, held) == "RECORDING_HELD"
    assert await refusal(kept, "delete", ADMIN, runs) == "RECORDING_RUNNING"


async def test_a_recording_that_waits_for_a_worker_says_so_in_the_request(
    bench: StoreBench,
) -> None:
    kept = Kept(bench.store)
    at = await kept.put(state=RecordingState.QUEUED)
    await kept.changes().delete(ADMIN, at)

    (request,) = kept.requests()
    assert request.awaits_event
    assert request.files == ()


async def test_of_a_hold_and_a_deletion_at_once_only_one_succeeds(bench: StoreBench) -> None:
    kept = Kept(bench.store)
    for number in range(1, 21):
        at = await kept.put(number)
        changes = kept.changes()
        deeds = [changes.hold(ADMIN, at, "case 7"), changes.delete(ADMIN, at)]
        if number % 2:
            deeds.reverse()
        results = await asyncio.gather(*deeds, return_exceptions=True)

        found = kept.known(at)
        assert (found.hold is None) != (found.deletion is None)
        assert len([one for one in results if isinstance(one, Refused)]) == 1


async def test_a_store_that_fails_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = memory_bench(Path())
    kept = Kept(bench.store)
    at = await kept.put()
    monkeypatch.setattr(bench.store, "failing", True)

    with pytest.raises(Unavailable):
        await kept.changes().delete(ADMIN, at)
    assert kept.published == []


# retention of a domain


async def test_a_domain_sets_its_own_retention(bench: StoreBench) -> None:
    kept = Kept(bench.store, days=365)
    changes = kept.changes()
    assert await changes.set_days(ADMIN, HOME, 90)
    assert not await changes.set_days(ADMIN, HOME, 30)
    assert changes.days_of(ADMIN, HOME) == changes.days_of(SERVICE, HOME) == 30
    await changes.remove_days(ADMIN, HOME)

    assert await refusal(kept, "remove_days", ADMIN, HOME) == "NOT_FOUND"
    with pytest.raises(Refused, match="retention not found"):
        changes.days_of(ADMIN, HOME)
    actions = [row.entry for row in kept.audited()]
    assert [b'"retention.set"' in each for each in actions] == [True, True, False]
    assert b'"before":90' in actions[1]
    assert b'"after":30' in actions[1]


@pytest.mark.parametrize(("days", "max_days", "most"), [(365, 0, 365), (30, 400, 400)])
async def test_a_domain_keeps_nothing_longer_than_it_may(
    bench: StoreBench, days: int, max_days: int, most: int
) -> None:
    kept = Kept(bench.store, days=days, max_days=max_days)

    assert await kept.changes().set_days(ADMIN, HOME, most)
    assert await refusal(kept, "set_days", ADMIN, HOME, most + 1) == "BAD_REQUEST"
    assert kept.changes().days_of(ADMIN, HOME) == most


@pytest.mark.parametrize(
    ("by", "code"),
    [(OWNER, "FORBIDDEN"), (SERVICE, "FORBIDDEN"), (STRANGER, "NOT_FOUND")],
)
async def test_nobody_else_sets_the_retention(bench: StoreBench, by: Requester, code: str) -> None:
    kept = Kept(bench.store)

    assert await refusal(kept, "set_days", by, HOME, 30) == code
    assert await refusal(kept, "remove_days", by, HOME) == code


# erasures


async def people(kept: Kept) -> None:
    """Alice's: 1 to 4, of which 2 is held, 3 runs, 4 is deleted; bob's: 5 with alice, 6 alone."""
    deleted = Deletion(DeletionReason.REQUESTED, 1, ADMIN.key, 2)
    await kept.put(1, stays=stay(OWNER.key))
    await kept.put(2, hold=Hold(ADMIN.key, "case 7", 0))
    await kept.put(3, state=RecordingState.RECORDING)
    await kept.put(4, state=RecordingState.DELETED, deletion=deleted)
    await kept.put(5, owner=OTHER.key.user, stays=stay(OWNER.key))
    await kept.put(6, owner=OTHER.key.user, stays=stay(OTHER.key))
    await kept.put(7, domain=DomainId("other"), stays=stay(OWNER.key))


async def test_a_preview_shows_what_is_owned_and_what_was_attended(bench: StoreBench) -> None:
    kept = Kept(bench.store)
    await people(kept)
    found = await kept.erasures.preview(ADMIN, OWNER.key)

    assert found.count == 2
    assert {(at.segment, owned) for at, owned in found.recordings} == {(1, True), (5, False)}
    assert [at.segment for at in found.held] == [2]
    assert [at.segment for at in found.running] == [3]
    assert (kept.published, kept.audited()) == ([], [])


async def test_an_erasure_deletes_what_its_preview_showed(bench: StoreBench) -> None:
    kept = Kept(bench.store)
    await people(kept)
    done = await kept.erasures.erase(ADMIN, OWNER.key, 2)

    assert done.count == 2
    assert {each.key.segment for each in kept.requests()} == {1, 5}
    assert {each.reason for each in kept.requests()} == {DeletionReason.ERASURE}
    assert [at.segment for at in done.held] == [2]
    entries = [row.entry for row in kept.audited()]
    assert len(entries) == 3
    assert b'"erasure.confirm"' in entries[0]
    assert (await kept.erasures.preview(ADMIN, OWNER.key)).count == 0


async def test_an_erasure_with_another_count_changes_nothing(bench: StoreBench) -> None:
    kept = Kept(bench.store)
    await people(kept)
    with pytest.raises(Refused) as refused:
        await kept.erasures.erase(ADMIN, OWNER.key, 3)

    assert (refused.value.code, refused.value.context["count"]) == ("COUNT_CHANGED", 2)
    assert (kept.published, kept.audited()) == ([], [])


async def test_a_guest_of_another_domain_is_erased_where_it_took_part(bench: StoreBench) -> None:
    kept = Kept(bench.store)
    guest = UserKey(DomainId("other"), UserId("alice"))
    await kept.put(1, stays=stay(guest))
    await kept.put(2, stays=stay(OWNER.key))

    assert (await kept.erasures.preview(ADMIN, guest)).count == 1


async def test_an_erasure_of_many_takes_every_page(bench: StoreBench) -> None:
    kept = Kept(bench.store)
    for number in range(1, 252):
        await kept.put(number, stays=stay(OWNER.key))

    assert (await kept.erasures.preview(ADMIN, OWNER.key)).count == 251
    assert (await kept.erasures.erase(ADMIN, OWNER.key, 251)).count == 251
    assert len(kept.requests()) == 251


async def test_only_an_administrator_erases(bench: StoreBench) -> None:
    kept = Kept(bench.store)
    for by in (OWNER, SERVICE):
        with pytest.raises(Refused) as refused:
            await kept.erasures.preview(by, OWNER.key)
        assert refused.value.code == "FORBIDDEN"
    assert (await kept.erasures.preview(STRANGER, OWNER.key)).count == 0
