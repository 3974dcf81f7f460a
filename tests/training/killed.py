"""A training that kills itself as `kill -9` would: python -m tests.training.killed SOURCE FOLDER PLACE."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from magvit2.training import step as steps
from magvit2.training import train_tokenizer
from tests.training.making import TINY


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_step(*arguments: Any) -> None:
    """Stand in for the update of the average: step 4 never ends, and step 3 lies beyond the checkpoint."""
    update_ema(*arguments)
    if arguments[-1] == 4:
        die()


def die_in_write(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Stand in for the writing of tensors: what the second round should have written stays half a file."""
    save_file(tensors, path, metadata)
    writes.append(path.name)
    if len(writes) == {"model": 3, "checkpoint": 4}.get(sys.argv[3]):
        path.write_bytes(path.read_bytes()[:100])
        die()


save_file, update_ema, writes = safetensors.torch.save_file, steps.update_ema, list[str]()

if __name__ == "__main__":
    torch.set_num_threads(1)
    safetensors.torch.save_file = die_in_write
    if sys.argv[3] == "step":
        steps.update_ema = die_in_step
    train_tokenizer(TINY, Path(sys.argv[1]), Path(sys.argv[2]))
