"""Discriminators small enough to know: a few hundred parameters, and two that are formulas."""

import torch
from torch import Tensor, nn

from magvit2.adversarial import Discriminator, DiscriminatorConfig

SIZE = (5, 6, 7)


def tiny_discriminator(**changes: object) -> Discriminator:
    """For clips of 5 frames of 6x7 pixels, or with head="pool" of any size; float64."""
    settings = {"base_channels": 3, "channel_multipliers": (1, 2), **changes}
    sides = dict(zip(("num_frames", "height", "width"), SIZE, strict=True))
    return Discriminator(DiscriminatorConfig(**{**sides, **settings})).double()


def random_clips(generator: torch.Generator, batch: int = 3, size: tuple[int, int, int] = SIZE) -> Tensor:
    """Uniform noise in [-1, 1]."""
    return torch.rand(batch, 3, *size, generator=generator, dtype=torch.float64) * 2 - 1


class Linear(nn.Module):
    """D(x) = slope . x."""

    def __init__(self, slope: Tensor) -> None:
        super().__init__()
        self.slope = nn.Parameter(slope)

    def forward(self, clips: Tensor) -> Tensor:
        return (clips * self.slope).sum(dim=(1, 2, 3, 4))


class Quadratic(nn.Module):
    """D(x) = curvature / 2 * |x|^2."""

    def __init__(self, curvature: float) -> None:
        super().__init__()
        self.curvature = nn.Parameter(torch.tensor(curvature, dtype=torch.float64))

    def forward(self, clips: Tensor) -> Tensor:
        return self.curvature / 2 * clips.square().sum(dim=(1, 2, 3, 4))
