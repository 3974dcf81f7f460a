"""How far a run is, read from its folder: whoever asks, and whether it goes on, stopped or is finished."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from magvit2.errors import InputError
from magvit2.schema import read_json
from magvit2.training.checkpoint import checkpoint_step, latest_checkpoint
from magvit2.training.config import TokenizerTraining

_NUM_LINES = 10


@dataclass(frozen=True)
class RunStatus:
    """What is saved of a run. Loss and PSNR are means of the last logged lines, `step_s` is their median; nan: none."""

    num_done: int
    num_steps: int
    loss: float
    psnr_db: float
    step_s: float

    @property
    def is_finished(self) -> bool:
        """Whether every step is done."""
        return self.num_done >= self.num_steps


def read_status(folder: Path) -> RunStatus:
    """Return the status of a tokenizer training. Raises InputError where the folder holds none."""
    if not (folder / "training.json").is_file():
        raise InputError(f"{folder}: no training.json in it; expected the folder of a training")
    config = read_json(TokenizerTraining, folder / "training.json")
    checkpoint = latest_checkpoint(folder / "checkpoints")
    num_done = checkpoint_step(checkpoint) if checkpoint else 0
    lines = [line for line in _journal(folder / "metrics.jsonl") if line["step"] < num_done][-_NUM_LINES:]
    loss, psnr, step_s = ([float(line[name]) for line in lines] or [math.nan] for name in ("loss", "psnr", "step_s"))
    return RunStatus(num_done, config.num_steps, fmean(loss), fmean(psnr), median(step_s))


def _journal(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a journal; the last may be cut where the run was killed."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
