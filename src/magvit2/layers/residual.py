"""The residual block of the tokenizer (figure 7): norm, swish, conv, norm, swish, conv, plus the input."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from magvit2.geometry import Size
from magvit2.layers.conv import conv_class
from magvit2.layers.memory import Memory
from magvit2.layers.norm import NormKind, make_norm


class ResBlock(nn.Module):
    """Pre-activation residual block; a bias-free 1x1x1 convolution on the skip where the width changes."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: Size, norm: NormKind, *, is_causal: bool = True
    ) -> None:
        super().__init__()
        conv = conv_class(is_causal)
        self.norm1 = make_norm(in_channels, norm)
        self.conv1 = conv(in_channels, out_channels, kernel, bias=False)
        self.norm2 = make_norm(out_channels, norm)
        self.conv2 = conv(out_channels, out_channels, kernel, bias=False)
        same = in_channels == out_channels
        self.skip = None if same else conv(in_channels, out_channels, (1, 1, 1), bias=False)

    def forward(self, x: Float[Tensor, "b c t h w"], memory: Memory | None = None) -> Float[Tensor, "b d t h w"]:
        """Transform a clip, or with `memory` the next chunk of it."""
        y = self.conv1(functional.silu(self.norm1(x)), memory)
        y = self.conv2(functional.silu(self.norm2(y)), memory)
        return y + (x if self.skip is None else self.skip(x, memory))
