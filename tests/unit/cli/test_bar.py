"""A progress bar stays on the last line, whatever is logged meanwhile."""

import io

import pytest

from sfu_wrapper.cli.common import ProgressBar, clock
from sfu_wrapper.core.estimate import ProgressSnapshot
from sfu_wrapper.model.errors import Stage


def screen(written: str) -> list[str]:
    """The lines that a terminal shows after that."""
    lines = [""]
    for piece in written.split("\n"):
        for part in piece.split("\r"):
            lines[-1] = (
                part.removeprefix("\033[K") if part.startswith("\033[K") else lines[-1] + part
            )
        lines.append("")
    return lines[:-1]


def test_it_shows_stage_percent_and_the_time_that_is_left() -> None:
    terminal = io.StringIO()
    ProgressBar(terminal).show(ProgressSnapshot(Stage.COMPOSE, 50.4, 75))

    (line,) = screen(terminal.getvalue())
    assert line == "compose    [###############...............]  50 %, 1:15 left"


def test_what_is_logged_stands_above_it() -> None:
    terminal = io.StringIO()
    bar = ProgressBar(terminal)
    bar.write("before\n")
    bar.show(ProgressSnapshot(Stage.PREPROCESS, 0, 10))
    bar.write("meanwhile\n")
    bar.show(ProgressSnapshot(Stage.COMPOSE, 50, 5))

    *above, last = screen(terminal.getvalue())
    assert above == ["before", "meanwhile"]
    assert last.startswith("compose ")


def test_nothing_of_it_stays() -> None:
    terminal = io.StringIO()
    bar = ProgressBar(terminal)
    bar.show(ProgressSnapshot(Stage.COMPOSE, 50, 5))
    bar.clear()
    bar.clear()
    bar.write("after\n")

    assert screen(terminal.getvalue()) == ["after", ""]


def test_the_same_is_not_drawn_twice() -> None:
    terminal = io.StringIO()
    bar = ProgressBar(terminal)
    bar.show(ProgressSnapshot(Stage.COMPOSE, 50, 5))
    once = terminal.getvalue()
    bar.show(ProgressSnapshot(Stage.COMPOSE, 50.01, 5.01))

    assert terminal.getvalue() == once


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (309, "5:09"), (3909, "1:05:09")]
)
def test_times_are_written_as_people_write_them(seconds: float, text: str) -> None:
    assert clock(seconds) == text
