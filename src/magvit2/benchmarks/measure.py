"""How everything here is measured: calls in turn, their medians, peak memory, and the machine's own ceiling."""

import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from magvit2.errors import InputError, Magvit2Error
from magvit2.runtime import tune

DtypeName = Literal["fp32", "bf16"]
DtypeNames = Literal["both", "fp32", "bf16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

_CPU_MATMUL, _GPU_MATMUL = 2048, 8192


def dtypes_called(names: DtypeNames) -> tuple[DtypeName, ...]:
    """Return the types that an option of one, the other or both means."""
    return ("fp32", "bf16") if names == "both" else (names,)


class NotMeasuredError(Magvit2Error):
    """Something could not be measured here; the message says why."""


@dataclass(frozen=True)
class Setup:
    """Where things are measured, how often, and by how many processes that share the work.

    Raises InputError for fewer than 1 thread, repeat or process.
    """

    device: str = "cpu"
    threads: int | None = None
    repeats: int = 5
    num_processes: int = 1

    def __post_init__(self) -> None:
        for name, value in (("threads", self.threads), ("repeats", self.repeats), ("processes", self.num_processes)):
            if value is not None and value < 1:
                raise InputError(f"{name} = {value}: expected 1 or more")

    def start(self) -> torch.device:
        """Set this process up for speed, as the command line does; return the device."""
        tune(self.threads)
        device = torch.device(self.device)
        if device.type == "cuda":
            # PyTorch convolves float32 in TF32 on a GPU unless told otherwise; the ceiling must then do so too.
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
        return device


class Timing(NamedTuple):
    """Median seconds of every call, and how often each was called."""

    median_s: dict[str, float]
    num_repeats: int


def time_in_turn(
    calls: Mapping[str, Callable[[], object]], repeats: int, device: torch.device, budget_s: float = math.inf
) -> Timing:
    """Call everything in turn, so that a busy machine slows all alike, after one call of each to warm up.

    Ends early, after a whole round, once `budget_s` seconds have passed.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        _seconds(call, device)
    start = time.perf_counter()
    for _ in range(repeats):
        for name, call in calls.items():
            times[name].append(_seconds(call, device))
        if time.perf_counter() - start > budget_s:
            break
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    return Timing(medians, min(len(seconds) for seconds in times.values()))


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    wait_for(device)
    start = time.perf_counter()
    call()
    wait_for(device)
    return time.perf_counter() - start


def wait_for(device: torch.device) -> None:
    """Return when a device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_mb(device: torch.device) -> float:
    """Return the most memory in MB so far: of this process, or of its tensors on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def free_mb(device: torch.device) -> float:
    """Return how much memory in MB can still be had; without end where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / 2**20
    info = Path("/proc/meminfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable:")), math.inf)


def matmul(dtype: torch.dtype, device: torch.device) -> tuple[Callable[[], object], float]:
    """Return a square matrix product, the machine's ceiling when it is timed, and its work in MFLOP."""
    size = _GPU_MATMUL if device.type == "cuda" else _CPU_MATMUL
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return lambda: a @ b, 2 * size**3 / 1e6


def in_fresh_process(function: Callable[..., dict[str, Any]], setup: Setup, **arguments: Any) -> dict[str, Any]:
    """Call a function of a module with `setup` and plain arguments in a new process; return the dict that it returns.

    Of several processes, which torchrun starts, any one's dict. Raises NotMeasuredError where that process says so or
    does not live to its end.
    """
    words = json.dumps([_module_name(function), function.__name__, asdict(setup), arguments])
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}  # before torch is loaded: threads that wait should sleep
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={setup.num_processes}"]
    command = [sys.executable, *(launcher if setup.num_processes > 1 else []), "-m", "magvit2.benchmarks.child", words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise NotMeasuredError(lines[-1] if lines else "its process was killed, as it is when memory runs out")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "not_measured" in result:
        raise NotMeasuredError(result["not_measured"])
    return result


def _module_name(function: Callable[..., object]) -> str:
    """Return where a function can be imported from, also when `python -m` runs that very module."""
    if function.__module__ != "__main__":
        return function.__module__
    name: str = sys.modules["__main__"].__spec__.name  # type: ignore[union-attr]
    return name
