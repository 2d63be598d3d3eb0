"""The matrix of a merged recording."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.core.plan import MAX_TILES, Tile, fit, grid

even = st.integers(8, 1000).map(lambda half: 2 * half)


def test_one_track_has_the_whole_canvas() -> None:
    assert grid(1, 640, 480) == (Tile(0, 0, 640, 480),)


def test_nobody_on_screen_needs_no_tile() -> None:
    assert grid(0, 640, 480) == ()


def test_two_tracks_stand_side_by_side() -> None:
    assert grid(2, 640, 480) == (Tile(0, 0, 320, 480), Tile(320, 0, 320, 480))


def test_the_last_row_is_filled_from_the_left() -> None:
    assert grid(3, 640, 480)[2] == Tile(0, 240, 320, 240)


def test_three_columns_of_640_have_edges_on_even_pixels() -> None:
    first_row = grid(9, 640, 480)[:3]

    assert [(tile.x, tile.width) for tile in first_row] == [(0, 214), (214, 212), (426, 214)]


@pytest.mark.parametrize("count", [-1, 10])
def test_what_does_not_fit_the_matrix_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=r"0\.\.9"):
        grid(count, 640, 480)


@given(st.integers(1, MAX_TILES), even, even)
def test_tiles_are_even_disjoint_and_within_the_canvas(count: int, width: int, height: int) -> None:
    tiles = grid(count, width, height)

    assert len(tiles) == count
    for i, a in enumerate(tiles):
        assert all(side % 2 == 0 for side in (a.x, a.y, a.width, a.height))
        assert min(a.width, a.height) > 0
        assert a.x + a.width <= width
        assert a.y + a.height <= height
        for b in tiles[i + 1 :]:
            beside = a.x + a.width <= b.x or b.x + b.width <= a.x
            assert beside or a.y + a.height <= b.y or b.y + b.height <= a.y


def test_a_wide_frame_is_centred_between_bars_above_and_below() -> None:
    assert fit(Tile(0, 0, 320, 480), 640, 360) == Tile(0, 150, 320, 180)


def test_a_tall_frame_is_centred_between_bars_at_its_sides() -> None:
    assert fit(Tile(320, 0, 320, 240), 240, 320) == Tile(390, 0, 180, 240)


@given(
    st.sampled_from([tile for n in range(1, 10) for tile in grid(n, 640, 480)]),
    st.integers(1, 5000),
    st.integers(1, 5000),
)
def test_a_frame_stays_within_its_tile_and_keeps_its_aspect(
    tile: Tile, width: int, height: int
) -> None:
    place = fit(tile, width, height)

    assert tile.x <= place.x
    assert tile.y <= place.y
    assert place.x + place.width <= tile.x + tile.width
    assert place.y + place.height <= tile.y + tile.height
    assert all(n % 2 == 0 for n in (place.x, place.y, place.width, place.height))
    scale = min(tile.width / width, tile.height / height)
    assert abs(place.width - max(2, width * scale)) <= 1.001
    assert abs(place.height - max(2, height * scale)) <= 1.001
