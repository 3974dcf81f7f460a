"""How far a run is, read from its folder: whoever asks, and whether it goes on, stopped or is finished."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from magvit2.errors import ConfigError, InputError
from magvit2.training.best import read_best
from magvit2.training.checkpoint import checkpoint_step, latest_checkpoint
from magvit2.training.journal import VALIDATION, read_journal

PRETRAINING = "pretraining"
"""The folder in a run's where its pretraining is."""

_NUM_LINES = 10


@dataclass(frozen=True)
class RunStatus:
    """What is saved of a run. Loss and score are means of the last logged lines, `step_s` is their median; nan: none.

    The score is a tokenizer's PSNR in dB, or the bits per token that a language model takes: `metric` is "psnr" or
    "bits". The best model was there
    after `best_step` steps, with `best_score` on held-out items; 0 and nan: there is none.
    """

    num_done: int
    num_steps: int
    loss: float
    score: float
    step_s: float
    best_step: int = 0
    best_score: float = math.nan
    metric: str = "psnr"

    @property
    def is_finished(self) -> bool:
        """Whether every step is done."""
        return self.num_done >= self.num_steps


def stage_of(folder: Path) -> Path:
    """Return the folder of what a run is at: its own or, before its own first step, that of its pretraining."""
    before = folder / PRETRAINING
    return before if before.is_dir() and not (folder / "training.json").is_file() else folder


def read_status(folder: Path) -> RunStatus:
    """Return the status of a training, or of its pretraining while it is at that.

    Raises InputError where the folder holds none.
    """
    folder = stage_of(folder)
    if not (folder / "training.json").is_file():
        raise InputError(f"{folder}: no training.json in it; expected the folder of a training")
    num_steps = _num_steps(folder / "training.json")
    checkpoint = latest_checkpoint(folder / "checkpoints")
    num_done = checkpoint_step(checkpoint) if checkpoint else 0
    done = [line for line in read_journal(folder / "metrics.jsonl") if line["step"] < num_done]
    lines = [line for line in done if line["kind"] != VALIDATION][-_NUM_LINES:]
    name = "bits" if lines and "bits" in lines[0] else "psnr"
    loss, scores, step_s = ([float(line[key]) for line in lines] or [math.nan] for key in ("loss", name, "step_s"))
    best = read_best(folder)
    of_best = (best.step, best.score) if best is not None else (0, math.nan)
    return RunStatus(num_done, num_steps, fmean(loss), fmean(scores), median(step_s), *of_best, metric=name)


def _num_steps(path: Path) -> int:
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["num_steps"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigError(f"{path}: cannot be read as a training's settings ({error})") from error
