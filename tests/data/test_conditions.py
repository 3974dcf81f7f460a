"""Conditions in pixels: which are given, and what stands in place of the others."""

import torch

from magvit2.data.conditions import given_pixels, padded
from magvit2.tokens import TokenSpace

SPACE = TokenSpace((2,) * 4, (4, 8, 8))


def test_pixels_are_given_where_their_latent_is() -> None:
    known = torch.zeros(1, 2, 1, 2, dtype=torch.bool)
    known[0, 0, 0, 0] = known[0, 1, 0, 1] = True
    given = given_pixels(known, SPACE, (5, 7, 12))
    expected = torch.zeros(1, 5, 7, 12, dtype=torch.bool)
    expected[0, 0, :, :8] = True
    expected[0, 1:, :, 8:] = True
    assert torch.equal(given, expected)


def test_what_is_not_given_repeats_the_last_given_frame_or_is_grey() -> None:
    clips = torch.arange(4).view(1, 1, 4, 1, 1).expand(1, 3, 4, 1, 2).to(torch.uint8)
    is_given = torch.tensor([[True, False, True, False], [False, False, True, False]]).T.reshape(1, 4, 1, 2)
    assert padded(clips, is_given)[0, 0, :, 0].tolist() == [[0, 128], [0, 128], [2, 2], [2, 2]]
