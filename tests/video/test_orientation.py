"""Orientation: phones store pictures sideways and say so; readers give them the right way up."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from magvit2.video import probe, read_clip, read_image
from tests.video.making import encode

# counter-clockwise degrees and mirror, as PyAV writes a display matrix -> clockwise rotation, stored -> shown
TURNS = {
    (0.0, False): (0, lambda frame: frame),
    (-90.0, False): (90, lambda frame: np.rot90(frame, -1)),
    (180.0, False): (180, lambda frame: np.rot90(frame, 2)),
    (90.0, False): (270, lambda frame: np.rot90(frame, 1)),
    (0.0, True): (0, lambda frame: frame[:, ::-1]),
}
# EXIF tag 274 -> clockwise rotation, stored -> shown (Exif 2.32, 4.6.4)
EXIF = {
    1: (0, lambda frame: frame),
    2: (0, lambda frame: frame[:, ::-1]),
    3: (180, lambda frame: np.rot90(frame, 2)),
    4: (180, lambda frame: frame[::-1]),
    5: (270, lambda frame: frame.transpose(1, 0, 2)),
    6: (90, lambda frame: np.rot90(frame, -1)),
    7: (90, lambda frame: np.rot90(frame, 2).transpose(1, 0, 2)),
    8: (270, lambda frame: np.rot90(frame, 1)),
}


def corners(height: int = 32, width: int = 48) -> np.ndarray:
    """One frame whose four quarters differ, so that every turn and mirror shows."""
    frame = np.zeros((height, width, 3), dtype=np.uint8)
    frame[: height // 2, : width // 2] = (250, 0, 0)
    frame[: height // 2, width // 2 :] = (0, 250, 0)
    frame[height // 2 :, : width // 2] = (0, 0, 250)
    return frame


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mov"])
def test_a_video_s_display_matrix_is_applied(tmp_path: Path, name: str, turn: tuple[float, bool]) -> None:
    rotation, shown = TURNS[turn]
    still = corners()[None].repeat(3, axis=0)
    path = encode(tmp_path / name, still, rotation=turn, options={"crf": "1"}, pixel_format="yuv444p")
    clip, info = read_clip(path)
    expected = shown(corners())
    assert info.rotation == rotation
    assert clip.shape == (3, *expected.shape)
    assert (info.height, info.width) == expected.shape[:2]
    assert np.abs(clip.astype(int) - expected).mean() < 3


def test_a_turned_video_stays_turned_after_seeking(tmp_path: Path) -> None:
    frames = corners()[None].repeat(20, axis=0)
    clip, info = read_clip(encode(tmp_path / "c.mp4", frames, rotation=(-90.0, False), options={"g": "5"}), start=12)
    assert (info.rotation, clip.shape) == (90, (8, 48, 32, 3))


@pytest.mark.parametrize("tag", EXIF)
def test_an_image_s_exif_orientation_is_applied(tmp_path: Path, tag: int) -> None:
    rotation, shown = EXIF[tag]
    exif = Image.Exif()
    exif[274] = tag
    Image.fromarray(corners()).save(tmp_path / "photo.png", exif=exif)
    info = probe(tmp_path / "photo.png")
    np.testing.assert_array_equal(read_image(tmp_path / "photo.png"), shown(corners()))
    assert info.rotation == rotation
    assert (info.height, info.width) == shown(corners()).shape[:2]
