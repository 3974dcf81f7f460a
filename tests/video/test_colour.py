"""Colour: a file's own matrix and range decide its RGB; files that say nothing follow the players' rule."""

from pathlib import Path

import numpy as np
import pytest

from magvit2.video import read_clip
from tests.video.making import FULL, LIMITED, encode

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 100, 50), (90, 160, 220)]
BT709, UNSPECIFIED, BT470BG, SMPTE170M, BT2020 = 1, 2, 5, 6, 9


def patches(height: int = 16) -> np.ndarray:
    """One frame of flat columns, 16 pixels each, one per colour."""
    return np.repeat(np.array(COLOURS, dtype=np.uint8), 16, axis=0)[None, None].repeat(height, axis=1)


def worst_error(clip: np.ndarray) -> int:
    """The largest deviation in the middle of the columns (at their edges chroma is shared)."""
    middles = clip[0, clip.shape[1] // 2, 8::16].astype(int)
    return int(np.abs(middles - np.array(COLOURS)).max())


@pytest.mark.parametrize("range_", [LIMITED, FULL])
@pytest.mark.parametrize(
    ("matrix", "name"), [(BT709, "bt709"), (BT470BG, "bt601"), (SMPTE170M, "bt601"), (BT2020, "bt2020")]
)
def test_the_tagged_matrix_and_range_are_used(tmp_path: Path, matrix: int, name: str, range_: int) -> None:
    path = encode(tmp_path / "c.mp4", patches(), matrix=matrix, range_=range_, options={"crf": "1"})
    clip, info = read_clip(path)
    assert (info.colour_matrix, info.colour_range) == (name, "full" if range_ == FULL else "limited")
    assert worst_error(clip) <= 3


@pytest.mark.parametrize(("height", "matrix", "name"), [(718, SMPTE170M, "bt601"), (720, BT709, "bt709")])
def test_an_untagged_file_is_bt601_below_720_lines_and_bt709_from_there(
    tmp_path: Path, height: int, matrix: int, name: str
) -> None:
    options = {"crf": "1", "preset": "ultrafast"}
    path = encode(tmp_path / "c.mp4", patches(height), matrix=matrix, is_tagged=False, options=options)
    clip, info = read_clip(path)
    assert (info.colour_matrix, info.colour_range) == (name, "limited")
    assert worst_error(clip) <= 3


@pytest.mark.parametrize(
    ("codec", "pixel_format", "bits"),
    [
        ("libx264", "yuv420p10le", 10),
        ("libx265", "yuv420p10le", 10),
        ("ffv1", "yuv444p12le", 12),
        ("ffv1", "gbrp16le", 16),
        ("libx264", "yuv422p", 8),
        ("libvpx-vp9", "yuv420p", 8),
    ],
)
def test_other_codecs_and_deeper_sources_give_the_same_colours(
    tmp_path: Path, codec: str, pixel_format: str, bits: int
) -> None:
    options = {"libx265": {"crf": "4", "x265-params": "log-level=none"}, "libvpx-vp9": {"crf": "4", "b": "0"}}
    path = encode(tmp_path / "c.mkv", patches(), codec=codec, pixel_format=pixel_format, options=options.get(codec))
    clip, info = read_clip(path)
    assert (info.pixel_format, info.bit_depth) == (pixel_format, bits)
    assert worst_error(clip) <= 3


def test_yuvj_formats_are_full_range_without_a_tag(tmp_path: Path) -> None:
    path = encode(
        tmp_path / "c.avi", patches(), codec="mjpeg", pixel_format="yuvj420p", range_=FULL, options={"q": "1"}
    )
    clip, info = read_clip(path)
    assert info.colour_range == "full"
    assert worst_error(clip) <= 6  # mjpeg at its best


@pytest.mark.parametrize("pixel_format", ["gray", "gray16le"])
def test_grey_videos_keep_their_levels(tmp_path: Path, pixel_format: str) -> None:
    levels = np.arange(0, 256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    path = encode(tmp_path / "g.mkv", levels, codec="ffv1", pixel_format=pixel_format, range_=FULL, is_tagged=False)
    clip, info = read_clip(path)
    assert info.pixel_format == pixel_format
    assert np.abs(clip.astype(int) - levels).max() <= 1


def test_alpha_is_composited_over_black(tmp_path: Path) -> None:
    rgba = np.full((1, 16, 16, 4), (200, 100, 50, 255), dtype=np.uint8)
    rgba[0, :8, :, 3] = 128
    rgba[0, :4, :, 3] = 0
    clip, info = read_clip(encode(tmp_path / "a.mkv", rgba, codec="ffv1", pixel_format="bgra"))
    assert info.has_alpha
    assert clip[0, 0, 0].tolist() == [0, 0, 0]
    assert clip[0, 6, 0].tolist() == [100, 50, 25]
    assert clip[0, 12, 0].tolist() == [200, 100, 50]
