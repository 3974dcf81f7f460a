"""What keeps the discriminator from winning too well: a penalty on its slope, and one on its distance to its past."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from magvit2.errors import ConfigError


class RealGradient(NamedTuple):
    """The R1 penalty, a scalar, and the logits [b] of the real clips, which came with it."""

    penalty: Float[Tensor, ""]
    logits: Float[Tensor, " b"]


def r1_penalty(discriminator: nn.Module, clips: Float[Tensor, "b 3 T H W"]) -> RealGradient:
    """Return E[||dD/dx||^2] over real clips: summed over pixels, averaged over the batch, no factor of one half.

    R1 of arXiv 1801.04406. Its own gradient is a second derivative of D. Therefore it is computed in float32 (or in
    float64 for such clips), autocast or not, and by the module's `forward` itself: a module that was compiled in place
    (`module.compile()`) takes part uncompiled, as compiled code has no second derivative.
    """
    with torch.autocast(clips.device.type, enabled=False), torch.enable_grad():
        pixels = clips.detach().to(torch.promote_types(clips.dtype, torch.float32)).requires_grad_()
        logits = discriminator.forward(pixels)
        (slopes,) = torch.autograd.grad(logits.sum(), pixels, create_graph=True)
        return RealGradient(slopes.square().sum() / len(clips), logits)


class LeCAM(nn.Module):
    """Penalty on logits that leave the other side's running average behind (arXiv 2104.03310), on batch means.

    The averages `real` and `fake` start at 0 and keep `decay` of themselves at an update. They are buffers: the state
    dict carries them. Raises ConfigError for a share outside 0 .. 1.
    """

    real: Tensor
    fake: Tensor

    def __init__(self, decay: float = 0.999) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ConfigError(f"LeCAM's decay = {decay}: expected 0 or more and less than 1")
        self.decay = decay
        self.register_buffer("real", torch.zeros(()))
        self.register_buffer("fake", torch.zeros(()))

    def forward(self, real_mean: Float[Tensor, ""], fake_mean: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Return relu(real_mean - average of fake)^2 + relu(average of real - fake_mean)^2; nothing is updated."""
        return functional.relu(real_mean - self.fake).square() + functional.relu(self.real - fake_mean).square()

    @torch.no_grad()
    def update(self, real_mean: Float[Tensor, ""], fake_mean: Float[Tensor, ""]) -> None:
        """Move the averages towards the mean logits of a batch: under several processes, those of the whole batch."""
        self.real.lerp_(real_mean.to(self.real.dtype), 1 - self.decay)
        self.fake.lerp_(fake_mean.to(self.fake.dtype), 1 - self.decay)
