"""How far a run is, read from its folder: whoever asks, and whether it goes on, stopped or is finished."""

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from magvit2.errors import InputError
from magvit2.schema import read_json
from magvit2.training.best import read_best
from magvit2.training.checkpoint import checkpoint_step, latest_checkpoint
from magvit2.training.config import TokenizerTraining
from magvit2.training.journal import VALIDATION, read_journal

PRETRAINING = "pretraining"
"""The folder in a run's where its pretraining is."""

_NUM_LINES = 10


@dataclass(frozen=True)
class RunStatus:
    """What is saved of a run. Loss and PSNR are means of the last logged lines, `step_s` is their median; nan: none.

    The best model was there after `best_step` steps, with `best_psnr_db` on held-out items; 0 and nan: there is none.
    """

    num_done: int
    num_steps: int
    loss: float
    psnr_db: float
    step_s: float
    best_step: int = 0
    best_psnr_db: float = math.nan

    @property
    def is_finished(self) -> bool:
        """Whether every step is done."""
        return self.num_done >= self.num_steps


def stage_of(folder: Path) -> Path:
    """Return the folder of what a run is at: its own or, before its own first step, that of its pretraining."""
    before = folder / PRETRAINING
    return before if before.is_dir() and not (folder / "training.json").is_file() else folder


def read_status(folder: Path) -> RunStatus:
    """Return the status of a tokenizer training, or of its pretraining while it is at that.

    Raises InputError where the folder holds none.
    """
    folder = stage_of(folder)
    if not (folder / "training.json").is_file():
        raise InputError(f"{folder}: no training.json in it; expected the folder of a training")
    config = read_json(TokenizerTraining, folder / "training.json")
    checkpoint = latest_checkpoint(folder / "checkpoints")
    num_done = checkpoint_step(checkpoint) if checkpoint else 0
    done = [line for line in read_journal(folder / "metrics.jsonl") if line["step"] < num_done]
    lines = [line for line in done if line["kind"] != VALIDATION][-_NUM_LINES:]
    loss, psnr, step_s = ([float(line[name]) for line in lines] or [math.nan] for name in ("loss", "psnr", "step_s"))
    best = read_best(folder)
    scores = (best.step, best.val_psnr) if best is not None else (0, math.nan)
    return RunStatus(num_done, config.num_steps, fmean(loss), fmean(psnr), median(step_s), *scores)
