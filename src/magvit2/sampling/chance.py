"""Chance: every sample has a generator of its own, so it comes out the same alone and in a batch of any size.

The noise is the same to the bit, on every device. A model's logits may differ in their last bits between batch sizes
and devices; where two values are so close to even that this decides, so may the sample.
"""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from magvit2.errors import InputError

Chance = torch.Generator | Sequence[torch.Generator] | None
"""One generator to draw each sample's seed from, or one for each sample; none: torch's own gives the seeds."""

_LEAST, _MOST = 2.0**-30, 1 - 2.0**-23  # in float32, u times a sum is then always below that sum


def generators_for(seeds: Iterable[int]) -> list[torch.Generator]:
    """Return a generator for each sample from its seed."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def sample_generators(chance: Chance, num_samples: int) -> list[torch.Generator]:
    """Return the generators of `num_samples` samples; a single one gives a seed of 63 bits for each, in order.

    Raises InputError for another number of generators, or some that are not the CPU's.
    """
    if chance is None or isinstance(chance, torch.Generator):
        device = "cpu" if chance is None else chance.device
        seed = torch.empty((), dtype=torch.int64, device=device)
        return generators_for(int(seed.random_(0, 2**63 - 1, generator=chance)) for _ in range(num_samples))
    if len(chance) != num_samples or any(each.device.type != "cpu" for each in chance):
        raise InputError(f"{len(chance)} generators for {num_samples} samples: expected one on the CPU for each")
    return list(chance)


def uniform_noise(generators: Sequence[torch.Generator], shape: tuple[int, ...]) -> Float[Tensor, "b *shape"]:
    """Return noise of a shape for each sample, on the CPU, even between 0 and 1 without either."""
    return torch.stack([torch.rand(shape, generator=each) for each in generators]).clamp_(_LEAST, _MOST)


def gumbel_noise(generators: Sequence[torch.Generator], shape: tuple[int, ...]) -> Float[Tensor, "b *shape"]:
    """Return noise of a shape for each sample, on the CPU, of Gumbel's distribution."""
    return -uniform_noise(generators, shape).log().neg().log()
