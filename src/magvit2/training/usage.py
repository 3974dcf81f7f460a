"""How well the codebook is used of late: over the last few batches, which one batch alone cannot tell."""

from collections import deque

import torch
from jaxtyping import Int
from torch import Tensor

NUM_BATCHES = 10


class UsageWindow:
    """Holds the ids of the last batches that it was given, `NUM_BATCHES` of them at most."""

    def __init__(self, vocab_size: int) -> None:
        self._vocab_size = vocab_size
        self._batches: deque[Tensor] = deque(maxlen=NUM_BATCHES)

    def add(self, ids: Int[Tensor, "*shape"]) -> None:
        """Take the ids of a batch; those of the oldest one are forgotten."""
        self._batches.append(ids.flatten())

    @property
    def share(self) -> float:
        """Number of distinct ids over the most that there could be: 1 where no id came twice, or all are in use.

        Expects at least one batch.
        """
        ids = torch.cat(list(self._batches))
        return ids.unique().numel() / min(ids.numel(), self._vocab_size)
