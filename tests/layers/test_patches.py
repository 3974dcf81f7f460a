"""The patch stem: squares of pixels as channels, in two bases."""

import numpy as np
import pytest
import torch

from magvit2.layers.patches import Patches, StemKind, haar_matrix


@pytest.mark.parametrize("kind", ["patch", "haar"])
@pytest.mark.parametrize("size", [2, 4])
def test_what_is_cut_is_joined_again(kind: StemKind, size: int, generator: torch.Generator) -> None:
    clips = torch.randn(2, 3, 2, 8, 12, generator=generator)
    patches = Patches(size, kind)
    cut = patches.cut(clips)
    assert cut.shape == (2, 3 * size**2, 2, 8 // size, 12 // size)
    torch.testing.assert_close(patches.join(cut), clips)
    torch.testing.assert_close(cut.square().sum(), clips.square().sum())  # orthonormal


def test_haar_of_four_values_by_hand() -> None:
    half, root = 0.5, 0.5**0.5
    expected = [[half, half, half, half], [half, half, -half, -half], [root, -root, 0, 0], [0, 0, root, -root]]
    np.testing.assert_allclose(haar_matrix(4).numpy(), expected, atol=1e-7)


def test_the_first_coefficient_is_the_mean_of_the_square_in_its_own_colour() -> None:
    clips = torch.zeros(1, 3, 1, 2, 2)
    clips[0, :, 0] = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 5.0], [5.0, 5.0]], [[0.0, 0.0], [0.0, 8.0]]])
    cut = Patches(2, "haar").cut(clips)[0, :, 0, 0, 0].view(4, 3)  # coefficient, colour
    torch.testing.assert_close(cut[0], torch.tensor([5.0, 10.0, 4.0]))  # half the sums
    torch.testing.assert_close(cut[:, 1], torch.tensor([10.0, 0.0, 0.0, 0.0]))
    torch.testing.assert_close(cut[1, 0], torch.tensor(-1.0))  # (1 - 2 + 3 - 4) / 2: left minus right
