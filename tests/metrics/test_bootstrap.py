"""Bootstrap intervals: resamples that can be enumerated, the normal distribution's closed form, and coverage."""

import math

import pytest
import torch

from magvit2.errors import InputError
from magvit2.metrics.bootstrap import bootstrap_mean


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("level", "low", "high"), [(0.9, 0.0, 1.0), (0.4, 0.5, 0.5)])
def test_of_two_values_the_resampled_means_are_known(level: float, low: float, high: float) -> None:
    """The mean of two draws from 0 and 1 is 0, 1/2 or 1 with probability 1/4, 1/2 and 1/4."""
    interval = bootstrap_mean([0.0, 1.0], seeded(), level)
    assert (interval.mean, interval.low, interval.high) == (0.5, low, high)


def test_zeros_and_ones_have_the_binomial_distribution_s_interval() -> None:
    """100 draws of which 30 in 100 are ones: the mean's 2.5% and 97.5% points are 0.21 and 0.39 (exact binomial)."""
    interval = bootstrap_mean([1.0] * 30 + [0.0] * 70, seeded(), num_resamples=20_000)
    assert interval.mean == pytest.approx(0.3)
    assert (interval.low, interval.high) == pytest.approx((0.21, 0.39), abs=0.0101)


@pytest.mark.parametrize(("level", "z"), [(0.95, 1.95996), (0.8, 1.28155)])
def test_many_values_have_the_normal_interval(level: float, z: float) -> None:
    values = torch.randn(400, generator=seeded(1), dtype=torch.float64) * 3 + 20
    interval = bootstrap_mean(values.tolist(), seeded(), level, num_resamples=20_000)
    half = z * float(values.std(correction=0)) / math.sqrt(400)
    assert interval.mean == pytest.approx(float(values.mean()))
    assert interval.low == pytest.approx(interval.mean - half, abs=0.05 * half)
    assert interval.high == pytest.approx(interval.mean + half, abs=0.05 * half)


def test_90_percent_intervals_hold_the_true_mean_about_90_times_in_100() -> None:
    """Of 400 samples of 40; the percentile bootstrap's own shortfall is a percent or so, chance has 1.5."""
    samples = torch.randn(400, 40, generator=seeded(2), dtype=torch.float64) + 5
    intervals = [bootstrap_mean(sample.tolist(), seeded(3), 0.9, 500) for sample in samples]
    coverage = sum(interval.low <= 5 <= interval.high for interval in intervals) / 400
    assert 0.85 < coverage < 0.935


def test_the_generator_decides_and_nothing_else_does() -> None:
    values = [1.0, 5.0, 2.0, 8.0, 3.0]
    torch.manual_seed(1)
    first = bootstrap_mean(values, seeded())
    torch.manual_seed(2)
    assert bootstrap_mean(values, seeded()) == first
    assert bootstrap_mean(values, seeded(7), num_resamples=50) != bootstrap_mean(values, seeded(8), num_resamples=50)


def test_shifting_and_scaling_the_values_shifts_and_scales_the_interval() -> None:
    values = [1.0, 5.0, 2.0, 8.0, 3.0]
    one, other = bootstrap_mean(values, seeded()), bootstrap_mean([10 * v - 3 for v in values], seeded())
    assert (other.mean, other.low, other.high) == pytest.approx([10 * v - 3 for v in (one.mean, one.low, one.high)])


def test_one_clip_and_equal_clips_have_no_width() -> None:
    for values in ([4.0], [4.0] * 9):
        interval = bootstrap_mean(values, seeded())
        assert (interval.mean, interval.low, interval.high) == (4.0, 4.0, 4.0)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_values_that_are_no_numbers_are_refused(values: list[float]) -> None:
    with pytest.raises(InputError, match="expected one number per clip"):
        bootstrap_mean(values, seeded())


@pytest.mark.parametrize(("level", "num"), [(0.0, 10), (1.0, 10), (95.0, 10), (0.9, 0)])
def test_impossible_levels_and_counts_are_refused(level: float, num: int) -> None:
    with pytest.raises(InputError, match=r"expected a level inside 0 \.\. 1"):
        bootstrap_mean([1.0, 2.0], seeded(), level, num)
