"""The GAN losses of logits, for both sides; computed in float32 or better."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

GanKind = Literal["non-saturating", "hinge"]
"""The paper's, softplus (arXiv 1406.2661), or the hinge loss (arXiv 1705.02894), without a factor of one half."""


def generator_loss(fake_logits: Float[Tensor, " b"], kind: GanKind) -> Float[Tensor, ""]:
    """Return the mean loss of the side that wants its clips taken for real."""
    fake = _wide(fake_logits)
    return functional.softplus(-fake).mean() if kind == "non-saturating" else -fake.mean()


def discriminator_loss(
    real_logits: Float[Tensor, " b"], fake_logits: Float[Tensor, " f"], kind: GanKind
) -> Float[Tensor, ""]:
    """Return the sum of the mean losses on real clips and on fake ones."""
    real, fake = _wide(real_logits), _wide(fake_logits)
    if kind == "non-saturating":
        return functional.softplus(-real).mean() + functional.softplus(fake).mean()
    return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()


def _wide(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
