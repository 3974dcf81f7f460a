"""Depth to space against loops, and upsampling in time that drops what came before the first frame."""

import numpy as np
import pytest
import torch

from magvit2.geometry import Size, chunk_lengths
from magvit2.layers.memory import Memory
from magvit2.layers.resample import Upsample, depth_to_space, space_to_depth

FACTORS = [(2, 2, 2), (1, 2, 2), (2, 1, 3), (1, 1, 1)]


@pytest.mark.parametrize("factors", FACTORS)
def test_depth_to_space_puts_the_factors_before_the_filters(factors: Size) -> None:
    time, rows, columns = factors
    x = torch.arange(2 * time * rows * columns * 5 * 2 * 3 * 4).view(2, -1, 2, 3, 4).float()
    expected = np.zeros((2, 5, 2 * time, 3 * rows, 4 * columns), dtype=np.float32)
    for c, t, h, w in np.ndindex(expected.shape[1:]):
        channel = ((t % time * rows + h % rows) * columns + w % columns) * 5 + c
        expected[:, c, t, h, w] = x[:, channel, t // time, h // rows, w // columns]
    assert torch.equal(depth_to_space(x, factors), torch.from_numpy(expected))


@pytest.mark.parametrize("factors", FACTORS)
def test_space_to_depth_is_its_inverse(factors: Size, generator: torch.Generator) -> None:
    time, rows, columns = factors
    fine = torch.randn(2, 3, 2 * time, 3 * rows, 2 * columns, generator=generator)
    assert torch.equal(depth_to_space(space_to_depth(fine, factors), factors), fine)
    assert space_to_depth(fine, factors).shape == (2, 3 * time * rows * columns, 2, 3, 2)


@pytest.mark.parametrize("kernel", [(3, 3, 3), (1, 1, 1)])
@pytest.mark.parametrize("factors", [(2, 2, 2), (1, 2, 2)])
def test_upsampling_turns_1_plus_n_frames_into_1_plus_t_n(
    factors: Size, kernel: Size, generator: torch.Generator
) -> None:
    upsample = Upsample(3, factors, kernel).double()
    for n in range(4):
        x = torch.randn(1, 3, 1 + n, 2, 3, generator=generator, dtype=torch.float64)
        y = upsample(x)
        assert y.shape == (1, 3, 1 + factors[0] * n, 2 * factors[1], 3 * factors[2])
        assert torch.equal(y, depth_to_space(upsample.conv(x), factors)[:, :, factors[0] - 1 :])


@pytest.mark.parametrize("factors", [(2, 2, 2), (1, 2, 2)])
def test_upsampling_chunk_by_chunk_drops_frames_only_at_the_start(factors: Size, generator: torch.Generator) -> None:
    upsample, memory = Upsample(3, factors, (3, 3, 3)).double(), Memory()
    x = torch.randn(2, 3, 5, 2, 3, generator=generator, dtype=torch.float64)
    chunks = [upsample(chunk, memory) for chunk in x.split(chunk_lengths(5, 2), dim=2)]
    assert [chunk.shape[2] for chunk in chunks] == [1, 2 * factors[0], 2 * factors[0]]
    torch.testing.assert_close(torch.cat(chunks, dim=2), upsample(x))
