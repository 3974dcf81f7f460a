"""What the caller asks for, checked: how many samples, of which classes, under which guidance."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor, nn

from magvit2.errors import InputError
from magvit2.geometry import Size
from magvit2.lm.config import LMConfig
from magvit2.sampling.settings import CausalSampling, Guidance, MaskedSampling

S = TypeVar("S", MaskedSampling, CausalSampling)
Label = int | Sequence[int] | Int[Tensor, " b"] | None
"""The class of all samples, or of each; None, or the number of classes for one of them: no class."""


def count_samples(label: Label, num_samples: int | None, **given: Tensor | None) -> int:
    """Return the number of samples: that of the labels, of the batches `given` by name, or `num_samples`; else 1.

    Raises InputError where they do not agree, or are less than 1.
    """
    counts = {name: len(batch) for name, batch in given.items() if batch is not None}
    if isinstance(label, Sequence) or (isinstance(label, Tensor) and label.ndim):
        counts["label"] = len(label)
    if num_samples is not None:
        counts["num_samples"] = num_samples
    if len(set(counts.values())) > 1 or min(counts.values(), default=1) < 1:
        raise InputError(f"samples by {counts}: expected one number, 1 or more, for all")
    return next(iter(counts.values()), 1)


def labels_of(config: LMConfig, label: Label, num_samples: int) -> Int[Tensor, " b"]:
    """Return the label of each sample, on the CPU; `config.num_classes` is "none", and may be given too.

    Raises InputError for a label that is no class, naming those.
    """
    if label is None:
        return torch.full((num_samples,), config.num_classes)
    labels = torch.as_tensor(label).cpu().long().expand(num_samples)
    wrong = labels[(labels < 0) | (labels > config.num_classes)]
    if not len(wrong):
        return labels
    if not config.num_classes:
        raise InputError(f"label {int(wrong[0])}: this model knows no classes; generate without a label")
    names = f" ({', '.join(config.class_names)})" if config.class_names else ""
    raise InputError(f"label {int(wrong[0])}: expected 0 to {config.num_classes - 1}{names}")


def check_guidance(config: LMConfig, label: Label, guidance: Guidance) -> None:
    """Raise InputError for guidance where there is nothing to guide towards: no classes, or no label."""
    if guidance.scale and not config.num_classes:
        raise InputError(f"guidance of scale {guidance.scale}: this model knows no classes; generate without guidance")
    if guidance.scale and label is None:
        raise InputError(f"guidance of scale {guidance.scale} without a label: expected one, or a scale of 0")


def check_ids(name: str, ids: Tensor, grid: Size) -> None:
    """Raise InputError for ids of another shape than [b, *grid], or that are no integers."""
    if ids.ndim != 4 or tuple(ids.shape[1:]) != grid or ids.dtype.is_floating_point or ids.dtype == torch.bool:
        shape = ", ".join(map(str, grid))
        raise InputError(f"{name} {list(ids.shape)} of {ids.dtype}: expected integers [b, {shape}], as the grid is")


def with_changes(settings: S, **changes: Any) -> S:
    """Return settings with those changes that are not None. Raises ConfigError for impossible ones."""
    return dataclasses.replace(settings, **{name: value for name, value in changes.items() if value is not None})


@contextmanager
def for_sampling(lm: nn.Module) -> Iterator[None]:
    """Compute without gradients and without dropout in the block."""
    was_training = lm.training
    if was_training:
        lm.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        if was_training:
            lm.train()
