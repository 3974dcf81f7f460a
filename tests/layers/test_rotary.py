"""Rotary positions: scores depend on the distance alone, each axis turns its own channels."""

import pytest
import torch

from magvit2.errors import ConfigError
from magvit2.layers.rotary import grid_positions, rotate, rotation


def test_grid_positions_are_in_raster_order() -> None:
    assert grid_positions((2, 1, 2)).tolist() == [[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 0, 1]]


def test_scores_depend_on_the_distance_alone() -> None:
    query, key = torch.randn(2, 1, 1, 1, 12)
    places = grid_positions((3, 4, 5))

    def score(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        turned = [rotate(x, rotation(place[None], 12, 100.0)) for x, place in ((query, a), (key, b))]
        return (turned[0] * turned[1]).sum()

    shift = torch.tensor([7, 3, 2])
    for a, b in ((places[0], places[-1]), (places[17], places[4]), (places[8], places[8])):
        assert score(a, b).item() == pytest.approx(score(a + shift, b + shift).item(), abs=1e-5)
    assert score(places[0], places[0]).item() == pytest.approx((query * key).sum().item(), abs=1e-6)


def test_channels_are_paired_half_a_head_apart_and_turn_by_their_frequency() -> None:
    turn = rotation(torch.tensor([[3]]), 4, 100.0)
    turned = rotate(torch.tensor([1.0, 0, 0, 1]).view(1, 1, 1, 4), turn).flatten()
    angles = torch.tensor([3.0, 0.3])
    expected = torch.stack([angles[0].cos(), -angles[1].sin(), angles[0].sin(), angles[1].cos()])
    torch.testing.assert_close(turned, expected)


def test_axes_share_the_pairs() -> None:
    still = rotation(torch.tensor([[0, 0, 5]]), 16, 100.0)
    assert (still.sin[0, :8] != 0).tolist() == [False] * 5 + [True] * 3
    assert (rotation(torch.tensor([[5, 0, 0]]), 16, 100.0).sin[0, :8] != 0).tolist() == [True] * 2 + [False] * 6


@pytest.mark.parametrize("width", [5, 4])
def test_a_head_needs_a_pair_for_each_axis(width: int) -> None:
    with pytest.raises(ConfigError, match="expected an even number, 6 or more"):
        rotation(torch.zeros(1, 3, dtype=torch.long), width, 100.0)
