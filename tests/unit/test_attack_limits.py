"""The limits that ``scripts/attack`` holds itself to: each is missed by a run that breaks it."""

from collections.abc import Callable

import pytest

from scripts.attacks.catalogue import ATTACKS, Attack
from scripts.attacks.judge import Phase, Run, broken_limits
from scripts.attacks.prober import OK, Probed, Sample
from scripts.attacks.table import head, row

ATTACK = ATTACKS[0]
WITHOUT_BROKER = next(attack for attack in ATTACKS if attack.degraded)
QUIET, STRIKE, AFTER = Phase(0, 10), Phase(10, 20), Phase(20, 30)


def samples(at_s: float, took_ms: float, outcome: str = OK) -> list[Sample]:
    return [Sample(at_s, took_ms, "ping", outcome)] * 100


def good(attack: Attack = ATTACK) -> Run:
    """A run that keeps every limit."""
    probed = Probed(
        samples(5, 10) + samples(15, 40),
        [("uuid", 1)],
        [(15, "ok", sorted(attack.degraded))],
    )
    memory = [(5.0, 70.0), (15.0, 100.0), (25.0, 90.0)]
    return Run(attack, QUIET, STRIKE, AFTER, probed, {"frames": 1}, memory=memory)


def test_a_run_within_all_limits_holds() -> None:
    assert broken_limits(good()) == []
    assert broken_limits(good(WITHOUT_BROKER)) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: run.probed.samples.extend(samples(15, 101)), "p99 101 ms"),
        (lambda run: run.probed.samples.extend(samples(15, 51)), "p99 5.1 times its quiet value"),
    ],
)
def test_others_who_wait_too_long_break_a_limit_but_where_times_are_not_judged(
    spoil: Callable[[Run], None], said: str
) -> None:
    run = good()
    spoil(run)

    assert said in broken_limits(run)
    assert broken_limits(run, timed=False) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda run: run.probed.samples.append(Sample(15, 1, "ping", "RATE_LIMITED")),
            "others: ping RATE_LIMITED (1)",
        ),
        (lambda run: run.probed.starts.clear(), "nothing was recorded"),
        (lambda run: run.lost.append(("uuid", 1)), "1 recordings lost"),
        (lambda run: setattr(run, "ended", 1), "controller ended with 1"),
        (lambda run: run.broke.append("room.eventFailed"), "log: room.eventFailed"),
        (lambda run: run.struck.clear(), "no strike"),
        (lambda run: run.found.append("a room is told"), "a room is told"),
        (lambda run: run.memory.append((15, 135)), "memory grew by 65 MiB, of 64"),
        (lambda run: run.memory.append((25, 117)), "memory went on growing, by 17 MiB"),
        (lambda run: run.probed.readiness.clear(), "health was not there"),
        (
            lambda run: run.probed.readiness.append((15, "degraded", ["store"])),
            "health named ['store']",
        ),
    ],
)
def test_each_other_limit_is_missed_as_well(spoil: Callable[[Run], None], said: str) -> None:
    run = good()
    spoil(run)

    assert broken_limits(run, timed=False) == [said]


def test_health_has_to_name_the_part_that_an_attack_goes_with() -> None:
    run = good(WITHOUT_BROKER)
    run.probed.readiness[:] = [(15, "ok", [])]

    assert broken_limits(run) == ["health named nothing"]


def test_a_phase_without_an_answer_breaks_the_limits_of_time() -> None:
    run = good()
    run.probed.samples[:] = samples(5, 10)

    assert broken_limits(run) == ["p99 nan ms", "p99 nan times its quiet value"]


def test_the_table_has_as_many_cells_as_columns_and_says_what_broke() -> None:
    run = good()
    line = row(run, ["1 recordings lost"], 1, run)

    assert line.count("|") == head(compared=True).splitlines()[0].count("|")
    assert "| big-frames-25 | 1 | 10.0, 10.0 | 40.0, 40.0 |" in line
    assert "| 1 recordings lost |" in line


def test_attacks_have_names_of_their_own() -> None:
    names = [attack.name for attack in ATTACKS]

    assert len(set(names)) == len(names)
    assert all(attack.meaning for attack in ATTACKS)
