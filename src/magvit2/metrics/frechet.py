"""Fréchet distance of Gaussians fitted to features, streamed: mean and scatter in float64, memory constant in samples.

d^2 = |m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1^(1/2) S2 S1^(1/2))^(1/2))  (Dowson & Landau 1982; FID: arXiv 1706.08500).
The last trace is the sum of the singular values of L1^T L2 with S = L L^T: no complex numbers, and no square root of
rounding errors where covariances are singular.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from magvit2.errors import InputError
from magvit2.features import Embedding

FRAMES_PER_PASS = 32  # what goes through a network at once, so that long clips do not fill the memory


class Gaussian:
    """Mean and covariance of samples that come in batches; the batches' sizes do not matter, nor who counted them.

    Batches are merged as in Chan, Golub & LeVeque 1979.
    """

    def __init__(self) -> None:
        self.num_samples = 0
        self._mean = torch.zeros(0, dtype=torch.float64)
        self._scatter = torch.zeros(0, 0, dtype=torch.float64)

    def add(self, features: Float[Tensor, "n d"]) -> None:
        """Count n samples. Raises InputError for anything but [n, d] of the dimension so far, NaN or infinity."""
        if features.ndim != 2 or not features.shape[1]:
            raise InputError(f"features of shape {list(features.shape)}: expected [samples, dimensions]")
        if not torch.isfinite(features).all():
            raise InputError("features hold NaN or infinity: expected finite numbers")
        x = features.detach().cpu().double()
        if len(x):
            mean = x.mean(dim=0)
            self._absorb(len(x), mean, (x - mean).T @ (x - mean))

    def merge(self, other: "Gaussian") -> None:
        """Count what another one has counted, of another process, say. Raises InputError for another dimension."""
        if other.num_samples:
            self._absorb(other.num_samples, other._mean, other._scatter)

    @property
    def mean(self) -> Float[Tensor, " d"]:
        """The samples' mean, float64. Raises InputError without samples."""
        if not self.num_samples:
            raise InputError("no samples: expected 2 or more")
        return self._mean.clone()

    def covariance(self, ddof: int = 1) -> Float[Tensor, "d d"]:
        """Return the scatter over n - ddof, float64. Raises InputError for fewer than 2 samples."""
        if self.num_samples < 2:
            raise InputError(f"{self.num_samples} sample(s): a covariance expects 2 or more")
        return self._scatter / (self.num_samples - ddof)

    def to_tensors(self) -> dict[str, Tensor]:
        """Return all that it holds, to be sent to another process or kept in a file."""
        count = torch.tensor(self.num_samples, dtype=torch.int64)
        return {"num_samples": count, "mean": self._mean.clone(), "scatter": self._scatter.clone()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Return what `to_tensors` has written. Raises InputError for other names."""
        if set(tensors) != {"num_samples", "mean", "scatter"}:
            raise InputError(f"tensors {sorted(tensors)}: expected mean, num_samples and scatter")
        gaussian = cls()
        gaussian._absorb(int(tensors["num_samples"]), tensors["mean"].double(), tensors["scatter"].double())
        return gaussian

    def _absorb(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        if not self.num_samples:
            self.num_samples, self._mean, self._scatter = count, mean.clone(), scatter.clone()
            return
        if len(mean) != len(self._mean):
            raise InputError(f"features of {len(mean)} dimensions: the ones before had {len(self._mean)}")
        total = self.num_samples + count
        shift = mean - self._mean
        self._mean = self._mean + shift * (count / total)
        self._scatter += scatter
        self._scatter.addr_(shift, shift, alpha=self.num_samples * count / total)
        self.num_samples = total


def frechet_distance(one: Gaussian, two: Gaussian, ddof: int = 1) -> float:
    """Return the squared Fréchet distance of two sets of samples, 0 or more, also where they are fewer than dimensions.

    Raises InputError for fewer than 2 samples on a side, or for different dimensions.
    """
    first, second = one.covariance(ddof), two.covariance(ddof)
    if first.shape != second.shape:
        raise InputError(
            f"features of {len(first)} and {len(second)} dimensions: expected the same network on both sides"
        )
    shift = (one.mean - two.mean).square().sum()
    overlap = torch.linalg.svdvals(_factor(first).T @ _factor(second)).sum()
    return max(0.0, float(shift + first.trace() + second.trace() - 2 * overlap))


def _factor(covariance: Float[Tensor, "d d"]) -> Float[Tensor, "d r"]:
    """Return L of full column rank with L L^T = covariance, its null space (and what rounding makes of it) left out."""
    values, vectors = torch.linalg.eigh(covariance)
    least = len(values) * torch.finfo(values.dtype).eps * float(values.max().clamp_min(0))
    kept = values > least
    return vectors[:, kept] * values[kept].sqrt()


class FrechetDistance:
    """Fréchet distance of real and generated items under one embedding; generated ones may come in folds.

    Every fold is held against all real items; `value` is the mean over folds and `spread` their standard deviation
    (over the number of folds; 0 for one). MAGVIT reports 4 folds.
    """

    def __init__(self, embed: Embedding, num_folds: int = 1) -> None:
        if num_folds < 1:
            raise InputError(f"num_folds = {num_folds}: expected 1 or more")
        self._embed = embed
        self._real = Gaussian()
        self._folds = [Gaussian() for _ in range(num_folds)]

    def add_real(self, items: UInt8[np.ndarray, "n *item"]) -> None:
        """Count real frames [n, H, W, 3] or clips [n, T, H, W, 3], as the embedding has it."""
        self._count(self._real, items)

    def add(self, items: UInt8[np.ndarray, "n *item"], fold: int = 0) -> None:
        """Count generated or reconstructed items of one fold, 0 to num_folds - 1."""
        if not 0 <= fold < len(self._folds):
            raise InputError(f"fold {fold}: expected 0 to {len(self._folds) - 1}")
        self._count(self._folds[fold], items)

    def _count(self, side: Gaussian, items: UInt8[np.ndarray, "n *item"]) -> None:
        step = max(1, FRAMES_PER_PASS // max(1, self._embed.num_frames))
        for start in range(0, len(items), step):
            side.add(self._embed(items[start : start + step]))

    def merge(self, other: "FrechetDistance") -> None:
        """Count what another process has counted. Raises InputError where the protocols differ."""
        if (other._embed.protocol, len(other._folds)) != (self._embed.protocol, len(self._folds)):
            raise InputError(f"merging {other.protocol!r} into {self.protocol!r}: expected one protocol")
        self._real.merge(other._real)
        for mine, theirs in zip(self._folds, other._folds, strict=True):
            mine.merge(theirs)

    @property
    def folds(self) -> list[float]:
        """The distance of every fold. Raises InputError where a side has fewer than 2 samples."""
        return [frechet_distance(self._real, fold, self._embed.ddof) for fold in self._folds]

    @property
    def value(self) -> float:
        """Mean distance over folds. Raises as `folds`."""
        return float(np.mean(self.folds))

    @property
    def spread(self) -> float:
        """Standard deviation over folds. Raises as `folds`."""
        return float(np.std(self.folds))

    @property
    def name(self) -> str:
        """The metric's name, the embedding's."""
        return self._embed.name

    @property
    def protocol(self) -> str:
        """What makes the number comparable: the embedding's protocol, samples, folds, the covariance's divisor."""
        fewest = min(fold.num_samples for fold in self._folds)
        folds = f" x {len(self._folds)} folds" if len(self._folds) > 1 else ""
        divisor = f"n - {self._embed.ddof}" if self._embed.ddof else "n"
        return f"{self._embed.protocol}; {self._real.num_samples} real, {fewest}{folds}, covariance over {divisor}"
