"""A video of 10,000 frames through `magvit2 reconstruct`: constant memory, and nothing half-written when killed."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from magvit2.data.synthetic import sample_photos
from magvit2.video import VideoWriter, probe

LENGTHS = (33, 1025, 10_000)
SCRIPT = """
import atexit, resource, sys
atexit.register(lambda: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr))
from magvit2.cli import main
main()
"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Videos of 128 x 128: a square that wanders over a photograph."""
    folder = tmp_path_factory.mktemp("videos")
    photo = np.ascontiguousarray(sample_photos()[0][:384, :384])
    return {length: _write(folder / f"{length}.mp4", photo, length) for length in LENGTHS}


@pytest.mark.soak
def test_reconstructing_10000_frames_peaks_within_a_tenth_of_33(videos: dict[int, Path], tmp_path: Path) -> None:
    peaks = {}
    for length, source in videos.items():
        done = _reconstruct(source, tmp_path / "out.mp4").communicate()
        peaks[length] = int(done[1].split()[-1]) / 1024
        assert probe(tmp_path / "out.mp4").num_frames == length
    print("peak MB by frames:", {length: round(peak) for length, peak in peaks.items()})
    assert max(peaks.values()) < 1.1 * peaks[LENGTHS[0]], peaks


@pytest.mark.soak
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_reconstruction_that_is_killed_in_the_middle_leaves_no_output(
    kill: signal.Signals, videos: dict[int, Path], tmp_path: Path
) -> None:
    process = _reconstruct(videos[LENGTHS[-1]], tmp_path / "out.mp4")
    _wait(lambda: sum(path.stat().st_size for path in tmp_path.iterdir()) > 100_000, process)
    process.send_signal(kill)
    process.wait()
    assert not (tmp_path / "out.mp4").exists()
    visible = [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert not visible, visible
    short = _reconstruct(videos[LENGTHS[0]], tmp_path / "out.mp4")
    assert short.wait() == 0 and probe(tmp_path / "out.mp4").num_frames == LENGTHS[0]


def _write(path: Path, photo: np.ndarray, length: int) -> Path:
    with VideoWriter(path, fps=25) as writer:
        for index in range(length):
            row, column = (int(128 + 127 * np.sin(index / rate)) for rate in (31, 47))
            writer.write(photo[row : row + 128, column : column + 128])
    return path


def _reconstruct(source: Path, target: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, "reconstruct", str(source), str(target), "--dtype", "bf16"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _wait(is_ready: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not is_ready():
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
