"""MS-SSIM against SciPy's filters and TensorFlow's values, pooled PSNR against NumPy, and the sizes that have which."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from magvit2.errors import InputError
from magvit2.metrics import FrameQuality
from magvit2.metrics.structural import MsSsimName, MultiScaleSsim, PooledPsnr, ms_ssim, ms_ssim_name
from magvit2.pipelines import FramePair

WEIGHTS = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Waves of three lengths with some grain: structure at every scale."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 3 + c) + np.sin(y / 11 - c) + np.sin((x + y) / 29) for c in range(3)]
    grain = np.random.default_rng(seed).normal(0, 6, (height, width, 3))
    return np.clip(127 + 35 * np.stack(waves, axis=-1) + grain, 0, 255).astype(np.uint8)


def noisy(frame: np.ndarray, amount: float) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, amount, frame.shape)
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


def window_mean(plane: np.ndarray) -> np.ndarray:
    """Gaussian means (11 taps, sigma 1.5) at the pixels whose window lies inside."""
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()
    return correlate1d(correlate1d(plane, taps, axis=0), taps, axis=1)[5:-5, 5:-5]


def halved(plane: np.ndarray) -> np.ndarray:
    padded = np.pad(plane, ((0, plane.shape[0] % 2), (0, plane.shape[1] % 2)), mode="edge")
    return (padded[::2, ::2] + padded[1::2, ::2] + padded[::2, 1::2] + padded[1::2, 1::2]) / 4


def plane_ms_ssim(x: np.ndarray, y: np.ndarray, weights: list[float]) -> float:
    """Equation 7 of Wang, Simoncelli and Bovik 2003 for one channel, luminance at the last scale only."""
    product, (c1, c2) = 1.0, ((0.01 * 255) ** 2, (0.03 * 255) ** 2)
    for index, weight in enumerate(weights):
        mx, my = window_mean(x), window_mean(y)
        vx, vy, cov = window_mean(x * x) - mx**2, window_mean(y * y) - my**2, window_mean(x * y) - mx * my
        term = (2 * cov + c2) / (vx + vy + c2)
        if index == len(weights) - 1:
            term = term * (2 * mx * my + c1) / (mx**2 + my**2 + c1)
        product *= max(0.0, float(term.mean())) ** weight
        x, y = halved(x), halved(y)
    return product


def by_scipy(frame: np.ndarray, other: np.ndarray, num_scales: int) -> float:
    weights = WEIGHTS if num_scales == 5 else [w / sum(WEIGHTS[:3]) for w in WEIGHTS[:3]]
    x, y = frame.astype(np.float64), other.astype(np.float64)
    return float(np.mean([plane_ms_ssim(x[..., c], y[..., c], weights) for c in range(3)]))


@pytest.mark.parametrize(
    ("size", "name"),
    [((176, 176), "ms-ssim"), ((180, 203), "ms-ssim"), ((44, 44), "ms-ssim-3"), ((64, 64), "ms-ssim-3"),
     ((144, 187), "ms-ssim-3")],
)  # fmt: skip
@pytest.mark.parametrize("amount", [4, 60])
def test_ms_ssim_is_what_scipy_s_filters_give(size: tuple[int, int], name: MsSsimName, amount: float) -> None:
    frame = picture(*size)
    other = noisy(frame, amount)
    expected = by_scipy(frame, other, 5 if name == "ms-ssim" else 3)
    assert 0.3 < expected < 0.999
    assert ms_ssim(frame, other, name) == pytest.approx(expected, abs=1e-10)


def counted_picture(height: int, width: int) -> np.ndarray:
    """Structure at every scale in integers alone, the same wherever it is made."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        (x * (3 + c) + y * 5) % 97 + (x // 7 + y // 5 + c) % 5 * 20 + (x * x + y * y * (c + 1)) // 50 % 53
        for c in range(3)
    ]
    return np.stack(planes, axis=-1).astype(np.uint8)


def counted_noise(frame: np.ndarray, amount: int) -> np.ndarray:
    y, x = np.mgrid[0 : frame.shape[0], 0 : frame.shape[1]]
    noise = (x * 7919 + y * 104729) % (2 * amount + 1) - amount
    return np.clip(frame + noise[..., None], 0, 255).astype(np.uint8)


# What tf.image.ssim_multiscale of TensorFlow 2.21 gives in float32, max_val 255; below 176 pixels with the first three
# power factors over their sum.
TENSORFLOW = {
    (176, 176, 6): 0.99820477,
    (176, 176, 60): 0.93167943,
    (180, 203, 60): 0.93171233,
    (240, 320, 6): 0.99819094,
    (47, 61, 6): 0.99674624,
    (64, 64, 60): 0.88855261,
    (144, 187, 60): 0.89384413,
}


@pytest.mark.parametrize(("height", "width", "amount"), TENSORFLOW)
def test_ms_ssim_is_tensorflow_s(height: int, width: int, amount: int) -> None:
    frame = counted_picture(height, width)
    name = ms_ssim_name(height, width)
    assert name is not None
    found = ms_ssim(frame, counted_noise(frame, amount), name)
    assert found == pytest.approx(TENSORFLOW[height, width, amount], abs=5e-6)


