"""How near samples are to what a model was trained on, and whether a classifier takes them for what they should be.

All of it on features of a network that never saw the training: for each sample the distance to the nearest training
clip, beside the same of held-out clips. A model that has learnt its clips by heart makes samples nearer to them than
anything new is.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from magvit2.errors import InputError

_RIDGE = 1e-2


class Nearest(NamedTuple):
    """Of each sample the nearest training clip, by its place, and how far it is."""

    places: Int[Tensor, " n"]
    distances: Float[Tensor, " n"]


def nearest(features: Float[Tensor, "n d"], training: Float[Tensor, "m d"]) -> Nearest:
    """Return the nearest training clip of each sample, by Euclidean distance. Raises InputError without any."""
    if not len(features) or not len(training):
        raise InputError(f"{len(features)} samples, {len(training)} training clips: expected one or more of each")
    found = torch.cdist(features.double(), training.double()).min(dim=1)
    return Nearest(found.indices, found.values.float())


def share_nearer(samples: Float[Tensor, " n"], held_out: Float[Tensor, " m"]) -> float:
    """Return the chance that a sample is nearer to the training clips than a held-out clip is; equal counts half.

    0.5 is what new clips of the same kind would have, 1 what copies have. Both are distances, as `nearest` gives them.
    """
    nearer = (samples[:, None] < held_out[None]).double() + (samples[:, None] == held_out[None]).double() / 2
    return float(nearer.mean())


class LinearClassifier:
    """Ridge regression of classes on standardised features: small, without chance, and the same each time."""

    def __init__(self, features: Float[Tensor, "n d"], labels: Int[Tensor, " n"], num_classes: int) -> None:
        x = features.double()
        self._mean, self._scale = x.mean(0), x.std(0).clamp_min(1e-6)
        x = self._with_one(x)
        targets = torch.nn.functional.one_hot(labels, num_classes).double()
        weight = _RIDGE * len(x) * torch.eye(x.shape[1], dtype=x.dtype)
        self._matrix = torch.linalg.solve(x.T @ x + weight, x.T @ targets)

    def __call__(self, features: Float[Tensor, "n d"]) -> Int[Tensor, " n"]:
        """Return the class of each."""
        return (self._with_one(features.double()) @ self._matrix).argmax(dim=1)

    def accuracy(self, features: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> float:
        """Return the share that is taken for its class."""
        return float((self(features) == labels).double().mean())

    def _with_one(self, x: Tensor) -> Tensor:
        x = (x - self._mean) / self._scale
        return torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
