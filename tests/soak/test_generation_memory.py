"""Comparing 1,000 clips with a reference takes no more memory than comparing 100."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.evaluation.generating import moving, save_clips, save_networks

COUNTS = (100, 1000)
SCRIPT = """
import atexit, resource, sys
atexit.register(lambda: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr))
from magvit2.cli import main
main()
"""


@pytest.mark.soak
def test_comparing_1000_clips_peaks_within_a_tenth_of_100(tmp_path: Path) -> None:
    clips = save_clips(tmp_path / "clips", [moving(seed, side=32) for seed in range(COUNTS[-1])])
    nets = save_networks(tmp_path / "nets")
    peaks = {}
    for count in COUNTS:
        words = [clips, clips, "--nets", nets, "--metrics", "fvd-styleganv", "is", "--limit", count, "--threads", 1]
        command = [sys.executable, "-c", SCRIPT, "evaluate", "generation", *map(str, words), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[count] = int(done.stderr.split()[-1]) / 1024
        assert json.loads(done.stdout)["samples"]["clips/is"]["samples"] == 16 * count
    print("peak MB by clips a side:", {count: round(peak) for count, peak in peaks.items()})
    assert peaks[COUNTS[1]] < 1.1 * peaks[COUNTS[0]], peaks
