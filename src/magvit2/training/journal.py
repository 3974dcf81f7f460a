"""The journal of a run: one JSON line for each logged step, a progress bar, sample pictures, and files left out."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from jaxtyping import Float
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from magvit2.data.batches import Skipped
from magvit2.data.frames import to_frames
from magvit2.store import write_text
from magvit2.video import write_image


class Journal:
    """Writes `metrics.jsonl`, `skipped.jsonl` and `samples/` in a run's folder; shows a progress bar.

    Where no terminal is, it shows lines.
    """

    def __init__(self, folder: Path, first_step: int, num_steps: int) -> None:
        self.folder = folder
        self._path, self._skipped_path = folder / "metrics.jsonl", folder / "skipped.jsonl"
        _keep_before(self._path, first_step)
        self._skipped = {line["path"] for line in _keep_before(self._skipped_path, first_step)}
        self._next_step = first_step
        console = Console(stderr=True)  # standard output is for results
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("training", total=num_steps, completed=first_step, status="")
        self._clock = time.monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        self._clock = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self, step: int) -> None:
        """Move the bar to a step that is done."""
        self._progress.update(self._task, completed=step + 1)

    def log(self, step: int, values: dict[str, float | str]) -> None:
        """Write the values of a step, and the mean time of the steps since the last call."""
        now, num_steps = time.monotonic(), step + 1 - self._next_step
        line = {"step": step, **values, "step_s": round((now - self._clock) / num_steps, 4)}
        self._clock, self._next_step = now, step + 1
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        status = f"loss {values['loss']:.4f}  psnr {values['psnr']:.2f}"
        self._progress.update(self._task, status=status)
        if self._progress.disable:  # a log file instead of a terminal
            sys.stderr.write(f"step {step}  {status}  {line['step_s']} s a step\n")

    def warn(self, step: int, message: str) -> None:
        """Say on standard error what was wrong at a step."""
        text = f"step {step}: {message}"
        self._progress.console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)

    def skip(self, step: int, skipped: Sequence[Skipped]) -> None:
        """Name files that were left out at a step, each once in a run: on standard error and in `skipped.jsonl`."""
        for path, reason in skipped:
            if path in self._skipped:
                continue
            self._skipped.add(path)
            with self._skipped_path.open("a") as file:
                file.write(json.dumps({"step": step, "path": path, "reason": reason}) + "\n")
            self.warn(step, f"{path}: {reason}; left out (files left out so far: {len(self._skipped)})")

    def pictures(self, step: int, originals: Float[Tensor, "b 3 T H W"], decoded: Float[Tensor, "b 3 T H W"]) -> None:
        """Write one picture: each clip's first, middle and last frames, originals above what was decoded."""
        write_image(self.folder / "samples" / f"step-{step:08d}.png", to_frames(_sheet(originals, decoded))[0])


def _keep_before(path: Path, step: int) -> list[dict[str, Any]]:
    """Drop the lines that an interrupted run wrote beyond its checkpoint; return those that stay."""
    if not path.exists():
        return []
    lines = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("}\n")]  # whole ones
    kept = [(line, values) for line in lines if (values := json.loads(line))["step"] < step]
    write_text(path, "".join(line for line, _ in kept))
    return [values for _, values in kept]


def _sheet(originals: Tensor, decoded: Tensor) -> Tensor:
    last = originals.shape[2] - 1
    picks = sorted({0, last // 2, last})
    columns = []
    for original, other in zip(originals, decoded, strict=True):
        pair = torch.cat([original[:, picks], other[:, picks].clamp(-1, 1).to(original)], dim=2)
        columns.append(torch.cat(list(pair.unbind(dim=1)), dim=2))
    return torch.cat(columns, dim=2)[:, None]
