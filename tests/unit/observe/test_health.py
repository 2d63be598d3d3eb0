"""Readiness, from what its parts are said to be."""

from sfu_wrapper.observe.metrics import BROKER, MIXER, SFU, STORE, Health, Status


class Clock:
    """Milliseconds that a test sets."""

    now_ms = 1_000

    def __call__(self) -> int:
        return self.now_ms


def test_it_is_ready_until_something_is_said() -> None:
    readiness = Health(Clock()).readiness()

    assert readiness.status is Status.OK
    assert {name: part.since_ms for name, part in readiness.parts.items()} == {
        STORE: 1_000,
        BROKER: 1_000,
        SFU: 1_000,
        MIXER: 1_000,
    }


def test_without_broker_sfu_or_mixer_it_is_degraded_and_serves() -> None:
    for part in (BROKER, SFU, MIXER):
        health = Health(Clock())
        health.report(part, False)

        assert health.readiness().status is Status.DEGRADED
        assert not health.readiness().parts[part].there


def test_without_the_store_nobody_is_to_be_sent_here() -> None:
    health = Health(Clock())
    health.report(STORE, False)
    lost = health.readiness()
    health.report(STORE, True)

    assert lost.status is Status.UNAVAILABLE
    assert health.readiness().status is Status.OK


def test_draining_is_not_undone_by_anything() -> None:
    health = Health(Clock())
    health.drain()
    health.report(STORE, True)

    assert health.readiness().status is Status.UNAVAILABLE
    assert health.readiness().draining


def test_since_is_when_it_changed_not_when_it_was_last_said() -> None:
    clock = Clock()
    health = Health(clock)
    for at_ms in (2_000, 3_000, 4_000):
        clock.now_ms = at_ms
        health.report(BROKER, False)
        health.report("other", True)

    assert health.readiness().parts[BROKER].since_ms == 2_000
    assert health.readiness().parts["other"].since_ms == 2_000
