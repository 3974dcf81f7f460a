"""The bicubic floor: one colour for each token position, against Pillow's bicubic filter and by its own promises."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from magvit2.data.frames import read_item
from magvit2.data.items import find_items
from magvit2.evaluation.floor import bicubic_floor
from magvit2.metrics import psnr
from magvit2.tokens import TokenSpace

SPACE = TokenSpace((2,) * 18, (4, 8, 8))


def smooth_clip(num_frames: int, height: int, width: int) -> np.ndarray:
    t, y, x = np.mgrid[0:num_frames, 0:height, 0:width]
    planes = [127 + 100 * np.sin((x + t) / 9 + channel) * np.cos(y / 11 - t / 5) for channel in range(3)]
    return np.stack(planes, axis=-1).astype(np.uint8)


@pytest.mark.parametrize("size", [(1, 16, 24), (1, 17, 25), (5, 16, 16), (6, 9, 30), (17, 8, 8), (2, 1, 1)])
def test_a_clip_of_one_colour_is_returned_as_it_is(size: tuple[int, int, int]) -> None:
    frames = np.broadcast_to(np.array([17, 130, 251], np.uint8), (*size, 3))
    assert np.array_equal(bicubic_floor(frames, SPACE), frames)


def pillow_floor(plane: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """A plane [rows, columns] of 8-bit values scaled to `grid` and back, in floats, by Pillow."""
    small = scaled_by_pillow(plane.astype(np.float32), grid)
    return scaled_by_pillow(small, (plane.shape[0], plane.shape[1]))


def scaled_by_pillow(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    picture = Image.fromarray(plane).resize(size[::-1], Image.Resampling.BICUBIC)
    return np.asarray(picture).round().clip(0, 255)


@pytest.mark.parametrize("size", [(64, 96), (50, 75), (8, 8), (129, 40)])
def test_an_image_is_what_pillow_s_bicubic_filter_makes_of_it_over_the_token_grid(size: tuple[int, int]) -> None:
    frames = smooth_clip(1, *size)
    grid = -(-size[0] // 8), -(-size[1] // 8)
    expected = np.stack([pillow_floor(frames[0, :, :, channel], grid) for channel in range(3)], axis=-1)
    errors = np.abs(bicubic_floor(frames, SPACE)[0] - expected)
    assert errors.max() <= 1 and errors.mean() < 0.02  # Pillow's floats may round the other way


@pytest.mark.parametrize(("num_frames", "num_latents"), [(2, 2), (5, 2), (6, 3), (17, 5), (18, 6)])
def test_time_is_scaled_to_the_latent_frames_by_the_same_filter(num_frames: int, num_latents: int) -> None:
    """Frames of one grey each: the clip is one column of pixels, its length the column's."""
    levels = (127 + 100 * np.sin(np.arange(num_frames) / 2)).astype(np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (num_frames, 16, 16, 3))
    expected = pillow_floor(levels[:, None], (num_latents, 1))[:, 0]
    found = bicubic_floor(frames, SPACE)
    assert (found == found[:, :1, :1, :1]).all()
    assert np.abs(found[:, 0, 0, 0] - expected).max() <= 1


def test_it_sees_no_more_than_one_colour_for_each_position() -> None:
    """Detail finer than the grid is gone: stripes become grey, which is 6 dB for stripes of black and white."""
    stripes = np.zeros((1, 64, 64, 3), np.uint8)
    stripes[:, :, ::2] = 255
    inside = bicubic_floor(stripes, SPACE)[0, 16:48, 16:48].astype(int)
    assert np.abs(inside - 127.5).max() <= 3


def test_finer_strides_keep_more() -> None:
    frames = smooth_clip(9, 64, 64)
    coarse, fine = (
        bicubic_floor(frames, TokenSpace((2,), (4, 16, 16))),
        bicubic_floor(frames, TokenSpace((2,), (2, 4, 4))),
    )
    assert psnr(frames[4], fine[4]) > psnr(frames[4], coarse[4]) + 5
    assert np.array_equal(bicubic_floor(frames, TokenSpace((2,), (1, 1, 1))), frames)


def test_kodak_s_floor_is_23_25_db(data_dir: Path) -> None:
    """The number that stands beside every result on these images."""
    items = [item for item in find_items(data_dir, "test") if item.group == "kodak24"]
    values = []
    for item in items:
        frames = read_item(item)
        values.append(psnr(frames[0], bicubic_floor(frames, SPACE)[0]))
    assert len(values) == 24
    assert np.mean(values) == pytest.approx(23.25, abs=0.05)
