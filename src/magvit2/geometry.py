"""Sizes: how many frames, rows and columns become how many latent positions, and back.

The causal frame rule (MAGVIT-v2, section 3.2): frame 0 has a latent of its own and every further latent covers `stride`
frames, so `1 + stride * (t - 1)` frames make `t` latents. Space has no such exception: `h * stride` rows make `h`.
"""

from magvit2.errors import InputError

Size = tuple[int, int, int]
"""(T, H, W) in frames and pixels, or (t, h, w) in latent positions."""


def grid_for(size: Size, strides: Size) -> Size:
    """Return the latent grid (t, h, w) that covers `size` = (T, H, W), rounding up.

    Raises InputError where a side is below 1.
    """
    if min(size) < 1:
        raise InputError(f"size (T, H, W) = {size}: expected at least 1 frame, 1 row and 1 column")
    frames, rows, columns = size
    return 1 + _ceil_div(frames - 1, strides[0]), _ceil_div(rows, strides[1]), _ceil_div(columns, strides[2])


def size_for(grid: Size, strides: Size) -> Size:
    """Return the full size (T, H, W) = (1 + s_t(t - 1), s_h h, s_w w) that `grid` = (t, h, w) decodes to.

    Raises InputError where a side is below 1.
    """
    if min(grid) < 1:
        raise InputError(f"grid (t, h, w) = {grid}: expected at least 1 position on every side")
    return 1 + strides[0] * (grid[0] - 1), strides[1] * grid[1], strides[2] * grid[2]


def valid_size(size: Size, strides: Size) -> Size:
    """Return the smallest size >= `size` = (T, H, W) that fills whole latent positions."""
    return size_for(grid_for(size, strides), strides)


def chunk_lengths(num_frames: int, stride: int) -> list[int]:
    """Return the canonical chunks of a clip: frame 0 alone, then groups of `stride` frames.

    `num_frames` must obey the frame rule (1 + stride * k); anything else is our own mistake.
    """
    assert num_frames >= 1 and (num_frames - 1) % stride == 0, (num_frames, stride)
    return [1] + [stride] * ((num_frames - 1) // stride)


def _ceil_div(value: int, divisor: int) -> int:
    return -(-value // divisor)
