"""The entropy penalty of lookup-free quantization (MAGVIT-v2, equation 5), without a table of tokens x codebook.

The soft assignment of a latent z to a code c in {-1, +1}^k is softmax_c(2 z.c / temperature). Its bits are independent,
P(bit i = 1 | z) = sigmoid(4 z_i / temperature), and two things follow:

- the entropy of one position is the sum of k binary entropies: O(k), exact;
- the mean distribution over positions is A^T B / n, with A and B the distributions [n, 2^(k/2)] of the two halves of
  the bits: one matrix product, exact, and 2^k numbers once instead of once a token.

Beyond 18 bits the second term is taken over groups of about 8 bits, consecutive and interleaved, and averaged.
"""

import itertools
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from magvit2.errors import InputError

MAX_JOINT_BITS = 18
_MAX_GROUP_BITS = 24
_GROUP_BITS = 8

MeanOverRanks = Callable[[Tensor], Tensor]
"""Averages a tensor over the processes of a run, differentiably."""


class EntropyTerms(NamedTuple):
    """Both terms in nats, scalars. The penalty of equation 5 is `sample - batch`."""

    sample: Float[Tensor, ""]
    batch: Float[Tensor, ""]


def lfq_entropy(
    latents: Float[Tensor, "*positions k"],
    temperature: float = 0.01,
    num_groups: int | None = None,
    *,
    group_reduction: Literal["mean", "sum"] = "mean",
    mean_over_ranks: MeanOverRanks | None = None,
) -> EntropyTerms:
    """Return (sample, batch) entropies in nats of latents [..., k]; always computed in float32 or better.

    `sample`: mean over positions of the summed bit entropies; minimise it and codes are confident. `batch`: entropy of
    the mean distribution; maximise it and codes are used evenly. It is exact in one group, the default up to 18 bits;
    with more groups it is the mean over groups, as the authors' code has it, or with `group_reduction="sum"` an upper
    bound of the joint entropy. `mean_over_ranks` averages the distribution over processes before its entropy is taken.

    Raises InputError for no positions, a temperature <= 0, or groups that are impossible or above 24 bits.
    """
    num_bits = latents.shape[-1]
    groups = default_num_groups(num_bits) if num_groups is None else num_groups
    _check(latents, temperature, groups)
    with torch.autocast(latents.device.type, enabled=False):
        flat = latents.reshape(-1, num_bits)
        logits = flat.to(torch.promote_types(flat.dtype, torch.float32)) * (4.0 / temperature)
        sample = _bernoulli_entropy(logits).sum(dim=-1).mean()
        entropies = [
            _entropy(_mean_distribution(logits[:, bits], mean_over_ranks)) for bits in _groupings(num_bits, groups)
        ]
        batch = torch.stack(entropies).sum() * _scale(groups, len(entropies), group_reduction)
    return EntropyTerms(sample, batch)


def default_num_groups(num_bits: int) -> int:
    """Return 1 up to 18 bits, else ceil(num_bits / 8), the authors' rule."""
    return 1 if num_bits <= MAX_JOINT_BITS else -(-num_bits // _GROUP_BITS)


def _check(latents: Tensor, temperature: float, groups: int) -> None:
    num_bits = latents.shape[-1]
    if latents.numel() == 0:
        raise InputError(f"latents {tuple(latents.shape)}: expected at least one position")
    if not temperature > 0:
        raise InputError(f"temperature = {temperature}: expected a number above 0")
    if not 1 <= groups <= num_bits:
        raise InputError(f"num_groups = {groups}: expected 1 to {num_bits}, the number of bits")
    if -(-num_bits // groups) > _MAX_GROUP_BITS:
        least = -(-num_bits // _MAX_GROUP_BITS)
        raise InputError(
            f"{num_bits} bits in {groups} groups need tables above 2^{_MAX_GROUP_BITS}: use {least} or more"
        )


def _groupings(num_bits: int, groups: int) -> list[list[int]]:
    """Return the bit indices of every group: consecutive runs and, where that differs, interleaved ones."""
    bits = list(range(num_bits))
    bounds = [-(-i * num_bits // groups) for i in range(groups + 1)]
    runs = [bits[a:b] for a, b in itertools.pairwise(bounds)]
    if groups in (1, num_bits):
        return runs
    return runs + [bits[j::groups] for j in range(groups)]


def _scale(groups: int, num_entropies: int, reduction: str) -> float:
    """Average over groups and groupings, or average over groupings the sum over groups."""
    return (groups if reduction == "sum" else 1) / num_entropies


def _bernoulli_entropy(logits: Tensor) -> Tensor:
    """Entropy of sigmoid(logits) in nats: with p the rarer value, -log(1 - p) + |logit| p, exact for small p too."""
    sizes = logits.abs()
    return functional.softplus(-sizes) + sizes * torch.sigmoid(-sizes)


def _mean_distribution(logits: Tensor, mean_over_ranks: MeanOverRanks | None) -> Tensor:
    """Return the mean over positions of the joint distribution [2^high, 2^low] of the bits with `logits` [n, g]."""
    half = logits.shape[-1] // 2
    low, high = _joint(logits[:, :half]), _joint(logits[:, half:])
    mean = high.T @ low / logits.shape[0]
    return mean if mean_over_ranks is None else mean_over_ranks(mean)


def _joint(logits: Tensor) -> Tensor:
    """Return the joint distribution [n, 2^g] of independent bits with `logits` [n, g], least significant bit first.

    Products of probabilities, not a softmax over summed logits: a GPU's reduced-precision matmul would spoil the sums.
    """
    zeros, ones = torch.sigmoid(-logits), torch.sigmoid(logits)
    joint = logits.new_ones(logits.shape[0], 1)
    for bit in range(logits.shape[1]):
        joint = torch.cat([joint * zeros[:, bit : bit + 1], joint * ones[:, bit : bit + 1]], dim=1)
    return joint


def _entropy(distribution: Tensor) -> Tensor:
    """Entropy in nats; the logarithm's argument is clamped so that an unused code gives 0 and a finite gradient."""
    tiny = torch.finfo(distribution.dtype).tiny
    return -(distribution * distribution.clamp_min(tiny).log()).sum()
