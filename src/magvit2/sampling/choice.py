"""Choosing a value by its logits: filters, guidance, and the draw that turns one even number into a value."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


def draw(probabilities: Float[Tensor, "*n k"], noise: Float[Tensor, "*n"]) -> Int[Tensor, "*n"]:
    """Return the values where the running sum of the probabilities passes the noise, which is even in 0 to 1.

    The probabilities may sum to anything; a value of probability 0 is never drawn.
    """
    sums = probabilities.cumsum(-1)
    return torch.searchsorted(sums, noise[..., None] * sums[..., -1:], right=True)[..., 0]


def likeliest(logits: Float[Tensor, "*n k"], top_k: int | None, top_p: float | None) -> Float[Tensor, "*n k"]:
    """Return logits of the `top_k` likeliest values, of those the fewest whose sum reaches `top_p`; others are -inf."""
    if top_k is not None:
        best = logits.topk(min(top_k, logits.shape[-1]), dim=-1)
        logits = torch.full_like(logits, -math.inf).scatter(-1, best.indices, best.values)
    if top_p is not None:
        values, order = logits.sort(dim=-1, descending=True, stable=True)
        shares = values.softmax(-1)
        is_over = shares.cumsum(-1) - shares >= top_p
        is_over[..., 0] = False
        logits = logits.scatter(-1, order, values.masked_fill(is_over, -math.inf))
    return logits


def guided(both: Float[Tensor, "two_b *n k"], scale: float) -> Float[Tensor, "b *n k"]:
    """Return guided logits; the first half of `both` are those with a class, the second those without."""
    with_class, without = both.chunk(2)
    return with_class + scale * (with_class - without)
