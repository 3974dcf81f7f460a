"""PSNR and SSIM of 8-bit frames: values by hand, scikit-image's values, and the edges."""

import builtins
import math
from typing import Any

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from magvit2.errors import InputError, MissingDependencyError
from magvit2.metrics import FrameQuality, psnr, ssim
from magvit2.pipelines import FramePair


def random_frame(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def flat(value: int, height: int = 12, width: int = 12) -> np.ndarray:
    return np.full((height, width, 3), value, dtype=np.uint8)


def noisy(frame: np.ndarray, amount: float) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, amount, frame.shape)
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


def smooth_frame(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    waves = [127 + 100 * np.sin(x / 5 + channel) * np.cos(y / 7) for channel in range(3)]
    return np.stack(waves, axis=-1).astype(np.uint8)


def test_psnr_by_hand() -> None:
    assert psnr(flat(0), flat(255)) == 0.0
    assert psnr(flat(100), flat(110)) == pytest.approx(10 * math.log10(255**2 / 100))
    assert psnr(flat(110), flat(100)) == psnr(flat(100), flat(110))


def test_psnr_pools_the_error_of_all_channels() -> None:
    other = flat(100)
    other[..., 0] = 106  # the mean squared error is 36 / 3
    assert psnr(flat(100), other) == pytest.approx(10 * math.log10(255**2 / 12))


def test_psnr_agrees_with_scikit_image() -> None:
    frame = random_frame(17, 23)
    assert psnr(frame, noisy(frame, 9)) == pytest.approx(peak_signal_noise_ratio(frame, noisy(frame, 9)))


def test_equal_frames_have_100_db_and_nothing_has_more() -> None:
    frame = random_frame(400, 400)
    almost = frame.copy()
    almost[0, 0, 0] ^= 1
    assert psnr(frame, frame) == 100.0
    assert psnr(frame, almost) == 100.0  # 104.9 without the limit


def skimage_ssim(frame: np.ndarray, other: np.ndarray) -> float:
    value = structural_similarity(
        frame, other, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=2
    )
    return float(value)


def mirrored(frame: np.ndarray) -> np.ndarray:
    return np.pad(frame, ((5, 5), (5, 5), (0, 0)), mode="reflect")


@pytest.mark.parametrize("size", [(11, 11), (12, 30), (48, 64), (37, 41)])
@pytest.mark.parametrize("amount", [3, 25])
def test_ssim_is_scikit_image_s_over_the_whole_frame(size: tuple[int, int], amount: float) -> None:
    """Ours sees mirrored pixels beyond the border; scikit-image leaves out the 5 pixels from which the window would."""
    frame = smooth_frame(*size)
    other = noisy(frame, amount)
    expected = skimage_ssim(mirrored(frame), mirrored(other))
    assert 0.4 < expected < 0.99
    assert ssim(frame, other) == pytest.approx(expected, abs=1e-4)


def test_on_a_frame_that_is_not_tiny_the_border_s_treatment_is_a_matter_of_a_thousandth() -> None:
    frame = smooth_frame(240, 320)
    assert ssim(frame, noisy(frame, 10)) == pytest.approx(skimage_ssim(frame, noisy(frame, 10)), abs=1e-3)


@pytest.mark.parametrize("rows", [1, 7, 40, 63])
def test_ssim_is_the_same_in_bands_of_any_height(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """A large frame is measured band by band; a band sees the rows beside it."""
    frame = random_frame(64, 20)
    other = noisy(frame, 30)
    whole = ssim(frame, other)
    monkeypatch.setattr("magvit2.metrics.frames._BAND_PIXELS", rows * 20)
    assert ssim(frame, other) == pytest.approx(whole, abs=1e-7)


def test_ssim_of_equal_and_of_flat_frames() -> None:
    assert ssim(random_frame(16, 16), random_frame(16, 16)) == pytest.approx(1.0)
    c1 = (0.01 * 255) ** 2  # without any contrast only the luminance term is left
    assert ssim(flat(100), flat(50)) == pytest.approx((2 * 100 * 50 + c1) / (100**2 + 50**2 + c1), abs=1e-5)


@pytest.mark.parametrize("size", [(10, 40), (40, 10), (1, 1)])
def test_a_frame_smaller_than_the_window_has_no_ssim(size: tuple[int, int]) -> None:
    frame = random_frame(*size)
    assert math.isnan(ssim(frame, frame))
    assert psnr(frame, frame) == 100.0


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("metric", [psnr, ssim])
def test_frames_of_two_sizes_are_refused(metric: Any) -> None:
    with pytest.raises(InputError, match=r"\(12, 13, 3\) and \(13, 12, 3\): expected the same size"):
        metric(flat(0, 12, 13), flat(0, 13, 12))


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("metric", [psnr, ssim, FrameQuality().add])
@pytest.mark.parametrize(
    ("frame", "given"),
    [
        (np.full((12, 12, 3), math.nan), r"\(12, 12, 3\) of float64"),
        (np.full((12, 12, 3), math.inf, np.float32), r"\(12, 12, 3\) of float32"),
        (np.zeros((12, 12, 3), np.int64), r"\(12, 12, 3\) of int64"),
        (np.zeros((12, 12), np.uint8), r"\(12, 12\) of uint8"),
        (np.zeros((12, 12, 4), np.uint8), r"\(12, 12, 4\) of uint8"),
        (np.zeros((2, 12, 12, 3), np.uint8), r"\(2, 12, 12, 3\) of uint8"),
        (np.zeros((0, 12, 3), np.uint8), r"\(0, 12, 3\) of uint8"),
    ],
    ids=["nan", "inf", "integers", "grey", "alpha", "clip", "no row"],
)
def test_what_is_no_frame_is_refused(metric: Any, frame: np.ndarray, given: str) -> None:
    for pair in ((flat(0), frame), (frame, flat(0)), (frame, frame)):
        with pytest.raises(InputError, match=rf"^frames {given}: expected uint8 \[H, W, 3\] of one pixel or more$"):
            metric(*pair)


@pytest.mark.usefixtures("unchecked_shapes")
def test_a_refused_frame_is_not_counted() -> None:
    quality = FrameQuality()
    quality.add(flat(10), flat(20))
    with pytest.raises(InputError, match="expected the same size"):
        quality.add(flat(10), flat(10, 13, 12))
    assert quality.num_frames == 1
    assert quality.psnr == pytest.approx(20 * math.log10(255 / 10))


def test_ssim_without_torchmetrics_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_torchmetrics(name: str, *rest: Any) -> Any:
        if name.startswith("torchmetrics"):
            raise ImportError(name)
        return real_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_torchmetrics)
    with pytest.raises(MissingDependencyError, match=r"pip install 'magvit2\[metrics\]'"):
        ssim(flat(0), flat(0))


def test_the_quality_of_a_clip_is_the_mean_over_its_frames() -> None:
    frames = [smooth_frame(20, 24) for _ in range(3)]
    others = [noisy(frame, amount) for frame, amount in zip(frames, (2, 10, 40), strict=True)]
    quality = FrameQuality()
    for frame, other in zip(frames, others, strict=True):
        quality.add(frame, other)
    assert quality.num_frames == 3
    assert quality.psnr == pytest.approx(np.mean([psnr(a, b) for a, b in zip(frames, others, strict=True)]))
    assert quality.ssim == pytest.approx(np.mean([ssim(a, b) for a, b in zip(frames, others, strict=True)]))
    pooled = 10 * math.log10(255**2 / np.mean((np.stack(frames).astype(float) - np.stack(others)) ** 2))
    assert quality.psnr - pooled > 1  # one bad frame does not drown the good ones


def test_watching_pairs_passes_them_on_and_counts_them() -> None:
    pairs = [FramePair(flat(0), flat(value)) for value in (1, 2, 4)]
    quality = FrameQuality()
    assert list(quality.watch(pairs)) == pairs
    assert quality.num_frames == 3
    assert quality.psnr == pytest.approx(np.mean([20 * math.log10(255 / value) for value in (1, 2, 4)]))


def test_a_clip_without_frames_has_no_quality() -> None:
    assert math.isnan(FrameQuality().psnr)
    assert math.isnan(FrameQuality().ssim)


def test_small_frames_have_a_psnr_and_no_ssim() -> None:
    quality = FrameQuality()
    quality.add(flat(10, 8, 8), flat(20, 8, 8))
    assert quality.psnr == pytest.approx(20 * math.log10(255 / 10))
    assert math.isnan(quality.ssim)
