"""FID and Inception score from one network (arXiv 1706.08500, 1606.03498), streamed: memory constant in samples."""

import math

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from magvit2.errors import InputError
from magvit2.features import InceptionNetwork
from magvit2.metrics.frechet import FRAMES_PER_PASS, FrechetDistance

NUM_SPLITS = 10


def fid(network: InceptionNetwork) -> FrechetDistance:
    """Return an accumulator of the Fréchet Inception distance; frames [n, H, W, 3] of any size, uint8.

    The paper's numbers are of 50,000 class-balanced samples against the statistics of ADM's suite. The reference of a
    reconstruction's FID is the same crops of the same images.
    """
    return FrechetDistance(network)


class InceptionScore:
    """exp of the mean Kullback-Leibler divergence of class probabilities from their mean, over splits of the samples.

    Sample i belongs to split i mod `num_splits`, whatever the batches: splits of samples that come class by class then
    hold all classes, which the contiguous ones of the first implementation do not. Everything is summed in float64.
    """

    def __init__(self, network: InceptionNetwork, num_splits: int = NUM_SPLITS) -> None:
        if num_splits < 1:
            raise InputError(f"num_splits = {num_splits}: expected 1 or more")
        self._network = network
        self._counts = torch.zeros(num_splits, dtype=torch.float64)
        self._sums = torch.zeros(num_splits, 0, dtype=torch.float64)
        self._negentropies = torch.zeros(num_splits, dtype=torch.float64)

    @property
    def num_samples(self) -> int:
        """Number of frames counted."""
        return int(self._counts.sum())

    def add(self, items: UInt8[np.ndarray, "n H W 3"]) -> None:
        """Count generated frames."""
        for start in range(0, len(items), FRAMES_PER_PASS):
            self.add_probabilities(self._network.probabilities(items[start : start + FRAMES_PER_PASS]))

    def add_probabilities(self, probabilities: Float[Tensor, "n k"]) -> None:
        """Count class probabilities as they are. Raises InputError where a row is not a distribution."""
        p = probabilities.detach().cpu().double()
        if not (torch.isfinite(p).all() and (p >= 0).all() and torch.allclose(p.sum(dim=1), p.new_ones(()), atol=1e-3)):
            raise InputError("class probabilities: expected rows of 0 or more that sum to 1")
        if not self._sums.shape[1]:
            self._sums = p.new_zeros(len(self._counts), p.shape[1])
        if p.shape[1] != self._sums.shape[1]:
            raise InputError(f"probabilities of {p.shape[1]} classes: the ones before had {self._sums.shape[1]}")
        split = (torch.arange(len(p)) + self.num_samples) % len(self._counts)
        self._sums.index_add_(0, split, p)
        self._negentropies.index_add_(0, split, torch.special.xlogy(p, p).sum(dim=1))
        self._counts.index_add_(0, split, p.new_ones(len(p)))

    def merge(self, other: "InceptionScore") -> None:
        """Count what another process has counted. Raises InputError where the protocols differ."""
        if (other._network.probabilities_protocol, len(other._counts)) != (
            self._network.probabilities_protocol,
            len(self._counts),
        ):
            raise InputError(f"merging {other.protocol!r} into {self.protocol!r}: expected one protocol")
        if not self._sums.shape[1]:
            self._sums = other._sums.clone()
        elif other._sums.shape[1]:
            self._sums += other._sums
        self._counts += other._counts
        self._negentropies += other._negentropies

    @property
    def splits(self) -> list[float]:
        """The score of every split, 1 to the number of classes. Raises InputError where a split is empty."""
        if not bool((self._counts > 0).all()):
            raise InputError(f"{self.num_samples} samples: {len(self._counts)} splits expect at least one each")
        means = self._sums / self._counts[:, None]
        divergences = self._negentropies / self._counts - torch.special.xlogy(means, means).sum(dim=1)
        return [math.exp(value) for value in divergences.tolist()]

    @property
    def value(self) -> float:
        """Mean score over splits. Raises as `splits`."""
        return float(np.mean(self.splits))

    @property
    def spread(self) -> float:
        """Standard deviation over splits. Raises as `splits`."""
        return float(np.std(self.splits))

    @property
    def protocol(self) -> str:
        """Network, digest, preprocessing, samples, splits."""
        return (
            f"is: {self._network.probabilities_protocol}; {self.num_samples} samples, "
            f"{len(self._counts)} interleaved splits"
        )
