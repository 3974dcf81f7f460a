"""Memory: the stream of a long clip needs no more than that of a short one."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys, torch
from magvit2.runtime import tune
from magvit2.tokenizer import Tokenizer, tokenizer_preset
torch.set_num_threads(1)
if sys.argv[2] == "tuned":
    tune()
tokenizer = Tokenizer(tokenizer_preset("small"))
generator = torch.Generator().manual_seed(0)
frames = (torch.rand(3, 128, 128, generator=generator) * 2 - 1 for _ in range(int(sys.argv[1])))
count = sum(1 for _ in tokenizer.decode_stream(tokenizer.encode_stream(frames)))
assert count == int(sys.argv[1]), count
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.soak
@pytest.mark.parametrize("way", ["as it is", "tuned"])
def test_a_stream_of_1025_frames_peaks_within_a_tenth_of_one_of_33(way: str) -> None:
    short, long = (_peak_kib(num_frames, way) for num_frames in (33, 1025))
    assert long < 1.1 * short, f"{long} KiB against {short} KiB"


def _peak_kib(num_frames: int, way: str) -> int:
    command = [sys.executable, "-c", SCRIPT, str(num_frames), way]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)
