"""Seconds until the encryption key expires, as operators read them between two checks of it."""

import asyncio
import math
from pathlib import Path

import pytest

from sfu_wrapper.model.errors import JobCode, JobFailed, Stage
from sfu_wrapper.service.worker import key_watch
from sfu_wrapper.service.worker.key_watch import KeyWatch
from tests.helpers.clocks import StandingClock
from tests.helpers.wait import until

EXPIRED = JobFailed(Stage.ENCRYPT, JobCode.KEY_UNUSABLE, "the key has expired", permanent=True)


class Key:
    """Encryptor whose check has the outcomes of a list, the last one from then on."""

    def __init__(self, *outcomes: int | Exception | None) -> None:
        self.checks = 0
        self._outcomes = outcomes

    async def check(self) -> int | None:
        self.checks += 1
        outcome = self._outcomes[min(self.checks, len(self._outcomes)) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def encrypt(self, source: Path, target: Path, *, timeout_s: float) -> None:
        raise AssertionError


def watch_of(key: Key, clock: StandingClock) -> tuple[KeyWatch, list[tuple[str, bool, str]]]:
    reports: list[tuple[str, bool, str]] = []
    return KeyWatch(key, clock, lambda *report: reports.append(report)), reports


async def test_the_time_left_goes_by_between_two_checks_and_ends_at_nothing() -> None:
    clock = StandingClock()
    watch, _ = watch_of(Key(clock.now().wall_ms // 1000 + 100), clock)
    assert watch.left_s == math.inf
    await watch.check()

    clock.pass_s(60)
    assert watch.left_s == pytest.approx(40, abs=1)
    clock.pass_s(60)
    assert watch.left_s == 0


async def test_a_key_that_cannot_be_used_any_more_has_no_time_left() -> None:
    clock = StandingClock()
    watch, reports = watch_of(Key(clock.now().wall_ms // 1000 + 100, EXPIRED), clock)
    await watch.check()
    clock.pass_s(200)
    await watch.check()

    assert watch.left_s == 0
    assert [report[1:] for report in reports] == [
        (True, "the key expires in 0 days"),
        (False, "the key has expired"),
    ]


async def test_a_key_that_never_expires_has_no_end() -> None:
    watch, reports = watch_of(Key(None), StandingClock())
    await watch.check()

    assert watch.left_s == math.inf
    assert reports == [("encryption", True, "")]


async def test_an_unexpected_error_does_not_end_the_watch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_watch, "KEY_CHECK_S", 0.001)
    key = Key(ValueError("no date"), None)
    watch, reports = watch_of(key, StandingClock())
    watching = asyncio.create_task(watch.run())
    await until(lambda: bool(reports))
    watching.cancel()

    assert key.checks >= 2
