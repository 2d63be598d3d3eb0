"""What job leases promise, in memory and in the store's file."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sfu_wrapper.adapters.memory.store import MemoryLeases
from sfu_wrapper.adapters.sqlite import leases as adapter
from sfu_wrapper.adapters.sqlite.leases import SqliteLeases
from sfu_wrapper.ports.system import JobLeases

JOB, OTHER_JOB = "uuid:1", "uuid:2"
TTL_S = 30.0


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture(params=["memory", "sqlite"])
def leases(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Callable[[], float]
) -> Iterator[JobLeases]:
    if request.param == "memory":
        yield MemoryLeases(monotonic_s=clock)
        return
    real = SqliteLeases(tmp_path / "new" / "store.db", monotonic_s=clock)
    yield real
    real.close()


async def test_one_worker_at_a_time_has_a_job(leases: JobLeases) -> None:
    assert await leases.acquire(JOB, "a", TTL_S)
    assert not await leases.acquire(JOB, "b", TTL_S)
    assert await leases.acquire(OTHER_JOB, "b", TTL_S)


async def test_a_job_given_back_is_free(leases: JobLeases) -> None:
    await leases.acquire(JOB, "a", TTL_S)
    await leases.release(JOB, "a")

    assert await leases.acquire(JOB, "b", TTL_S)


async def test_nobody_gives_back_what_another_holds(leases: JobLeases) -> None:
    await leases.acquire(JOB, "a", TTL_S)
    await leases.release(JOB, "b")

    assert not await leases.acquire(JOB, "b", TTL_S)


async def test_a_lease_runs_out_when_its_holder_does_not_renew_it(
    leases: JobLeases, clock: Hand
) -> None:
    await leases.acquire(JOB, "a", TTL_S)
    clock.now_s += TTL_S

    assert await leases.acquire(JOB, "b", TTL_S)
    assert not await leases.acquire(JOB, "a", TTL_S)


async def test_a_renewed_lease_lasts_from_then_on(leases: JobLeases, clock: Hand) -> None:
    await leases.acquire(JOB, "a", TTL_S)
    clock.now_s += TTL_S - 1
    assert await leases.acquire(JOB, "a", TTL_S)
    clock.now_s += TTL_S - 1

    assert not await leases.acquire(JOB, "b", TTL_S)


async def test_two_processes_see_each_others_leases(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    one, other = SqliteLeases(path), SqliteLeases(path)

    assert await one.acquire(JOB, "a", TTL_S)
    assert not await other.acquire(JOB, "b", TTL_S)
    one.close()
    other.close()


async def test_a_lease_does_not_outlive_the_machines_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = tmp_path / "boot_id"
    boot.write_text("before\n")
    monkeypatch.setattr("sfu_wrapper.adapters.sqlite.leases._BOOT_ID", boot)
    before = SqliteLeases(tmp_path / "store.db")
    await before.acquire(JOB, "a", TTL_S)
    before.close()
    boot.unlink()
    after = SqliteLeases(tmp_path / "store.db")

    assert await after.acquire(JOB, "b", TTL_S)
    after.close()


def test_a_store_that_hangs_does_not_keep_a_worker_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(adapter, "_execute", lambda *_: answers.wait(30))
    monkeypatch.setattr(adapter, "_CLOSE_S", 0.05)
    leases = SqliteLeases(tmp_path / "store.db")

    async def given_up() -> None:
        async with asyncio.timeout(0.05):
            await leases.acquire(JOB, "a", TTL_S)

    began_s = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(given_up())
    leases.close()
    assert time.monotonic() - began_s < 10
    answers.set()
    with leases._one_at_a_time, pytest.raises(sqlite3.ProgrammingError, match="closed"):
        leases._connection.execute("SELECT 1")
