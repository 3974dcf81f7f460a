"""Conditions in pixels: what is given of a clip, padded to a whole clip (MAGVIT's COMMIT, arXiv 2212.05199, 3.2)."""

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from magvit2.geometry import Size
from magvit2.tokens import TokenSpace

_GREY = 128


def given_pixels(known: Bool[Tensor, "b t h w"], space: TokenSpace, size: Size) -> Bool[Tensor, "b T H W"]:
    """Return which pixels of clips of `size` (T, H, W) lie where latent positions are known."""
    frames = torch.tensor([space.latent_of(frame) for frame in range(size[0])])
    rows, columns = (torch.arange(side) // stride for side, stride in zip(size[1:], space.strides[1:], strict=True))
    return known[:, frames][:, :, rows][:, :, :, columns]


def padded(clips_u8: UInt8[Tensor, "b 3 T H W"], is_given: Bool[Tensor, "b T H W"]) -> UInt8[Tensor, "b 3 T H W"]:
    """Return clips of the given pixels alone; others repeat the last given one before them in time, or are grey."""
    filled = torch.full_like(clips_u8, _GREY)
    last = filled[:, :, 0]
    for frame in range(clips_u8.shape[2]):
        last = torch.where(is_given[:, None, frame], clips_u8[:, :, frame], last)
        filled[:, :, frame] = last
    return filled
