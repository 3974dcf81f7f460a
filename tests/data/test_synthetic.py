"""A camera over a photograph: inside it, smoothly, at any size; and the sample photographs that need no network."""

import sys

import numpy as np
import pytest

from magvit2.data.synthetic import moving_camera, sample_clip, sample_photos
from magvit2.errors import MissingDependencyError


def slope(height: int, width: int) -> np.ndarray:
    """A photograph whose red rises downwards and whose green rises to the right, from 20 to 230."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = 20 + 210 * y / (height - 1), 20 + 210 * x / (width - 1)
    return np.stack([red, green, np.full_like(red, 90)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("size", [(64, 96), (40, 33), (8, 5), (200, 300)])
@pytest.mark.parametrize("num_frames", [1, 5, 17])
def test_clips_have_the_asked_shape_from_photographs_of_any_size(size: tuple[int, int], num_frames: int) -> None:
    frames = moving_camera(slope(*size), num_frames, 16, 24, np.random.default_rng(0))
    assert frames.shape == (num_frames, 16, 24, 3) and frames.dtype == np.uint8


@pytest.mark.parametrize("seed", range(6))
def test_the_camera_moves_and_moves_smoothly(seed: int) -> None:
    frames = moving_camera(slope(120, 160), 17, 32, 32, np.random.default_rng(seed)).astype(int)
    assert (abs(frames[..., 2] - 90) <= 1).all()  # the constant channel stays, to the rounding
    steps = abs(np.diff(frames[..., :2], axis=0)).mean(axis=(1, 2, 3))
    assert abs(frames[-1] - frames[0]).mean() > 0 and steps.max() < 12
    turns = abs(np.diff(frames[..., :2].mean(axis=(1, 2)), n=2, axis=0))
    assert turns.max() < 1.5  # a pan does not jerk
    assert (np.diff(frames[..., 0], axis=1) >= -1).all() and (
        np.diff(frames[..., 1], axis=2) >= -1
    ).all()  # not mirrored
    rise = (frames[..., 0].max(axis=(1, 2)) - frames[..., 0].min(axis=(1, 2))) / 210
    assert abs(rise / rise[0] - 1).max() < 0.25  # a slow zoom


def test_colours_stay_those_of_the_photograph() -> None:
    flat = np.full((50, 70, 3), (0, 255, 128), dtype=np.uint8)
    frames = moving_camera(flat, 5, 16, 16, np.random.default_rng(0))
    assert (frames == flat[0, 0]).all()


def test_the_same_generator_gives_the_same_clip_and_another_does_not() -> None:
    a, b, c = (moving_camera(slope(60, 80), 3, 16, 16, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (a == b).all() and (a != c).any()


def test_the_sample_clip_cuts_between_photographs() -> None:
    frames = sample_clip(num_frames=9, height=24, width=32)
    assert frames.shape == (9, 24, 32, 3)
    assert (frames == sample_clip(num_frames=9, height=24, width=32)).all()
    steps = abs(np.diff(frames.astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert len(sample_photos()) == 4 and (np.sort(steps)[-2:] > 25).all()


def test_without_scikit_image_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'magvit2\[demo\]'"):
        sample_photos()
