"""FID and Inception score from one network (arXiv 1706.08500, 1606.03498), streamed: memory constant in samples."""

import math
from collections.abc import Mapping
from typing import Self

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


class ClassScore:
    """exp of the mean Kullback-Leibler divergence of class probabilities from their mean, of one set of samples.

    Streamed: sums in float64, whatever the batches and whoever counted them.
    """

    def __init__(self) -> None:
        self.num_samples = 0
        self._sum = torch.zeros(0, dtype=torch.float64)
        self._negentropy = 0.0

    def add(self, probabilities: Float[Tensor, "n k"]) -> None:
        """Count class probabilities as they are. Raises InputError where a row is not a distribution."""
        p = _checked(probabilities)
        self._absorb(len(p), p.sum(dim=0), float(torch.special.xlogy(p, p).sum()))

    def merge(self, other: "ClassScore") -> None:
        """Count what another one has counted. Raises InputError for another number of classes."""
        if other.num_samples:
            self._absorb(other.num_samples, other._sum, other._negentropy)

    @property
    def value(self) -> float:
        """The score, 1 to the number of classes. Raises InputError without samples."""
        if not self.num_samples:
            raise InputError("no samples: a score expects 1 or more")
        mean = self._sum / self.num_samples
        return math.exp(self._negentropy / self.num_samples - float(torch.special.xlogy(mean, mean).sum()))

    def to_tensors(self) -> dict[str, Tensor]:
        """Return all that it holds, to be sent to another process or kept in a file."""
        count = torch.tensor(self.num_samples, dtype=torch.int64)
        return {
            "num_samples": count,
            "sum": self._sum.clone(),
            "negentropy": torch.tensor(self._negentropy, dtype=torch.float64),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Return what `to_tensors` has written. Raises InputError for other names."""
        if set(tensors) != {"num_samples", "sum", "negentropy"}:
            raise InputError(f"tensors {sorted(tensors)}: expected negentropy, num_samples and sum")
        score = cls()
        score._absorb(int(tensors["num_samples"]), tensors["sum"].double(), float(tensors["negentropy"]))
        return score

    def _absorb(self, count: int, total: Tensor, negentropy: float) -> None:
        if not len(self._sum):
            self._sum = torch.zeros_like(total)
        if len(total) != len(self._sum):
            raise InputError(f"probabilities of {len(total)} classes: the ones before had {len(self._sum)}")
        self._sum = self._sum + total
        self._negentropy += negentropy
        self.num_samples += count


class InceptionScore:
    """exp of the mean Kullback-Leibler divergence of class probabilities from their mean, over splits of the samples.

    Sample i belongs to split i mod `num_splits`, whatever the batches: splits of samples that come class by class then
    hold all classes, which the contiguous ones of the first implementation do not. Everything is summed in float64.
    """

    def __init__(self, network: InceptionNetwork, num_splits: int = NUM_SPLITS) -> None:
        if num_splits < 1:
            raise InputError(f"num_splits = {num_splits}: expected 1 or more")
        self._network = network
        self._splits = [ClassScore() for _ in range(num_splits)]

    @property
    def num_samples(self) -> int:
        """Number of frames counted."""
        return sum(split.num_samples for split in self._splits)

    def add(self, items: UInt8[np.ndarray, "n H W 3"]) -> None:
        """Count generated frames."""
        for start in range(0, len(items), FRAMES_PER_PASS):
            self.add_probabilities(self._network.probabilities(items[start : start + FRAMES_PER_PASS]))

    def add_probabilities(self, probabilities: Float[Tensor, "n k"]) -> None:
        """Count class probabilities as they are. Raises InputError where a row is not a distribution."""
        p, num_before, num_splits = _checked(probabilities), self.num_samples, len(self._splits)
        for number, split in enumerate(self._splits):
            split.add(p[(number - num_before) % num_splits :: num_splits])

    def merge(self, other: "InceptionScore") -> None:
        """Count what another process has counted. Raises InputError where the protocols differ."""
        if (other._network.probabilities_protocol, len(other._splits)) != (
            self._network.probabilities_protocol,
            len(self._splits),
        ):
            raise InputError(f"merging {other.protocol!r} into {self.protocol!r}: expected one protocol")
        for mine, theirs in zip(self._splits, other._splits, strict=True):
            mine.merge(theirs)

    @property
    def splits(self) -> list[float]:
        """The score of every split, 1 to the number of classes. Raises InputError where a split is empty."""
        if not all(split.num_samples for split in self._splits):
            raise InputError(f"{self.num_samples} samples: {len(self._splits)} splits expect at least one each")
        return [split.value for split in self._splits]

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
            f"{len(self._splits)} interleaved splits"
        )


def _checked(probabilities: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """Return distributions in float64, on the CPU. Raises InputError where a row is none."""
    p = probabilities.detach().cpu().double()
    if p.ndim != 2 or not _are_distributions(p):
        raise InputError("class probabilities: expected rows of 0 or more that sum to 1")
    return p


def _are_distributions(p: Float[Tensor, "n k"]) -> bool:
    is_valid = p.isfinite().all() and (p >= 0).all() and torch.allclose(p.sum(dim=1), p.new_ones(()), atol=1e-3)
    return bool(is_valid)