def test_torchmetrics_mirrors_borders_and_pools_channels_which_makes_little_of_a_large_frame() -> None:
    frame = picture(240, 320)
    planes = [torch.from_numpy(x).permute(2, 0, 1)[None].float() for x in (frame, noisy(frame, 30))]
    theirs = float(multiscale_structural_similarity_index_measure(*planes, data_range=255.0))
    ours = ms_ssim(frame, noisy(frame, 30))
    assert ours != pytest.approx(theirs, abs=1e-5)
    assert ours == pytest.approx(theirs, abs=5e-3)


@pytest.mark.parametrize(
    ("size", "name"),
    [((176, 900), "ms-ssim"), ((175, 900), "ms-ssim-3"), ((900, 44), "ms-ssim-3"), ((43, 900), None)],
)
def test_the_short_side_decides_how_many_scales_there_are(size: tuple[int, int], name: str | None) -> None:
    assert ms_ssim_name(*size) == name


def test_equal_frames_have_1_and_more_noise_has_less() -> None:
    frame = picture(64, 80)
    values = [ms_ssim(frame, noisy(frame, amount), "ms-ssim-3") for amount in (0, 5, 20, 80)]
    assert values[0] == pytest.approx(1.0)
    assert values == sorted(values, reverse=True)


def test_an_inverted_frame_has_0_and_not_less() -> None:
    frame = picture(64, 64)
    assert ms_ssim(frame, 255 - frame, "ms-ssim-3") == 0.0


def test_frames_below_44_pixels_have_none() -> None:
    frame, quality = picture(43, 64), MultiScaleSsim()
    quality.add(frame, frame)
    assert quality.name is None
    assert math.isnan(quality.mean)
    assert math.isnan(ms_ssim(picture(100, 100), picture(100, 100)))  # five scales need 176


def test_a_clip_s_ms_ssim_is_the_mean_over_its_frames_and_says_its_name() -> None:
    pairs = [FramePair(picture(48, 64, seed), noisy(picture(48, 64, seed), 10 * seed)) for seed in range(3)]
    quality = MultiScaleSsim()
    for pair in pairs:
        quality.add(pair.original, pair.decoded)
    assert (quality.num_frames, quality.name) == (3, "ms-ssim-3")
    assert quality.mean == pytest.approx(np.mean([ms_ssim(p.original, p.decoded, "ms-ssim-3") for p in pairs]))
    assert math.isnan(MultiScaleSsim().mean)


@pytest.mark.usefixtures("unchecked_shapes")
def test_frames_of_other_sizes_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(44, 45, 3\) and \(45, 44, 3\): expected the same size"):
        ms_ssim(picture(44, 45), picture(45, 44))
    with pytest.raises(InputError, match="expected the same size"):
        PooledPsnr().add(picture(44, 45), picture(45, 44))
    quality = MultiScaleSsim()
    quality.add(picture(44, 45), picture(44, 45))
    with pytest.raises(InputError, match="expected one size per clip"):
        quality.add(picture(45, 44), picture(45, 44))


def test_pooled_psnr_is_that_of_all_frames_together() -> None:
    frames = np.stack([picture(20, 24, seed) for seed in range(3)])
    others = np.stack([noisy(frame, amount) for frame, amount in zip(frames, (1, 8, 50), strict=True)])
    pooled, per_frame = PooledPsnr(), FrameQuality()
    for frame, other in zip(frames, others, strict=True):
        pooled.add(frame, other)
        per_frame.add(frame, other)
    error = np.mean((frames.astype(float) - others) ** 2)
    assert pooled.psnr == pytest.approx(10 * math.log10(255**2 / error))
    assert pooled.psnr < per_frame.psnr - 1  # one bad frame drowns the good ones
    assert pooled.num_frames == 3


def test_pooled_psnr_of_nothing_and_of_no_error() -> None:
    pooled = PooledPsnr()
    assert math.isnan(pooled.psnr)
    pooled.add(picture(20, 20), picture(20, 20))
    assert pooled.psnr == 100.0


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.5])
def test_floats_are_no_frames_whatever_they_hold(bad: float) -> None:
    frame, other = picture(44, 44), np.full((44, 44, 3), bad)
    for metric in (ms_ssim, MultiScaleSsim().add, PooledPsnr().add):
        for pair in ((frame, other), (other, frame)):
            with pytest.raises(InputError, match=r"^frames \(44, 44, 3\) of float64: expected uint8 \[H, W, 3\]"):
                metric(*pair)  # type: ignore[operator]


@pytest.mark.usefixtures("unchecked_shapes")
def test_what_was_refused_is_not_counted() -> None:
    quality, pooled = MultiScaleSsim(), PooledPsnr()
    for metric in (quality, pooled):
        metric.add(picture(44, 45), picture(44, 45))
        with pytest.raises(InputError):
            metric.add(picture(44, 45), picture(45, 44))
        assert metric.num_frames == 1
    assert (quality.mean, pooled.psnr) == (1.0, 100.0)
