"""The best model of a run: the one with the best score on held-out items, kept until a better one comes."""

import json
import math
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from magvit2.errors import errors_as_output
from magvit2.schema import read_json
from magvit2.store import Pretrained, remove_folder, write_text

_NAME = "best.json"


@dataclass(frozen=True)
class BestModel:
    """After how many steps the best model was there, and its score on held-out items, by the name of the metric."""

    step: int
    metric: str
    score: float


def read_best(folder: Path) -> BestModel | None:
    """Return what is known of the best model in a run's folder, None where there is none. Raises ConfigError."""
    path = folder / "best" / _NAME
    return read_json(BestModel, path) if path.exists() else None


class Best:
    """Keeps `best/` in a run's folder: a model folder with `best.json`, there as a whole or not at all.

    `metric` is higher for a better model or, with `is_cost`, lower. A run that resumes goes on with what lies there, be
    it of a step beyond the checkpoint: that one comes again.
    """

    def __init__(self, folder: Path, metric: str, *, is_cost: bool = False) -> None:
        self._metric, self._sign = metric, -1 if is_cost else 1
        self._folder, self._partial = folder / "best", folder / ".best.partial"
        if not self._folder.exists() and (self._partial / _NAME).exists():
            self._partial.rename(self._folder)  # a process was killed between the two lines that put it in place
        shutil.rmtree(self._partial, ignore_errors=True)
        best = read_best(folder)
        self._worth = -math.inf if best is None else self._sign * best.score

    def offer(self, model: Pretrained[Any], num_done: int, score: float) -> bool:
        """Keep a model if it is better than the best one; return whether it is. Raises OutputError."""
        if not self._sign * score > self._worth:
            return False
        shutil.rmtree(self._partial, ignore_errors=True)
        model.save_pretrained(self._partial)
        best = BestModel(num_done, self._metric, score)
        write_text(self._partial / _NAME, json.dumps(asdict(best)) + "\n")  # the last file
        with errors_as_output(self._folder):
            if self._folder.exists():
                remove_folder(self._folder)
            self._partial.rename(self._folder)
        self._worth = self._sign * score
        return True
