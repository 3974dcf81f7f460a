"""I3D (Carreira & Zisserman 2017, arXiv 1705.07750): clips to 400 Kinetics logits, with the names of the PyTorch port.

Its state dict is `i3d_pretrained_400.pt`, the weights of the original Fréchet video distance ported from TensorFlow.
"""

from pathlib import Path
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from magvit2.errors import InputError
from magvit2.features.files import FoundFile, NetworkFile, find_network, load_into, read_state_dict
from magvit2.features.frozen import Frozen

I3D_FILE: Final = NetworkFile(("i3d_pretrained_400.pt",))
MIN_FRAMES: Final = 9  # the last average is over 2 latent frames, of 8 frames each

Triple = tuple[int, int, int]

# Channels of the six convolutions in each Inception module: 1x1 | 1x1, 3x3 | 1x1, 3x3 | pool, 1x1.
_MODULES: Final = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


class Unit3d(nn.Module):
    """A convolution with TensorFlow's padding, then batch norm and ReLU; or, as `logits`, bias and nothing more."""

    def __init__(
        self, in_channels: int, out_channels: int, size: int = 1, stride: int = 1, *, last: bool = False
    ) -> None:
        super().__init__()
        self.size, self.stride = (size,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(in_channels, out_channels, size, stride=stride, bias=last)
        self.bn = None if last else nn.BatchNorm3d(out_channels, eps=0.001)

    def forward(self, x: Float[Tensor, "b c T H W"]) -> Float[Tensor, "b d t h w"]:
        """Return ceil(size / stride) outputs along each axis."""
        x = self.conv3d(pad_same(x, self.size, self.stride))
        return x if self.bn is None else self.bn(x).relu()


class MaxPool(nn.Module):
    """A maximum with TensorFlow's padding, which here counts as 0 (what comes in is never negative)."""

    def __init__(self, size: Triple, stride: Triple) -> None:
        super().__init__()
        self.size, self.stride = size, stride

    def forward(self, x: Float[Tensor, "b c T H W"]) -> Float[Tensor, "b c t h w"]:
        """Return ceil(size / stride) outputs along each axis."""
        return functional.max_pool3d(pad_same(x, self.size, self.stride), self.size, self.stride)


class Inception3d(nn.Module):
    """Four branches side by side."""

    def __init__(self, in_channels: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        self.b0 = Unit3d(in_channels, widths[0])
        self.b1a, self.b1b = Unit3d(in_channels, widths[1]), Unit3d(widths[1], widths[2], 3)
        self.b2a, self.b2b = Unit3d(in_channels, widths[3]), Unit3d(widths[3], widths[4], 3)
        self.b3a, self.b3b = MaxPool((3, 3, 3), (1, 1, 1)), Unit3d(in_channels, widths[5])

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t h w"]:
        """Return the branches' channels one after another."""
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], dim=1)


class I3D(Frozen):
    """I3D on RGB: 12,697,264 parameters; clips of 9 frames or more at 224 x 224 to 400 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit3d(3, 64, 7, stride=2)
        self.MaxPool3d_2a_3x3 = MaxPool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit3d(64, 64)
        self.Conv3d_2c_3x3 = Unit3d(64, 192, 3)
        self.MaxPool3d_3a_3x3 = MaxPool((1, 3, 3), (1, 2, 2))
        channels = self._add_modules("Mixed_3", 192)
        self.MaxPool3d_4a_3x3 = MaxPool((3, 3, 3), (2, 2, 2))
        channels = self._add_modules("Mixed_4", channels)
        self.MaxPool3d_5a_2x2 = MaxPool((2, 2, 2), (2, 2, 2))
        channels = self._add_modules("Mixed_5", channels)
        self.logits = Unit3d(channels, 400, last=True)
        self.freeze()

    def _add_modules(self, stage: str, channels: int) -> int:
        for name, widths in _MODULES.items():
            if name.startswith(stage):
                self.add_module(name, Inception3d(channels, widths))
                channels = widths[0] + widths[2] + widths[4] + widths[5]
        return channels

    def forward(self, clips: Float[Tensor, "b 3 T 224 224"]) -> Float[Tensor, "b 400"]:
        """Return the logits, averaged over time, of clips in [-1, 1]. Raises InputError for fewer than 9 frames."""
        if clips.shape[2] < MIN_FRAMES:
            raise InputError(f"clips of {clips.shape[2]} frames: I3D expects {MIN_FRAMES} or more")
        x = clips
        for name, layer in self.named_children():
            if name != "logits":
                x = layer(x)
        x = functional.avg_pool3d(x, (2, 7, 7), stride=1)
        return self.logits(x).mean(dim=(2, 3, 4))


def load_i3d(nets: Path) -> tuple[I3D, FoundFile]:
    """Return the ported I3D and its file. Raises MissingNetworkError, FormatError."""
    file = find_network(nets, I3D_FILE)
    network = I3D()
    load_into(network, read_state_dict(file), file)
    return network, file


def pad_same(x: Float[Tensor, "b c T H W"], size: Triple, stride: Triple) -> Float[Tensor, "b c t h w"]:
    """Pad with zeros as TensorFlow's SAME does: ceil(length / stride) outputs, the odd zero behind."""
    padding: list[int] = []
    for length, kernel, step in zip(x.shape[2:], size, stride, strict=True):
        total = max((-(-length // step) - 1) * step + kernel - length, 0)
        padding = [total // 2, total - total // 2, *padding]
    return functional.pad(x, padding)
