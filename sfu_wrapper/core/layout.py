"""Layout of the frames of a merged recording (recordings.md, "Merged").

Pure geometry in whole pixels. All edges are even, as yuv420p needs.
"""

from dataclasses import dataclass
from math import isqrt

MAX_TILES = 9


@dataclass(frozen=True, slots=True)
class Tile:
    """Rectangle on the canvas, in px; (x, y) is its upper left corner."""

    x: int
    y: int
    width: int
    height: int


def grid(count: int, width: int, height: int) -> tuple[Tile, ...]:
    """Divide the canvas among ``count`` tracks, in reading order, the last row from the left.

    Columns are ceil(sqrt(count)), rows ceil(count / columns).

    Raises:
        ValueError: ``count`` is outside 0..9; the caller should have split instead.
    """
    if not 0 <= count <= MAX_TILES:
        raise ValueError(f"count must be 0..{MAX_TILES}, got {count}")
    if count == 0:
        return ()
    columns = isqrt(count - 1) + 1
    rows = -(-count // columns)
    xs = [_even_edge(i, columns, width) for i in range(columns + 1)]
    ys = [_even_edge(i, rows, height) for i in range(rows + 1)]
    cells = [divmod(i, columns) for i in range(count)]
    return tuple(Tile(xs[c], ys[r], xs[c + 1] - xs[c], ys[r + 1] - ys[r]) for r, c in cells)


def fit(tile: Tile, width: int, height: int) -> Tile:
    """Return the largest centred rectangle in the tile with the aspect ratio of the frame.

    Sides and position are rounded to even pixels; no side is below 2.
    """
    if width * tile.height >= height * tile.width:
        inner_width, inner_height = tile.width, _even(tile.width * height, width)
    else:
        inner_width, inner_height = _even(tile.height * width, height), tile.height
    x = tile.x + (tile.width - inner_width) // 4 * 2
    y = tile.y + (tile.height - inner_height) // 4 * 2
    return Tile(x, y, inner_width, inner_height)


def _even_edge(index: int, parts: int, length: int) -> int:
    return 2 * ((index * length + parts) // (2 * parts))


def _even(dividend: int, divisor: int) -> int:
    """Return the quotient rounded to an even number, at least 2."""
    return max(2, 2 * ((dividend + divisor) // (2 * divisor)))
