"""Sizes: how many frames, rows and columns become how many latent positions, and back.

The causal frame rule (MAGVIT-v2, section 3.2): frame 0 has a latent of its own and every further latent covers `stride`
frames, so `1 + stride * (t - 1)` frames make `t` latents. Space has no such exception: `h * stride` rows make `h`, and
neither has the time of a model that is not causal: `stride * t` frames make `t` latents.
"""

from magvit2.errors import InputError

Size = tuple[int, int, int]
"""(T, H, W) in frames and pixels, or (t, h, w) in latent positions."""


def grid_for(size: Size, strides: Size, *, is_causal: bool = True) -> Size:
    """Return the latent grid (t, h, w) that covers `size` = (T, H, W), rounding up.

    Raises InputError where a side is below 1.
    """
    if min(size) < 1:
        raise InputError(f"size (T, H, W) = {size}: expected at least 1 frame, 1 row and 1 column")
    first = int(is_causal)
    frames, rows, columns = size
    return first + _ceil_div(frames - first, strides[0]), _ceil_div(rows, strides[1]), _ceil_div(columns, strides[2])


def size_for(grid: Size, strides: Size, *, is_causal: bool = True) -> Size:
    """Return the full size that `grid` = (t, h, w) decodes to: (1 + s_t(t - 1), s_h h, s_w w), or (s_t t, ...).

    Raises InputError where a side is below 1.
    """
    if min(grid) < 1:
        raise InputError(f"grid (t, h, w) = {grid}: expected at least 1 position on every side")
    first = int(is_causal)
    return first + strides[0] * (grid[0] - first), strides[1] * grid[1], strides[2] * grid[2]


def valid_size(size: Size, strides: Size, *, is_causal: bool = True) -> Size:
    """Return the smallest size >= `size` = (T, H, W) that fills whole latent positions."""
    return size_for(grid_for(size, strides, is_causal=is_causal), strides, is_causal=is_causal)


def chunk_lengths(num_frames: int, stride: int, window: int | None = None) -> list[int]:
    """Return the canonical chunks of a clip that fills whole latent positions, in frames.

    Frame 0 alone, then groups of `stride` frames; with a `window`, groups of so many frames, the last one shorter.
    """
    first = int(window is None)
    assert num_frames >= 1 and (num_frames - first) % stride == 0, (num_frames, stride, window)
    if window is None:
        return [1] + [stride] * ((num_frames - 1) // stride)
    whole, rest = divmod(num_frames, window)
    return [window] * whole + [rest] * bool(rest)


def _ceil_div(value: int, divisor: int) -> int:
    return -(-value // divisor)
