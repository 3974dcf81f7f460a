"""How many frames and pixels make how many latent positions, and back."""

import pytest

from magvit2.errors import InputError
from magvit2.geometry import Size, chunk_lengths, grid_for, size_for, valid_size

VIDEO = (4, 8, 8)


@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((17, 128, 128), (5, 16, 16)),  # the paper's clip: 1,280 tokens
        ((1, 128, 128), (1, 16, 16)),  # an image
        ((1, 1, 1), (1, 1, 1)),
        ((2, 8, 9), (2, 1, 2)),
        ((5, 7, 8), (2, 1, 1)),
        ((6, 360, 640), (3, 45, 80)),
    ],
)
def test_frame_0_has_its_own_latent_and_every_further_one_covers_four_frames(size: Size, grid: Size) -> None:
    assert grid_for(size, VIDEO) == grid


@pytest.mark.parametrize("strides", [(1, 8, 8), (2, 4, 8), (4, 8, 8), (4, 16, 16)])
def test_the_valid_size_is_the_smallest_that_fills_its_grid(strides: Size) -> None:
    sizes = [(frames, 9, 17) for frames in range(1, 20)] + [(3, rows, rows + 5) for rows in range(1, 40)]
    for size in sizes:
        grid, valid = grid_for(size, strides), valid_size(size, strides)
        assert all(have >= want for have, want in zip(valid, size, strict=True))
        assert grid_for(valid, strides) == grid
        assert size_for(grid, strides) == valid
        for axis in range(3):  # one latent less would not be enough
            if grid[axis] > 1:
                smaller = tuple(n - (i == axis) for i, n in enumerate(grid))
                assert size_for(smaller, strides)[axis] < size[axis]


def test_a_grid_decodes_to_one_frame_and_then_four_for_each_latent() -> None:
    assert size_for((1, 1, 1), VIDEO) == (1, 8, 8)
    assert size_for((5, 16, 16), VIDEO) == (17, 128, 128)


def test_canonical_chunks_are_frame_0_and_then_groups() -> None:
    assert chunk_lengths(1, 4) == [1]
    assert chunk_lengths(17, 4) == [1, 4, 4, 4, 4]
    assert chunk_lengths(3, 1) == [1, 1, 1]


def test_chunks_of_a_clip_that_breaks_the_frame_rule_are_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        chunk_lengths(4, 4)


@pytest.mark.parametrize("size", [(0, 8, 8), (1, 0, 8), (1, 8, -1)])
def test_a_size_below_one_is_refused_with_what_was_given(size: Size) -> None:
    with pytest.raises(InputError, match=r"expected at least 1") as error:
        grid_for(size, VIDEO)
    assert str(size) in str(error.value)
    with pytest.raises(InputError, match=r"expected at least 1 position"):
        size_for(size, VIDEO)
