"""Top-1 and top-5 accuracy, probabilities averaged over the views of a clip."""

import math

from jaxtyping import Float, Int
from torch import Tensor

from magvit2.errors import InputError


class Accuracy:
    """Counts clips whose class is among the first 1 and 5 by the mean of their views' probabilities.

    A class that ties with the right one stands before it, so that a classifier that says nothing scores 0.
    """

    def __init__(self, num_classes: int) -> None:
        if num_classes < 2:
            raise InputError(f"num_classes = {num_classes}: expected 2 or more")
        self.num_classes = num_classes
        self.num_clips = 0
        self._views: set[int] = set()
        self._hits = {1: 0, 5: 0}

    def add(self, logits: Float[Tensor, "b v k"], labels: Int[Tensor, " b"]) -> None:
        """Count clips by the logits of their views. Raises InputError for other numbers of classes or labels, NaN."""
        if logits.ndim != 3 or logits.shape[2] != self.num_classes or not logits.shape[1]:
            raise InputError(f"logits of shape {list(logits.shape)}: expected [b, views, {self.num_classes}]")
        if len(labels) != len(logits):
            raise InputError(f"{len(labels)} labels of {len(logits)} clips: expected one for each")
        if not bool(logits.isfinite().all()):
            raise InputError("logits hold NaN or infinity: expected finite numbers")
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.num_classes:
            raise InputError(f"labels {labels.tolist()}: expected 0 to {self.num_classes - 1}")
        probabilities = logits.detach().cpu().double().softmax(dim=2).mean(dim=1)
        right = probabilities.gather(1, labels.cpu().long()[:, None])
        rank = (probabilities >= right).sum(dim=1)  # 1 for the first
        for depth in self._hits:
            self._hits[depth] += int((rank <= depth).sum())
        self.num_clips += len(labels)
        self._views.add(logits.shape[1])

    def merge(self, other: "Accuracy") -> None:
        """Count what another process has counted. Raises InputError for another number of classes."""
        if other.num_classes != self.num_classes:
            raise InputError(f"merging {other.num_classes} classes into {self.num_classes}: expected the same")
        for depth, hits in other._hits.items():
            self._hits[depth] += hits
        self.num_clips += other.num_clips
        self._views |= other._views

    @property
    def top1(self) -> float:
        """Share of clips whose class comes first; nan without clips."""
        return self._hits[1] / self.num_clips if self.num_clips else math.nan

    @property
    def top5(self) -> float:
        """Share of clips whose class is among the first 5; nan without clips, and for 5 classes or fewer."""
        return self._hits[5] / self.num_clips if self.num_clips and self.num_classes > 5 else math.nan

    @property
    def value(self) -> float:
        """Top-1."""
        return self.top1

    @property
    def protocol(self) -> str:
        """Clips, classes, views."""
        views = "/".join(str(count) for count in sorted(self._views)) or "no"
        return f"top-1, top-5: {self.num_clips} clips, {self.num_classes} classes, mean probability of {views} view(s)"
