"""The discriminator: StyleGAN's residual one, in three dimensions (MAGVIT-v2, figure 7).

Its convolutions are not causal and pad with zeros; it has no normalisation; it halves the grid by blurring. A block's
width changes in its second convolution, as in the authors' code; figure 7 reads as if it were the first.
"""

from itertools import pairwise
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from magvit2.adversarial.config import DiscriminatorConfig
from magvit2.errors import InputError
from magvit2.geometry import Size

_SLOPE = 0.2


class Discriminator(nn.Module):
    """Clips [b, 3, T, H, W] in [-1, 1] to logits [b]: above 0 for those that look real."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        widths, last = config.widths, config.widths[-1]
        self.stem = _conv(3, widths[0], 3, config)
        self.blocks = nn.ModuleList(BlurDownBlock(a, b, config) for a, b in pairwise(widths))
        self.final = _conv(last, last, 3, config)
        self.hidden = nn.Linear(last * (prod(config.grid) if config.head == "flatten" else 1), last)
        self.logit = nn.Linear(last, 1)
        self.apply(_reset_parameters)

    def forward(self, clips: Float[Tensor, "b 3 T H W"]) -> Float[Tensor, " b"]:
        """Judge clips. Raises InputError for a size that a flattening head cannot take."""
        self._check(clips)
        x = _leaky(self.stem(clips))
        for block in self.blocks:
            x = block(x)
        x = _leaky(self.final(x))
        x = x.flatten(1) if self.config.head == "flatten" else x.mean(dim=(2, 3, 4))
        logits: Tensor = self.logit(_leaky(self.hidden(x)))
        return logits[:, 0]

    def _check(self, clips: Tensor) -> None:
        if self.config.head == "flatten" and clips.shape[2:] != self.config.size:
            raise InputError(
                f"clips of size (T, H, W) = {tuple(clips.shape[2:])}: this discriminator flattens maps of "
                f"{self.config.size} only; head='pool' takes any size"
            )


class SameConv3d(nn.Conv3d):
    """A convolution that keeps the size by zeros around it, of an odd kernel and without stride.

    The zeros are put there before it: told to pad by itself, oneDNN (torch 2.13) leaves a part of the weight's gradient
    unwritten, or writes beyond it, in bfloat16 on axes that are shorter than the kernel.
    """

    def forward(self, x: Float[Tensor, "b c u y x"]) -> Float[Tensor, "b d u y x"]:
        """Convolve."""
        sides = [kernel // 2 for kernel in reversed(self.kernel_size) for _ in range(2)]
        return super().forward(functional.pad(x, sides))


class BlurDownBlock(nn.Module):
    """Residual block that halves the grid: (conv, blur, conv) beside (blur, 1x1x1 conv without bias), over sqrt(2)."""

    def __init__(self, in_channels: int, out_channels: int, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.factors: Size = (1, 2, 2) if config.is_image else (2, 2, 2)
        self.conv1 = _conv(in_channels, in_channels, 3, config)
        self.conv2 = _conv(in_channels, out_channels, 3, config)
        self.skip = _conv(in_channels, out_channels, 1, config)

    def forward(self, x: Float[Tensor, "b c u y x"]) -> Float[Tensor, "b d t h w"]:
        """Halve the grid, rounding up."""
        main = blur_pool(_leaky(self.conv1(x)), self.factors)
        main = _leaky(self.conv2(main))
        return (main + self.skip(blur_pool(x, self.factors))) * 0.5**0.5


def blur_pool(x: Float[Tensor, "b c u y x"], factors: Size) -> Float[Tensor, "b c t h w"]:
    """Blur by [1, 2, 1] / 4 along every axis whose factor is 2, and keep every second position: n become ceil(n / 2).

    Zeros are around x: one on each side of an odd axis, one behind an even axis ("SAME"). An axis of one position has
    nothing to pool and stays as it is. The result is channels_last_3d.
    """
    # One product with a banded matrix an axis: a grouped convolution's gradient takes several times longer on a CPU.
    last = x.permute(0, 2, 3, 4, 1)
    for axis, factor in enumerate(factors, 1):
        shape = last.shape
        if factor == 2 and shape[axis] > 1:
            pooled = _blur_matrix(shape[axis], x) @ last.reshape(prod(shape[:axis]), shape[axis], -1)
            last = pooled.reshape(*shape[:axis], -1, *shape[axis + 1 :])
    return last.permute(0, 4, 1, 2, 3)


def _blur_matrix(length: int, like: Tensor) -> Tensor:
    """Return what turns an axis of `length` positions into every second one of its blur, [ceil(length / 2), length]."""
    positions = torch.arange(length, device=like.device)
    centres = positions[1 - length % 2 :: 2]
    return (2 - (positions - centres[:, None]).abs()).clamp_min(0).to(like.dtype) / 4


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, _SLOPE)


def _conv(in_channels: int, out_channels: int, size: int, config: DiscriminatorConfig) -> nn.Conv3d:
    kernel = (1 if config.is_image else size, size, size)
    return SameConv3d(in_channels, out_channels, kernel, bias=size > 1)


def _reset_parameters(layer: nn.Module) -> None:
    """Draw weights from a normal of variance 1 / fan-in (the authors' framework's default) and zero the bias."""
    if isinstance(layer, nn.Conv3d | nn.Linear):
        std = layer.weight[0].numel() ** -0.5
        nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
