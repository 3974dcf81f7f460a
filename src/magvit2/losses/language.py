"""Losses of language models: cross-entropy of a token's factors, in nats."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


def masked_losses(
    logits: tuple[Float[Tensor, "b t h w _k"], ...],
    factors: Int[Tensor, "b t h w f"],
    weights: Float[Tensor, "b t h w f"],
    smoothing: float = 0.0,
) -> Float[Tensor, " f"]:
    """Return the cross-entropy of each factor: mean over a clip's weighted positions, then over clips (MAGVIT, eq. 2).

    A clip without weight on a factor counts as 0 of it. `smoothing` of the target's probability is spread over all
    values.
    """
    losses = []
    for factor, of_factor in enumerate(logits):
        weight = weights[..., factor].flatten(1)
        nats = functional.cross_entropy(
            of_factor.float().flatten(0, 3), factors[..., factor].flatten(), reduction="none", label_smoothing=smoothing
        ).view_as(weight)
        losses.append(((nats * weight).sum(1) / weight.sum(1).clamp_min(1)).mean())
    return torch.stack(losses)


def causal_losses(
    logits: Float[Tensor, "b n v"], targets: Int[Tensor, "b n"], num_factors: int, smoothing: float = 0.0
) -> Float[Tensor, " f"]:
    """Return the cross-entropy of each factor of next tokens, over the whole vocabulary: mean over positions."""
    nats = functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), reduction="none", label_smoothing=smoothing
    )
    return nats.view(-1, num_factors).mean(0)


def bits_per_token(losses: Float[Tensor, " f"]) -> Float[Tensor, ""]:
    """Return what a token costs in bits, all its factors together."""
    return losses.sum() / math.log(2)
