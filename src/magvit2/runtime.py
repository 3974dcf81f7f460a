"""One call that makes this process compute fast on a CPU; importing this module changes nothing.

`tune` sets what a library must not set behind its user's back, because it holds for the whole process:

- glibc gives every block above 32 MB back to the system and gets it again page by page, which costs elementwise
  operations on large activations several times their own work. Told to keep its memory, it does not; the process
  then holds on to its peak.
- PyTorch multiplies float32 matrices with MKL, which takes a slower path on AMD's CPUs; through oneDNN they run 1.1 to
  2 times as fast. The setting that leads there also permits bfloat16 where the CPU has AMX, and TF32 on a GPU: `tune`
  leaves it alone on such machines, so that float32 stays float32.
- The number of threads, if one is given. Threads that wait spin unless OMP_WAIT_POLICY=PASSIVE was in the environment
  before torch was loaded (`magvit2` puts it there): two processes on the same cores then slow down tenfold.

Call it before the first large tensor. Two more facts need no call and live in `layers/conv.py`: channels_last_3d, and
the convolution of batch 1 that goes to oneDNN directly.
"""

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from magvit2.errors import InputError

# M_MMAP_MAX, M_TRIM_THRESHOLD and M_TOP_PAD of glibc's malloc.h: no block of its own mapping, nothing given back, and
# growth in steps of 64 MiB.
_MALLOC_SETTINGS = ((-4, 0), (-1, 2**31 - 1), (-2, 64 << 20))


class Setting(NamedTuple):
    """One thing that `tune` looked at; `reason` says why it does not apply here and is empty where it does."""

    name: str
    reason: str


@dataclass(frozen=True)
class Tuning:
    """What `tune` did in this process."""

    num_threads: int
    settings: tuple[Setting, ...]

    def __str__(self) -> str:
        parts = [f"{name}: {f'no ({reason})' if reason else 'yes'}" for name, reason in self.settings]
        return f"{self.num_threads} threads; {'; '.join(parts)}"


def tune(num_threads: int | None = None) -> Tuning:
    """Set up this process for speed on a CPU, on `num_threads` threads if given; return what applied and what not.

    Results stay those of float32. Calling it again changes nothing. Raises InputError for fewer than 1 thread.
    """
    if num_threads is not None:
        if num_threads < 1:
            raise InputError(f"num_threads = {num_threads}: expected 1 or more")
        torch.set_num_threads(num_threads)
    settings = (
        Setting("memory kept by malloc", _keep_memory()),
        Setting("float32 matmul through oneDNN", _multiply_through_onednn()),
        Setting("waiting threads sleep", _no_sleep_reason()),
    )
    return Tuning(torch.get_num_threads(), settings)


@contextlib.contextmanager
def small_products(device: torch.device) -> Iterator[None]:
    """Multiply float32 matrices in the block in PyTorch's own way where `device` is the CPU, whatever `tune` did.

    Through oneDNN a row times a matrix takes up to three times as long, and attention of one query up to ten times.
    Like every precision of PyTorch this holds for the whole process.
    """
    before = _matmul_precision() if device.type == "cpu" else None
    if before is None:
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _matmul_precision() -> str | None:
    """Return the precision of float32 products, None where somebody has set it for each backend by itself."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


def _keep_memory() -> str:
    try:
        is_glibc = (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):  # Windows; musl and macOS
        is_glibc = False
    if not is_glibc:
        return "the C library is not glibc"
    mallopt = ctypes.CDLL(None).mallopt
    return "" if all(mallopt(*setting) for setting in _MALLOC_SETTINGS) else "mallopt refused"


def _multiply_through_onednn() -> str:
    reason = _no_onednn_reason()
    if not reason:
        # Not torch.backends.mkldnn.matmul.fp32_precision, which leaves GPUs alone, but after which
        # torch.get_float32_matmul_precision raises, for the caller and inside torch.compile.
        torch.set_float32_matmul_precision("medium")
    return reason


def _no_onednn_reason() -> str:
    if not torch.backends.mkldnn.is_available():
        return "this PyTorch is built without oneDNN"
    if torch.cuda.is_available():
        return "there is a GPU, whose precision it would change"
    flags = _cpu_flags()
    if not flags:
        return "this is no x86 CPU under Linux, and others may compute in bfloat16"
    return "this CPU has AMX and would compute in bfloat16" if "amx_bf16" in flags else ""


def _cpu_flags() -> set[str]:
    """Return the names of what an x86 CPU can do, as Linux lists them; nothing elsewhere."""
    path = Path("/proc/cpuinfo")
    if platform.machine() not in ("x86_64", "AMD64") or not path.exists():
        return set()
    lines = path.read_text(encoding="utf-8").splitlines()
    return set(next((line for line in lines if line.startswith("flags")), "").split())


def _no_sleep_reason() -> str:
    policy = os.environ.get("OMP_WAIT_POLICY", "").upper()
    return "" if policy == "PASSIVE" else "set OMP_WAIT_POLICY=PASSIVE before torch is loaded"
