import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.gateway import limits as module
from sfu_wrapper.gateway.limits import Limits, Refusals, TokenBucket
from sfu_wrapper.gateway.settings import GatewaySettings
from sfu_wrapper.model.identity import DomainId, Identity, Role, UserId


def who(user: str, role: Role = Role.USER) -> Identity:
    return Identity(DomainId("example"), UserId(user), frozenset({role}))


def passed(bucket: TokenBucket, times_ms: list[int]) -> int:
    count = 0
    for now_ms in times_ms:
        if bucket.wait_ms(now_ms) == 0:
            bucket.take()
            count += 1
    return count


def test_a_burst_passes_and_then_so_many_a_second() -> None:
    bucket = TokenBucket(20, 40)

    assert passed(bucket, [0] * 100) == 40
    assert bucket.wait_ms(0) == 50
    assert passed(bucket, [49]) == 0
    assert passed(bucket, [50]) == 1
    assert passed(bucket, [1050] * 100) == 20


def test_a_long_rest_gives_no_more_than_a_burst() -> None:
    bucket = TokenBucket(20, 40)
    passed(bucket, [0] * 40)

    assert passed(bucket, [10**9] * 100) == 40


@given(
    st.floats(0.1, 1000),
    st.integers(1, 50),
    st.lists(st.integers(0, 500), min_size=1, max_size=100),
)
def test_never_more_than_burst_and_rate_allow(rate: float, burst: int, gaps: list[int]) -> None:
    times = [sum(gaps[: index + 1]) for index in range(len(gaps))]

    count = passed(TokenBucket(rate, burst), times)

    assert count <= burst + (times[-1] - times[0]) * rate / 1000 + 1e-6
    assert count >= min(burst, len(times))


def test_a_user_has_one_bucket_over_all_connections() -> None:
    limits = Limits(GatewaySettings())

    assert limits.of(who("alice"), 0) is limits.of(who("alice"), 5)
    assert limits.of(who("alice"), 0) is not limits.of(who("bob"), 0)


def test_the_room_service_may_ask_more_often() -> None:
    limits = Limits(GatewaySettings())

    assert passed(limits.of(who("rooms", Role.SERVICE), 0), [0] * 5000) == 4000
    assert passed(limits.of(who("rooms", Role.SERVICE), 0), [100] * 500) == 200
    assert passed(limits.of(who("rooms"), 0), [0] * 5000) == 40


def test_users_that_are_long_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SWEEP_FROM", 4)
    limits = Limits(GatewaySettings())
    busy = limits.of(who("busy"), 0)
    passed(busy, [0] * 30)
    for number in range(1000):
        passed(limits.of(who(f"user-{number}"), number), [number])

    assert limits.known <= 128
    assert limits.of(who("busy"), 999) is busy


def test_forgetting_users_costs_little_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = 0
    is_full = TokenBucket.is_full

    def counting(bucket: TokenBucket, now_ms: int) -> bool:
        nonlocal looked_at
        looked_at += 1
        return is_full(bucket, now_ms)

    monkeypatch.setattr(module, "_SWEEP_FROM", 4)
    monkeypatch.setattr(TokenBucket, "is_full", counting)
    limits = Limits(GatewaySettings())
    for number in range(1000):
        passed(limits.of(who(f"user-{number}"), 0), [0])  # none of them rests

    assert 0 < looked_at <= 3 * 1000


def test_nobody_waits_for_a_few_refusals() -> None:
    refusals = Refusals(per_second=10, burst=20, longest_s=5)

    assert [refusals.delay_s(0) for _ in range(19)] == [0] * 19


def test_a_flood_of_refusals_is_answered_no_faster_than_the_tokens_come() -> None:
    refusals = Refusals(per_second=10, burst=20, longest_s=5)
    waits = [refusals.delay_s(0) for _ in range(200)]

    assert waits[20:23] == [0.2, 0.3, 0.4]
    assert max(waits) == 5
    assert waits == sorted(waits)
    assert refusals.delay_s(8_000) == 0  # however long the flood was
