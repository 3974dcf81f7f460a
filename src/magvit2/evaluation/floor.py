"""The floor under any tokenizer: shrink to the token grid with bicubic filters, and grow again."""

import numpy as np
import torch
from torch.nn import functional

from magvit2.data.frames import Frames
from magvit2.tokens import TokenSpace


def bicubic_floor(frames: Frames, space: TokenSpace) -> Frames:
    """Return uint8 frames [T, H, W, 3] scaled down to one value for each token position, antialiased, and up again.

    Bicubic in space and, for more than one frame, in time. It keeps 24 bits a position where a tokenizer of 18 bits
    keeps 18.
    """
    grid = space.grid_for((frames.shape[0], frames.shape[1], frames.shape[2]))
    x = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
    small = _resize_time(_resize_space(x, grid[1], grid[2]), grid[0]).round().clamp(0, 255)
    large = _resize_space(_resize_time(small, frames.shape[0]), frames.shape[1], frames.shape[2])
    return large.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def _resize_space(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return functional.interpolate(x, (height, width), mode="bicubic", antialias=True)


def _resize_time(x: torch.Tensor, length: int) -> torch.Tensor:
    """Resize the first axis of [T, 3, H, W] as if it were the height of one wide picture."""
    if x.shape[0] == length:
        return x
    flat = x.reshape(1, 1, x.shape[0], -1)
    return functional.interpolate(flat, (length, flat.shape[3]), mode="bicubic", antialias=True).reshape(
        length, *x.shape[1:]
    )
