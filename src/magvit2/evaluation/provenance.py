"""Where numbers come from: machine, software, commit, date."""

import platform
from datetime import UTC, datetime

import torch

from magvit2 import __version__
from magvit2.machine import commit, cpu_name


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
