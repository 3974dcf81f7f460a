"""Fréchet distances: closed forms, SciPy, torchmetrics, singular covariances, and any way to batch samples."""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn
from torch.nn import functional
from torchmetrics.image.fid import FrechetInceptionDistance

from magvit2.errors import InputError
from magvit2.metrics.frechet import FrechetDistance, Gaussian, frechet_distance


def fitted(samples: np.ndarray, sizes: Sequence[int] = ()) -> Gaussian:
    gaussian = Gaussian()
    for part in np.split(samples, np.cumsum(sizes)):
        gaussian.add(torch.from_numpy(part))
    return gaussian


def exact(mean: Sequence[float], deviations: Sequence[float]) -> Gaussian:
    """Two samples an axis that have exactly this mean and these standard deviations (over n)."""
    d = len(mean)
    axes = np.eye(d) * np.array(deviations) * math.sqrt(d)
    return fitted(np.concatenate([axes, -axes]) + np.array(mean))


def by_scipy(one: np.ndarray, two: np.ndarray) -> float:
    first, second = np.cov(one, rowvar=False), np.cov(two, rowvar=False)
    root = sqrtm(first @ second)
    shift = one.mean(0) - two.mean(0)
    return float(shift @ shift + np.trace(first + second - 2 * np.real(root)))


def correlated(n: int, d: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) / math.sqrt(d) + shift


def test_the_closed_form_of_axis_aligned_gaussians() -> None:
    one, two = exact([0, 1, 2], [1, 2, 3]), exact([3, 1, -2], [1, 0.5, 5])
    expected = (9 + 0 + 16) + (0 + 1.5**2 + 2**2)
    assert frechet_distance(one, two, ddof=0) == pytest.approx(expected, rel=1e-12)
    assert one.covariance(0).numpy() == pytest.approx(np.diag([1, 4, 9]), abs=1e-12)


def test_one_dimension() -> None:
    one, two = fitted(np.array([[0.0], [2.0]])), fitted(np.array([[10.0], [16.0]]))
    deviations = math.sqrt(2), math.sqrt(18)
    assert frechet_distance(one, two) == pytest.approx((13 - 1) ** 2 + (deviations[0] - deviations[1]) ** 2)


@pytest.mark.parametrize(("n", "d"), [(50, 3), (400, 40), (1000, 64)])
def test_against_scipy_s_matrix_square_root(n: int, d: int) -> None:
    one, two = correlated(n, d, 0), correlated(n + 7, d, 1, shift=0.3)
    expected = by_scipy(one, two)
    found = frechet_distance(fitted(one), fitted(two))
    print(n, d, found, abs(found / expected - 1))
    assert found == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(fitted(two), fitted(one)) == pytest.approx(found, rel=1e-12)


def test_two_samples_a_side_in_a_thousand_dimensions() -> None:
    """Covariances of rank 1, a a^T and b b^T: the closed form is |shift|^2 + |a|^2 + |b|^2 - 2 |a . b|."""
    one, two = correlated(2, 1000, 0), correlated(2, 1000, 1, shift=0.2)
    a, b = ((x[0] - x[1]) / math.sqrt(2) for x in (one, two))
    expected = ((one.mean(0) - two.mean(0)) ** 2).sum() + a @ a + b @ b - 2 * abs(a @ b)
    assert frechet_distance(fitted(one), fitted(two)) == pytest.approx(expected, rel=1e-10)


def test_no_distance_to_itself_also_where_samples_are_few() -> None:
    for n, d in ((500, 32), (20, 256), (2, 16)):
        samples = correlated(n, d, 0, shift=100.0)
        value = frechet_distance(fitted(samples), fitted(samples[::-1].copy()))
        assert 0 <= value < 1e-9


