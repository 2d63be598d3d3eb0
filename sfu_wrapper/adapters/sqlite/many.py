"""Statements with many rows each.

After each statement the writing thread has to compete for the interpreter lock again. In a busy
process the duration of a transaction therefore depends on the number of statements, much more than
on the number of rows. Rows per statement are rounded to a few numbers, so that the statements stay
prepared.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

_STEP: Final = 16  # fewer rows are one statement; more are split into multiples of this
_MOST: Final = 64  # rows per statement, far below SQLite's limit on values

Values = Sequence[Any]


def run_many(
    connection: sqlite3.Connection, statement: str, rows: Sequence[Values]
) -> list[tuple[Sequence[Values], sqlite3.Cursor]]:
    """Execute a statement for many rows, in their order.

    Args:
        connection: in a transaction.
        statement: SQL with ``{}`` after ``VALUES``, for the rows of placeholders.
        rows: rows of equal length; may be empty.

    Returns:
        Rows and cursor of each executed statement.
    """
    return [
        (piece, connection.execute(_with_rows(statement, len(piece[0]), len(piece)), _flat(piece)))
        for piece in _pieces(rows)
    ]


def found_by(
    connection: sqlite3.Connection, statement: str, rows: Sequence[Values]
) -> list[tuple[Any, ...]]:
    """Return the result of a SELECT for many rows; see ``run_many``."""
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
