"""Where numbers come from: machine, software, commit, date."""

import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import torch

from magvit2 import __version__


def provenance(device: str = "cpu") -> dict[str, str | int]:
    """Return what a report says of the machine and the software that made it."""
    is_gpu = torch.device(device).type == "cuda"
    return {
        "machine": torch.cuda.get_device_name(device) if is_gpu else cpu_name(),
        "threads": torch.get_num_threads(),
        "software": f"magvit2 {__version__}, Python {platform.python_version()}, torch {torch.__version__}",
        "commit": commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def cpu_name() -> str:
    """Return the processors' number and kind."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor() or platform.machine()


def commit() -> str:
    """Return the commit of the clone that the package lies in, "+" behind it where files differ; "unknown" else."""
    here = Path(__file__).parent
    found = _git(here, "rev-parse", "--short=12", "HEAD")
    if not found or not _git(here, "ls-files", "__init__.py"):  # installed inside somebody else's clone
        return "unknown"
    return found + ("+" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if not done.returncode else ""
