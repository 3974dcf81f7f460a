"""RGB to 8-bit 4:2:0 and back: the matrices and the range by hand, odd sizes, real clips."""

from pathlib import Path

import numpy as np
import pytest

from magvit2.data.frames import read_item
from magvit2.data.items import find_items
from magvit2.errors import InputError, MediaError
from magvit2.metrics import psnr
from magvit2.video.yuv import to_rgb, to_yuv420
from tests.video.making import scene

COLOURS = [(255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 120, 40), (17, 130, 251)]
LUMA = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}  # weights of red and blue


def flat(colour: tuple[int, int, int], height: int, width: int, num_frames: int = 1) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (num_frames, height, width, 3)).copy()


def limited_yuv(colour: tuple[int, int, int], matrix: str) -> tuple[float, float, float]:
    """Y, Cb, Cr of ITU-R BT.601 and BT.709, 8 bits, limited range."""
    kr, kb = LUMA[matrix]
    r, g, b = (value / 255 for value in colour)
    y = kr * r + (1 - kr - kb) * g + kb * b
    return 16 + 219 * y, 128 + 224 * (b - y) / (2 - 2 * kb), 128 + 224 * (r - y) / (2 - 2 * kr)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(("height", "matrix"), [(16, "bt601"), (718, "bt601"), (720, "bt709")])
def test_planes_are_what_the_matrix_says_and_colours_come_back(
    height: int, matrix: str, colour: tuple[int, int, int]
) -> None:
    frames = flat(colour, height, 16)
    clip = to_yuv420(frames)
    assert clip.matrix == matrix
    planes = np.frombuffer(clip.planes(), np.uint8)
    assert planes.size == height * 16 * 3 // 2
    y, cb, cr = np.split(planes, [height * 16, height * 16 * 5 // 4])
    for plane, expected in zip((y, cb, cr), limited_yuv(colour, matrix), strict=True):
        assert np.abs(plane - expected).max() <= 1
    assert np.abs(to_rgb(clip.frames, clip).astype(int) - frames).max() <= 3


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 15, 16), (3, 16, 17), (2, 47, 63)])
def test_odd_sides_are_padded_for_the_codec_and_cropped_again(size: tuple[int, int, int]) -> None:
    frames = scene(*size)
    clip = to_yuv420(frames)
    assert clip.size == size
    assert clip.coded_size == (size[1] + size[1] % 2, size[2] + size[2] % 2)
    assert len(clip.planes()) == size[0] * clip.coded_size[0] * clip.coded_size[1] * 3 // 2
    back = to_rgb(clip.frames, clip)
    assert back.shape == frames.shape
    assert back.dtype == np.uint8


@pytest.mark.data
def test_a_real_clip_loses_little(data_dir: Path) -> None:
    items = [item for item in find_items(data_dir, "val") if item.group == "cctv_144"]
    frames = read_item(items[0], 0, 5)
    clip = to_yuv420(frames)
    assert min(psnr(a, b) for a, b in zip(frames, to_rgb(clip.frames, clip), strict=True)) > 38


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("shape", [(0, 16, 16, 3), (2, 16, 3), (1, 16, 0, 3), (1, 16, 16, 4)])
def test_what_is_no_clip_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="expected a uint8 RGB clip"):
        to_yuv420(np.zeros(shape, np.uint8))


def test_a_decoder_that_loses_a_frame_is_noticed() -> None:
    clip = to_yuv420(scene(3))
    with pytest.raises(MediaError, match="3 frames were coded and 2 came back"):
        to_rgb(clip.frames[:2], clip)
