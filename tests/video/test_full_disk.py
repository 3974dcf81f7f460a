"""A full disk: whatever was being written is not there, what was there before stays, and the line says what to do."""

from pathlib import Path

import numpy as np
import pytest

from magvit2.errors import OutputError
from magvit2.video import VideoWriter, read_image, write_image
from tests.disk import FULL, no_file_above


def noise(num_frames: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num_frames, 48, 64, 3), np.uint8)


def write(path: Path, frames: np.ndarray, lossless: bool = False) -> None:
    if path.suffix in (".png", ".jpg", ".webp"):
        write_image(path, frames[0])
        return
    with VideoWriter(path, fps=25, lossless=lossless) as writer:
        for frame in frames:
            writer.write(frame)


def largest_file(path: Path) -> int:
    return max(file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.98])
@pytest.mark.parametrize(
    ("name", "lossless"),
    [("o.png", False), ("o.jpg", False), ("o.webp", False), ("o.mp4", False), ("o.mkv", True), ("frames", False)],
)
def test_what_does_not_fit_on_the_disk_is_refused_and_not_there(
    name: str, lossless: bool, share: float, tmp_path: Path
) -> None:
    write(tmp_path / "whole" / name, noise(4), lossless)
    limit = int(share * (largest_file(tmp_path / "whole" / name) - 1))
    (tmp_path / "full").mkdir()
    with no_file_above(limit), pytest.raises(OutputError) as error:
        write(tmp_path / "full" / name, noise(4), lossless)
    assert str(error.value) == f"{tmp_path / 'full' / name}: {FULL}"
    assert list((tmp_path / "full").iterdir()) == []


def test_an_older_picture_stays(tmp_path: Path) -> None:
    write(tmp_path / "o.png", noise(1))
    with no_file_above(1000), pytest.raises(OutputError):
        write_image(tmp_path / "o.png", 255 - noise(1)[0])
    assert np.array_equal(read_image(tmp_path / "o.png"), noise(1)[0])
