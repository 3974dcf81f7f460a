"""How everything here is measured: medians of repeated calls, peak memory of a fresh process, the machine's ceiling."""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch


class Measured(NamedTuple):
    """Median seconds of a call, and MB that the process grew by at its peak."""

    median_s: float
    peak_mb: float


def median_s(call: Callable[[], object], repeats: int = 5) -> float:
    """Return the median time of a call in seconds, after one call to warm up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measured(call: Callable[[], object], repeats: int = 5) -> Measured:
    """Return time and memory growth of a call; meant for a process of its own."""
    before = _peak_mb()
    seconds = median_s(call, repeats)
    return Measured(seconds, _peak_mb() - before)


def in_fresh_process(module: str, *arguments: object) -> Measured | None:
    """Run `python -m module arguments`, which prints a Measured as JSON; None where it failed."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def matmul_gflops(dtype: torch.dtype, size: int = 1536) -> float:
    """Return this machine's ceiling: GFLOP/s of a square matrix product in `dtype`."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    return 2 * size**3 / median_s(lambda: a @ b) / 1e9


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
