"""Changing the grid: strided convolution down, convolution and depth-to-space up, and the patch stem."""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from magvit2.geometry import Size
from magvit2.layers.conv import CausalConv3d
from magvit2.layers.memory import Memory


class Upsample(nn.Module):
    """Grow the grid by `factors` (t, h, w): a causal convolution to c * t * h * w channels, then depth to space.

    In time the first t - 1 frames of a clip are dropped, so that 1 + n frames become 1 + t * n (MAGVIT-v2, 3.2).
    """

    def __init__(self, channels: int, factors: Size, kernel: Size) -> None:
        super().__init__()
        self.factors = factors
        time, rows, columns = factors
        self.conv = CausalConv3d(channels, channels * time * rows * columns, kernel)

    def forward(self, x: Float[Tensor, "b c t h w"], memory: Memory | None = None) -> Float[Tensor, "b c u y x"]:
        """Upsample a clip, or with `memory` the next chunk of it."""
        is_start = memory is None or memory.get(self.conv) is None
        y = depth_to_space(self.conv(x, memory), self.factors)
        return y[:, :, self.factors[0] - 1 :] if is_start else y


def depth_to_space(x: Float[Tensor, "b d t h w"], factors: Size) -> Float[Tensor, "b c u y x"]:
    """Move channels to the grid; the factors are the outer channel dimensions, as in the authors' code."""
    time, rows, columns = factors
    pattern = "b (st sh sw c) t h w -> b c (t st) (h sh) (w sw)"
    return rearrange(x, pattern, st=time, sh=rows, sw=columns)


def space_to_depth(x: Float[Tensor, "b c u y x"], factors: Size) -> Float[Tensor, "b d t h w"]:
    """Move the grid to channels: the inverse of `depth_to_space`. The grid must be a multiple of `factors`."""
    time, rows, columns = factors
    pattern = "b c (t st) (h sh) (w sw) -> b (st sh sw c) t h w"
    return rearrange(x, pattern, st=time, sh=rows, sw=columns)
