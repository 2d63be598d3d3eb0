"""One statement for many rows.

After each statement of a thread that writes, other threads of the process have their turn first.
So the number of statements decides how long a transaction takes while the process is busy, far
more than the number of rows does. Numbers of rows are powers of two, so that statements are few
and stay prepared.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

_STEP: Final = 16  # up to so many rows any number is one statement; above, multiples of it are
_MOST: Final = 64  # rows in one statement; values of all of them are far below SQLite's limit

Values = Sequence[Any]


def run_many(
    connection: sqlite3.Connection, statement: str, rows: Sequence[Values]
) -> list[tuple[Sequence[Values], sqlite3.Cursor]]:
    """Carry out a statement for many rows, in their order.

    Args:
        connection: within a transaction.
        statement: with ``{}`` where its rows of values are, after ``VALUES``.
        rows: of equal length; without any, nothing is done.

    Returns:
        Rows and cursor of each statement that it took.
    """
    return [
        (piece, connection.execute(_with_rows(statement, len(piece[0]), len(piece)), _flat(piece)))
        for piece in _pieces(rows)
    ]


def found_by(
    connection: sqlite3.Connection, statement: str, rows: Sequence[Values]
) -> list[tuple[Any, ...]]:
    """Return what a SELECT finds for many rows; see ``run_many``."""
    return [row for _, cursor in run_many(connection, statement, rows) for row in cursor]


def _pieces(rows: Sequence[Values]) -> Iterator[Sequence[Values]]:
    at = 0
    while left := len(rows) - at:
        size = left if left < _STEP else min(_MOST, left // _STEP * _STEP)
        yield rows[at : at + size]
        at += size


@cache
def _with_rows(statement: str, width: int, count: int) -> str:
    row = f"({', '.join('?' * width)})"
    return statement.format(", ".join([row] * count))


def _flat(rows: Sequence[Values]) -> list[Any]:
    return [value for row in rows for value in row]