def test_fewer_samples_than_dimensions_against_the_samples_own_space() -> None:
    """Both sides lie in the span of 20 directions: rotated into it, nothing is singular, and SciPy can be asked."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(300, 20)))[0]
    one, two = correlated(60, 20, 1), correlated(70, 20, 2, shift=1.0)
    expected = by_scipy(one, two)
    assert frechet_distance(fitted(one @ basis.T), fitted(two @ basis.T)) == pytest.approx(expected, rel=1e-9)


def test_gaussians_that_share_no_direction() -> None:
    """The overlap is 0: what is left are both variances."""
    one, two = np.zeros((4, 10)), np.zeros((4, 10))
    one[:, 0], two[:, 5] = [1, -1, 1, -1], [2, -2, 2, -2]
    assert frechet_distance(fitted(one), fitted(two), ddof=0) == pytest.approx(1 + 4, rel=1e-12)


def test_frozen_features_have_no_covariance_and_still_a_distance() -> None:
    one, two = fitted(np.ones((5, 3))), fitted(np.full((5, 3), 3.0))
    assert frechet_distance(one, two) == 12


def test_it_grows_with_noise() -> None:
    samples = correlated(300, 16, 0)
    noise = np.random.default_rng(1).normal(size=samples.shape)
    values = [frechet_distance(fitted(samples), fitted(samples + amount * noise)) for amount in (0, 0.1, 0.3, 1, 3)]
    assert values == sorted(values)
    assert values[0] < 1e-9 < values[1] < values[-1] / 100


@pytest.mark.parametrize("sizes", [[1] * 199, [7, 50, 3], [199], []])
def test_batches_do_not_matter(sizes: list[int]) -> None:
    samples = correlated(200, 24, 0, shift=1000.0)
    whole, parts = fitted(samples), fitted(samples, sizes)
    assert parts.num_samples == 200
    assert parts.mean.numpy() == pytest.approx(whole.mean.numpy(), rel=1e-14)
    gap = (parts.covariance() - whole.covariance()).abs().max() / whole.covariance().abs().max()
    print(len(sizes) + 1, float(gap))
    assert gap < 1e-12
    assert whole.covariance().numpy() == pytest.approx(np.cov(samples, rowvar=False), rel=1e-11, abs=1e-11)


def test_processes_can_be_merged_and_kept() -> None:
    samples = correlated(90, 8, 0, shift=-50.0)
    whole = fitted(samples)
    merged = Gaussian()
    for part in (samples[:1], samples[1:40], samples[:0], samples[40:]):
        merged.merge(Gaussian.from_tensors(fitted(part).to_tensors()) if len(part) else Gaussian())
    assert merged.num_samples == 90
    assert torch.allclose(merged.covariance(), whole.covariance(), rtol=1e-12, atol=1e-12)
    with pytest.raises(InputError, match="expected mean, num_samples and scatter"):
        Gaussian.from_tensors({"mean": torch.zeros(3)})


def test_merging_leaves_the_other_alone() -> None:
    source = fitted(correlated(10, 3, 0))
    before = source.covariance()
    target = Gaussian()
    target.merge(source)
    target.add(torch.ones(5, 3))
    assert torch.equal(source.covariance(), before)


def test_float32_features_are_summed_in_float64() -> None:
    samples = (np.random.default_rng(0).normal(size=(100_000, 2)) + 4096).astype(np.float32)
    assert fitted(samples, [9_999] * 10).covariance().numpy() == pytest.approx(
        np.cov(samples.astype(np.float64), rowvar=False), rel=1e-10, abs=1e-10
    )


@pytest.mark.parametrize(
    ("one", "two", "problem"),
    [
        (np.zeros((0, 3)), np.ones((4, 3)), r"^0 sample\(s\): a covariance expects 2 or more$"),
        (np.ones((4, 3)), np.ones((1, 3)), r"^1 sample\(s\): a covariance expects 2 or more$"),
        (
            np.ones((4, 3)),
            np.ones((4, 5)),
            r"^features of 3 and 5 dimensions: expected the same network",
        ),
    ],
)
def test_what_cannot_be_compared(one: np.ndarray, two: np.ndarray, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        frechet_distance(fitted(one), fitted(two))


def test_features_that_are_no_features() -> None:
    gaussian = fitted(np.ones((2, 3)))
    for bad in (math.nan, math.inf):
        with pytest.raises(InputError, match="features hold NaN or infinity"):
            gaussian.add(torch.tensor([[0.0, bad, 1.0]]))
    with pytest.raises(InputError, match=r"^features of 4 dimensions: the ones before had 3$"):
        gaussian.add(torch.ones(2, 4))
    with pytest.raises(InputError, match="no samples"):
        _ = Gaussian().mean
    assert gaussian.num_samples == 2


class MeanColour:
    """An embedding of frames: their mean colour."""

    name, ddof, num_frames = "fd-colour", 1, 1

    def __init__(self, protocol: str = "fd-colour: by hand") -> None:
        self.protocol = protocol

    def __call__(self, items: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(items.mean(axis=(1, 2)))


def frames(seed: int, n: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200 + seed, (n, 4, 5, 3), dtype=np.uint8)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (2, 0)])
def test_features_are_samples_by_dimensions(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"^features of shape \[.*\]: expected \[samples, dimensions\]$"):
        Gaussian().add(torch.zeros(shape))


class Patches(nn.Module):
    """A network of planes: the means of 4 x 4 patches of every channel, 48 features."""

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        return functional.adaptive_avg_pool2d(planes.float(), 4).flatten(1)


class PatchEmbedding:
    """The same of frames."""

    name, ddof, num_frames, protocol = "fd-patches", 1, 1, "fd-patches: by hand"

    def __call__(self, items: np.ndarray) -> torch.Tensor:
        return Patches()(torch.from_numpy(items).permute(0, 3, 1, 2))


@pytest.mark.parametrize("n", [200, 20])
def test_against_torchmetrics_also_with_fewer_samples_than_dimensions(n: int) -> None:
    """Its FID with another network; it returns a float32."""
    rng = np.random.default_rng(0)
    real, made = (rng.integers(0, top, (n, 8, 12, 3), dtype=np.uint8) for top in (256, 200))
    theirs = FrechetInceptionDistance(feature=Patches()).set_dtype(torch.float64)
    ours = FrechetDistance(PatchEmbedding())
    for items, is_real in ((real, True), (made, False)):
        theirs.update(torch.from_numpy(items).permute(0, 3, 1, 2), real=is_real)
        (ours.add_real if is_real else ours.add)(items)
    assert ours.value == pytest.approx(float(theirs.compute()), rel=1e-6)


@pytest.mark.parametrize(("num_real", "num_made", "count"), [(0, 5, 0), (5, 0, 0), (1, 5, 1), (5, 1, 1)])
def test_a_side_without_samples_or_with_one_has_no_distance(num_real: int, num_made: int, count: int) -> None:
    metric = FrechetDistance(MeanColour())
    metric.add_real(frames(0)[:num_real])
    metric.add(frames(1)[:num_made])
    with pytest.raises(InputError, match=rf"^{count} sample\(s\): a covariance expects 2 or more$"):
        _ = metric.value


def test_a_network_that_gives_nan_is_refused() -> None:
    class Broken(MeanColour):
        def __call__(self, items: np.ndarray) -> torch.Tensor:
            return torch.full((len(items), 3), math.nan)

    with pytest.raises(InputError, match=r"^features hold NaN or infinity: expected finite numbers$"):
        FrechetDistance(Broken()).add(frames(0))


def test_folds_are_each_held_against_all_real_frames() -> None:
    metric = FrechetDistance(MeanColour(), num_folds=4)
    metric.add_real(frames(0))
    for fold in range(4):
        metric.add(frames(fold + 1), fold)
    expected = [by_scipy(frames(0).mean((1, 2)), frames(fold + 1).mean((1, 2))) for fold in range(4)]
    assert metric.folds == pytest.approx(expected, rel=1e-9)
    assert metric.value == pytest.approx(np.mean(expected))
    assert metric.spread == pytest.approx(np.std(expected))
    assert metric.protocol == "fd-colour: by hand; 30 real, 30 x 4 folds, covariance over n - 1"
    with pytest.raises(InputError, match="fold 4: expected 0 to 3"):
        metric.add(frames(5), 4)


def test_long_stretches_go_through_the_network_in_parts() -> None:
    class Counting(MeanColour):
        num_frames = 10
        sizes: ClassVar[list[int]] = []

        def __call__(self, items: np.ndarray) -> torch.Tensor:
            self.sizes.append(len(items))
            return super().__call__(items)

    parts, whole = FrechetDistance(Counting()), FrechetDistance(MeanColour())
    for metric in (parts, whole):
        metric.add_real(frames(0, 40))
        metric.add(frames(1, 7))
    assert Counting.sizes == [3] * 13 + [1] + [3, 3, 1]
    assert parts.value == pytest.approx(whole.value, rel=1e-12)


def test_two_processes_give_what_one_gives() -> None:
    whole, halves = FrechetDistance(MeanColour()), [FrechetDistance(MeanColour()) for _ in range(2)]
    for metric, part in ((whole, slice(None)), (halves[0], slice(11)), (halves[1], slice(11, None))):
        metric.add_real(frames(0)[part])
        metric.add(frames(1)[part])
    halves[0].merge(halves[1])
    assert halves[0].value == pytest.approx(whole.value, rel=1e-12)
    assert halves[0].protocol == whole.protocol
    with pytest.raises(InputError, match="expected one protocol"):
        whole.merge(FrechetDistance(MeanColour("another")))
    with pytest.raises(InputError, match="num_folds = 0"):
        FrechetDistance(MeanColour(), num_folds=0)
