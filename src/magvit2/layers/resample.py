"""Changing the grid: strided convolution or pooling down, depth-to-space or repetition up, and the patch stem."""

from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from magvit2.geometry import Size
from magvit2.layers.conv import CentredConv3d, conv_class
from magvit2.layers.memory import Memory
from magvit2.layers.norm import repeat_grid


class Upsample(nn.Module):
    """Grow the grid by `factors` (t, h, w): a convolution to c * t * h * w channels, then depth to space.

    In a causal model the first t - 1 frames of a clip are dropped, so that 1 + n frames become 1 + t * n (MAGVIT-v2,
    3.2).
    """

    def __init__(self, channels: int, factors: Size, kernel: Size, *, is_causal: bool = True) -> None:
        super().__init__()
        self.factors = factors
        self.is_causal = is_causal
        time, rows, columns = factors
        self.conv = conv_class(is_causal)(channels, channels * time * rows * columns, kernel)

    def forward(self, x: Float[Tensor, "b c t h w"], memory: Memory | None = None) -> Float[Tensor, "b c u y x"]:
        """Upsample a clip, or with `memory` the next chunk of it."""
        is_start = self.is_causal and (memory is None or memory.get(self.conv) is None)
        y = depth_to_space(self.conv(x, memory), self.factors)
        return y[:, :, self.factors[0] - 1 :] if is_start else y


class AveragePool(nn.Module):
    """Shrink the grid by `factors` (t, h, w), which must divide it: the mean of every block (MAGVIT, the first)."""

    def __init__(self, factors: Size) -> None:
        super().__init__()
        self.factors = factors

    def forward(self, x: Float[Tensor, "b c u y x"], memory: Memory | None = None) -> Float[Tensor, "b c t h w"]:
        """Shrink one window of a clip."""
        time, rows, columns = self.factors
        return reduce(x, "b c (t st) (h sh) (w sw) -> b c t h w", "mean", st=time, sh=rows, sw=columns)


class RepeatUpsample(nn.Module):
    """Grow the grid by `factors` (t, h, w): repeat every position, then convolve (MAGVIT, the first)."""

    def __init__(self, channels: int, factors: Size, kernel: Size) -> None:
        super().__init__()
        self.factors = factors
        self.conv = CentredConv3d(channels, channels, kernel)

    def forward(self, x: Float[Tensor, "b c t h w"], memory: Memory | None = None) -> Float[Tensor, "b c u y x"]:
        """Upsample one window of a clip."""
        y: Tensor = self.conv(repeat_grid(x, self.factors, x.shape[2] * self.factors[0]))
        return y


def depth_to_space(x: Float[Tensor, "b d t h w"], factors: Size) -> Float[Tensor, "b c u y x"]:
    """Move channels to the grid; the factors are the outer channel dimensions, as in the authors' code.

    Both ways give channels_last_3d, which every layer after them wants.
    """
    time, rows, columns = factors
    pattern = "b t h w (st sh sw c) -> b (t st) (h sh) (w sw) c"
    last = rearrange(x.permute(0, 2, 3, 4, 1), pattern, st=time, sh=rows, sw=columns)
    return last.permute(0, 4, 1, 2, 3)


def space_to_depth(x: Float[Tensor, "b c u y x"], factors: Size) -> Float[Tensor, "b d t h w"]:
    """Move the grid to channels: the inverse of `depth_to_space`. The grid must be a multiple of `factors`."""
    time, rows, columns = factors
    pattern = "b (t st) (h sh) (w sw) c -> b t h w (st sh sw c)"
    last = rearrange(x.permute(0, 2, 3, 4, 1), pattern, st=time, sh=rows, sw=columns)
    return last.permute(0, 4, 1, 2, 3)
