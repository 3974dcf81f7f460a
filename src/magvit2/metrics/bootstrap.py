"""How sure a mean over clips is: percentile bootstrap (Efron 1979), clips drawn with replacement."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from magvit2.errors import InputError

_CHUNK = 2**22  # draws held at a time


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its confidence interval, in the values' unit."""

    mean: float
    low: float
    high: float


def bootstrap_mean(
    values: Sequence[float], generator: torch.Generator, level: float = 0.95, num_resamples: int = 2000
) -> Interval:
    """Return the mean of one value per clip, and the percentile interval that holds `level` of the resampled means.

    For the difference of two methods give the clips' differences. One value has an interval of no width; with few
    clips (under 20, say) the interval is too narrow. Deterministic for a generator's state. Raises InputError for no
    values, values that are not finite, a level outside 0 .. 1 and no resamples.
    """
    if not 0 < level < 1 or num_resamples < 1:
        raise InputError(
            f"level {level}, {num_resamples} resamples: expected a level inside 0 .. 1, one resample or more"
        )
    x = torch.tensor(values, dtype=torch.float64)
    if not len(x) or not bool(x.isfinite().all()):
        raise InputError(f"got {len(x)} values, {int((~x.isfinite()).sum())} not finite; expected one number per clip")
    rows = max(1, _CHUNK // len(x))
    means = torch.cat([_means(x, min(rows, num_resamples - done), generator) for done in range(0, num_resamples, rows)])
    tail = (1 - level) / 2
    ends = torch.quantile(means, torch.tensor([tail, 1 - tail], dtype=torch.float64))
    return Interval(float(x.mean()), float(ends[0]), float(ends[1]))


def _means(x: torch.Tensor, num: int, generator: torch.Generator) -> torch.Tensor:
    """Return the means of `num` resamples as large as x."""
    draws = torch.randint(len(x), (num, len(x)), generator=generator)
    return x[draws].mean(dim=1)
