"""The tokenizer's own terms: reconstruction, commitment and annealed entropy (MAGVIT-v2, section 3.1)."""

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from magvit2.quantizers import Quantized, lfq_entropy
from magvit2.quantizers.entropy import MeanOverRanks


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms; the defaults are the paper's.

    `reconstruction` is for a squared and `absolute` for an absolute error on the [0, 1] scale. The entropy weight
    starts `entropy_boost` times higher and falls linearly to 1 over `entropy_boost_steps`; its batch term counts
    `diversity` times (the paper: once). `temperature` is that of the soft assignment. With `joint_entropy` the batch
    term is over whole ids; without, it is the sum over bits, as in BSQ (arXiv 2406.07548).
    """

    reconstruction: float = 5.0
    absolute: float = 0.0
    commitment: float = 0.25
    entropy: float = 0.1
    entropy_boost: float = 3.0
    entropy_boost_steps: int = 2000
    diversity: float = 1.0
    temperature: float = 0.01
    joint_entropy: bool = True


class LossTerms(NamedTuple):
    """The unweighted terms, scalars: squared and absolute error on the [0, 1] scale, commitment, entropies in nats.

    Entropies are 0 for codes that are not binary.
    """

    reconstruction: Float[Tensor, ""]
    absolute: Float[Tensor, ""]
    commitment: Float[Tensor, ""]
    sample_entropy: Float[Tensor, ""]
    batch_entropy: Float[Tensor, ""]

    def weighted(self, weights: LossWeights, step: int) -> dict[str, Float[Tensor, ""]]:
        """Return what is added up at a training step, by name; terms without weight are left out."""
        terms = {
            "reconstruction": (weights.reconstruction, self.reconstruction),
            "absolute": (weights.absolute, self.absolute),
            "commitment": (weights.commitment, self.commitment),
            "entropy": (entropy_weight(weights, step), self.sample_entropy - weights.diversity * self.batch_entropy),
        }
        return {name: weight * term for name, (weight, term) in terms.items() if weight}


def tokenizer_loss(
    decoded: Float[Tensor, "b 3 T H W"],
    clips: Float[Tensor, "b 3 T H W"],
    quantized: Quantized,
    weights: LossWeights,
    *,
    code_size: float | None = 1.0,
    mean_over_ranks: MeanOverRanks | None = None,
) -> LossTerms:
    """Return the terms for decoded clips and their originals, both in [-1, 1].

    `code_size` is the absolute value of a binary code's channels; None for other codes, which have no entropy terms.
    """
    error = (decoded.float() - clips.float()) / 2
    sample, batch = _entropies(quantized, weights, code_size, mean_over_ranks)
    return LossTerms(error.square().mean(), error.abs().mean(), commitment_loss(quantized), sample, batch)


def _entropies(
    quantized: Quantized, weights: LossWeights, code_size: float | None, mean_over_ranks: MeanOverRanks | None
) -> tuple[Tensor, Tensor]:
    """Return both entropies of the soft assignment to codes of +-code_size (equation 5; 2 z.c / temperature)."""
    if code_size is None:
        return quantized.latents.new_zeros(()), quantized.latents.new_zeros(())
    return lfq_entropy(
        quantized.latents,
        weights.temperature / code_size,
        num_groups=None if weights.joint_entropy else quantized.latents.shape[-1],
        group_reduction="mean" if weights.joint_entropy else "sum",
        mean_over_ranks=mean_over_ranks,
    )


def commitment_loss(quantized: Quantized) -> Float[Tensor, ""]:
    """Return the mean squared distance of latents to their codes, which do not move."""
    return (quantized.codes.detach().float() - quantized.latents.float()).square().mean()


def entropy_weight(weights: LossWeights, step: int) -> float:
    """Return the entropy weight at a step, annealed linearly from `entropy * entropy_boost` to `entropy`."""
    if weights.entropy_boost_steps <= 0:
        return weights.entropy
    remaining = max(0.0, 1 - step / weights.entropy_boost_steps)
    return weights.entropy * (1 + (weights.entropy_boost - 1) * remaining)
