"""Large frames: a picture of 3840 x 2160 passes `magvit2 reconstruct` in tiles on a machine with little memory."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from magvit2.data.synthetic import sample_photos
from magvit2.video import read_image, write_image

LIMIT_GIB = 4
SCRIPT = """
import atexit, resource, sys
atexit.register(lambda: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr))
from magvit2.cli import main
main()
"""


@pytest.mark.soak
def test_a_4k_picture_in_tiles_peaks_below_4_gib(tmp_path: Path) -> None:
    """In one piece it takes 6.7 GiB: see docs/pixel-path.md."""
    picture = _mirrored(sample_photos()[0], 2160, 3840)
    write_image(tmp_path / "in.png", picture)
    words = ("reconstruct", tmp_path / "in.png", tmp_path / "out.png", "--tile", 1024, "--threads", 1, "--json")
    command = [sys.executable, "-c", SCRIPT, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["frames"] == [1, 2160, 3840]
    assert np.array_equal(read_image(tmp_path / "out.png")[:, :3840], picture)
    peak_gib = int(done.stderr.split()[-1]) / 2**20
    print(f"peak {peak_gib:.2f} GiB")
    assert peak_gib < LIMIT_GIB


def _mirrored(photo: np.ndarray, height: int, width: int) -> np.ndarray:
    """A large picture without a break: a photograph and its mirror images side by side."""
    amounts = [(0, max(0, side - have)) for side, have in zip((height, width), photo.shape[:2], strict=True)]
    return np.ascontiguousarray(np.pad(photo, (*amounts, (0, 0)), mode="symmetric")[:height, :width])
